//! [`Extension`]: who may register for what, and who gets which event.

use serde_json::Value;

use super::{Answer, Refusal, State};
use crate::testing::lambda::{Fault, RegisteredExtension, Report, ReportKind};

const MOST_EXTENSIONS: usize = 10;

#[derive(Debug)]
pub(super) struct Extension {
    id: String,
    name: String,
    events: Vec<String>,
    phase: Phase,
    /// It has asked for an event and was not answered.
    asking: bool,
    /// It has been told of the end.
    told: bool,
    /// How often it has asked. Only the last question is answered: who asks again has hung up before.
    asked: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Registered,
    /// It has asked for an event.
    Running,
    /// It has reported that it failed.
    Failed,
}

impl Extension {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_asking(&self) -> bool {
        self.asking
    }

    pub(super) fn gets_invoke(&self) -> bool {
        self.gets("INVOKE")
    }

    pub(super) fn gets_shutdown(&self) -> bool {
        self.gets("SHUTDOWN")
    }

    pub(super) fn has_been_told(&self) -> bool {
        self.told
    }

    /// It is to be told of the end; says whether it wants to know and did not.
    pub(super) fn tell(&mut self) -> bool {
        self.gets_shutdown() && !std::mem::replace(&mut self.told, true)
    }

    fn gets(&self, event: &str) -> bool {
        self.events.iter().any(|it| it == event)
    }

    pub(super) fn describe(&self) -> RegisteredExtension {
        RegisteredExtension {
            name: self.name.clone(),
            events: self.events.clone(),
            asked: self.asked,
            is_asking: self.asking,
        }
    }
}

/// Registration.
impl State {
    pub(crate) fn fail_register(&mut self, fault: Fault) {
        self.register_faults.push_back(fault);
    }

    pub(crate) fn take_register_fault(&mut self) -> Option<Fault> {
        self.register_faults.pop_front()
    }

    /// Registers the extension and gives it an id.
    pub(crate) fn register(&mut self, name: &str, body: &[u8]) -> Result<String, Refusal> {
        self.may_register(name, body)
            .map(|events| {
                let id = uuid();
                self.extensions.push(Extension {
                    id: id.clone(),
                    name: name.to_owned(),
                    events,
                    phase: Phase::Registered,
                    asking: false,
                    told: false,
                    asked: 0,
                });
                id
            })
            .map_err(|refusal| self.refuse(refusal))
    }

    /// The events to register for, if that is allowed.
    fn may_register(&self, name: &str, body: &[u8]) -> Result<Vec<String>, Refusal> {
        if name.is_empty() {
            return Err(Refusal::forbidden(
                "Extension.InvalidExtensionName",
                "Empty extension name",
            ));
        }
        let events = events_in(body)
            .ok_or_else(|| Refusal::forbidden("InvalidRequestFormat", "not {\"events\": [..]}"))?;
        let external = self.is_external(name);
        for event in &events {
            self.may_subscribe(event, external)
                .map_err(|why| Refusal::forbidden("Extension.InvalidEventType", why))?;
        }
        if !self.runtime.registration_is_open() {
            let message = "Extension registration closed already";
            return Err(Refusal::forbidden("Extension.RegistrationClosed", message));
        }
        if !external && self.extensions_known() >= MOST_EXTENSIONS {
            let message = format!("Extension limit ({MOST_EXTENSIONS}) reached");
            return Err(Refusal::forbidden("Extension.TooManyExtensions", message));
        }
        if self.is_registered(name) {
            return Err(Refusal::extension_state("Extension with this name already registered"));
        }
        Ok(events)
    }

    fn may_subscribe(&self, event: &str, external: bool) -> Result<(), String> {
        match (event, external) {
            ("SHUTDOWN", true) => Ok(()),
            (_, false) if self.function.is_managed() => {
                Err("No events allowed for internal extensions".to_owned())
            }
            ("INVOKE", _) if !self.function.is_managed() => Ok(()),
            ("SHUTDOWN", false) => {
                Err(format!("{event}: ShutdownEventNotSupportedForInternalExtension"))
            }
            _ => Err(format!("{event}: ErrorInvalidEventType")),
        }
    }

    pub(crate) fn is_external(&self, name: &str) -> bool {
        self.function.external_extensions.iter().any(|it| it == name)
    }

    pub(crate) fn is_registered(&self, name: &str) -> bool {
        self.extensions.iter().any(|it| it.name == name)
    }

    /// External extensions count from the start: they are files.
    fn extensions_known(&self) -> usize {
        let internal = self.extensions.iter().filter(|it| !self.is_external(&it.name)).count();
        internal + self.function.external_extensions.len()
    }
}

/// Events.
impl State {
    pub(crate) fn fail_next(&mut self, extension: String, fault: Fault) {
        self.next_faults.entry(extension).or_default().push_back(fault);
    }

    /// The extension asks for an event; says which of its questions that is.
    pub(crate) fn extension_asks(&mut self, id: &str) -> Result<u64, Refusal> {
        let Some(place) = self.place_of(id) else {
            return Err(self.refuse(Refusal::unknown_extension(id)));
        };
        let extension = &mut self.extensions[place];
        if extension.phase == Phase::Failed {
            return Err(self.refuse(Refusal::extension_state("the extension has failed")));
        }
        extension.phase = Phase::Running;
        extension.asking = true;
        extension.asked += 1;
        let asked = extension.asked;
        self.counts.extensions_asked += 1;
        self.extension_has_asked(place);
        Ok(asked)
    }

    /// The answer to a question of an extension, once there is one.
    pub(crate) fn take_event(&mut self, id: &str, asked: u64) -> Option<Answer<String>> {
        if self.ended {
            return Some(Answer::Fault(Fault::Close));
        }
        let Some(place) = self.place_of(id) else {
            return Some(Answer::Refused(Refusal::unknown_extension(id)));
        };
        let extension = &self.extensions[place];
        if self.frozen || extension.asked != asked {
            return None;
        }
        let fault = self.next_faults.get_mut(&extension.name).and_then(|it| it.pop_front());
        let answer = match fault {
            Some(Fault::Close) => return Some(Answer::Fault(Fault::Close)),
            Some(fault) => Answer::Fault(fault),
            None => Answer::Event(self.take_shutdown(place).or_else(|| self.take_invoke(place))?),
        };
        self.extensions[place].asking = false;
        Some(answer)
    }

    fn place_of(&self, id: &str) -> Option<usize> {
        self.extensions.iter().position(|it| it.id == id)
    }
}

/// Reports.
impl State {
    /// An extension reports that it failed, in init or afterwards.
    pub(crate) fn extension_failed(
        &mut self,
        kind: ReportKind,
        id: &str,
        error_type: String,
        body: String,
    ) -> Result<(), Refusal> {
        let place = self.place_of(id);
        let verdict = self.may_report(kind, id, &error_type);
        let extension = place.map(|it| self.extensions[it].name.clone());
        let report = Report { kind, extension, error_type, body, refused: verdict.is_err() };
        self.reports.push(report.clone());
        if let Err(refusal) = verdict {
            return Err(self.refuse(refusal));
        }
        if let Some(place) = place {
            self.extensions[place].phase = Phase::Failed;
            self.extensions[place].asking = false;
        }
        if kind == ReportKind::ExtensionInit {
            self.failed = Some(report);
        }
        Ok(())
    }

    fn may_report(&self, kind: ReportKind, id: &str, error_type: &str) -> Result<(), Refusal> {
        let Some(place) = self.place_of(id) else {
            return Err(Refusal::unknown_extension(id));
        };
        if error_type.is_empty() {
            let message = "Lambda-Extension-Function-Error-Type not found";
            return Err(Refusal::forbidden("Extension.MissingHeader", message));
        }
        let phase = &self.extensions[place].phase;
        match kind {
            ReportKind::ExtensionInit if *phase == Phase::Running => {
                Err(Refusal::extension_state("init is over for this extension"))
            }
            _ => Ok(()),
        }
    }
}

fn events_in(body: &[u8]) -> Option<Vec<String>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    match body.as_object()?.get("events") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(events) => {
            events.as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect()
        }
    }
}

pub(super) fn uuid() -> String {
    let hex = format!("{:032x}", fastrand::u128(..));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
