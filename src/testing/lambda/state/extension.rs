//! [`ExtensionState`]: which extension may register for what, and gets which event.

use serde_json::Value;

use super::{LambdaState, Refusal, Reply, uuid};
use crate::testing::lambda::builder::Fault;
use crate::testing::lambda::report::{RegisteredExtension, Report, ReportKind};

const MAX_EXTENSIONS: usize = 10;

#[derive(Debug)]
pub(super) struct ExtensionState {
    id: String,
    /// Only the latest of its requests for an event is answered: a client that asks again has closed
    /// its earlier connection.
    pub(super) registered: RegisteredExtension,
    phase: Phase,
    shutdown_sent: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Registered,
    /// It has asked for an event.
    Running,
    /// It has reported that it failed.
    Failed,
}

impl ExtensionState {
    pub(super) fn name(&self) -> &str {
        &self.registered.name
    }

    pub(super) fn is_asking(&self) -> bool {
        self.registered.is_asking
    }

    pub(super) fn gets_invoke(&self) -> bool {
        self.gets("INVOKE")
    }

    pub(super) fn gets_shutdown(&self) -> bool {
        self.gets("SHUTDOWN")
    }

    pub(super) fn waits_for_shutdown(&self) -> bool {
        self.gets_shutdown() && !self.shutdown_sent
    }

    fn gets(&self, event: &str) -> bool {
        self.registered.events.iter().any(|it| it == event)
    }
}

impl Refusal {
    fn unknown_extension(id: &str) -> Self {
        Self::forbidden("Extension.UnknownExtensionIdentifier", format!("Unknown extension {id}"))
    }

    fn extension_state(message: impl Into<String>) -> Self {
        Self::forbidden("Extension.InvalidExtensionState", message)
    }
}

/// Registration.
impl LambdaState {
    pub(crate) fn fail_register(&mut self, fault: Fault) {
        self.register_faults.push_back(fault);
    }

    pub(crate) fn take_register_fault(&mut self) -> Option<Fault> {
        self.register_faults.pop_front()
    }

    /// Registers an extension. Returns its id.
    pub(crate) fn register(&mut self, name: &str, body: &[u8]) -> Result<String, Refusal> {
        let events = self.may_register(name, body)?;
        let id = uuid();
        let name = name.to_owned();
        self.extensions.push(ExtensionState {
            id: id.clone(),
            registered: RegisteredExtension { name, events, asked: 0, is_asking: false },
            phase: Phase::Registered,
            shutdown_sent: false,
        });
        Ok(id)
    }

    /// The events to register for, if that is allowed.
    fn may_register(&self, name: &str, body: &[u8]) -> Result<Vec<String>, Refusal> {
        if name.is_empty() {
            let message = "Empty extension name";
            return Err(Refusal::forbidden("Extension.InvalidExtensionName", message));
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
        if !external && self.extension_count() >= MAX_EXTENSIONS {
            let message = format!("Extension limit ({MAX_EXTENSIONS}) reached");
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
        self.extensions.iter().any(|it| it.name() == name)
    }

    /// External extensions count before they have registered, because Lambda finds them as files.
    fn extension_count(&self) -> usize {
        let internal = self.extensions.iter().filter(|it| !self.is_external(it.name())).count();
        internal + self.function.external_extensions.len()
    }
}

/// Events.
impl LambdaState {
    pub(crate) fn fail_next(&mut self, extension: String, fault: Fault) {
        self.next_faults.entry(extension).or_default().push_back(fault);
    }

    /// An extension asks for its next event. Returns the number of its request.
    pub(crate) fn extension_asks(&mut self, id: &str) -> Result<u64, Refusal> {
        let index = self.extension_index(id)?;
        let extension = &mut self.extensions[index];
        if extension.phase == Phase::Failed {
            return Err(Refusal::extension_state("the extension has failed"));
        }
        extension.phase = Phase::Running;
        extension.registered.is_asking = true;
        extension.registered.asked += 1;
        let asked = extension.registered.asked;
        self.counts.extensions_asked += 1;
        self.extension_has_asked(index);
        Ok(asked)
    }

    /// The answer to an extension's request for its next event, once there is one.
    pub(crate) fn take_event(&mut self, id: &str, asked: u64) -> Option<Reply<String>> {
        if self.ended {
            return Some(Reply::Fault(Fault::Close));
        }
        let index = match self.extension_index(id) {
            Ok(index) => index,
            Err(refusal) => return Some(Reply::Refused(refusal)),
        };
        let extension = &self.extensions[index];
        if self.frozen || extension.registered.asked != asked {
            return None;
        }
        let fault = self.next_faults.get_mut(extension.name()).and_then(|it| it.pop_front());
        let reply = match fault {
            Some(Fault::Close) => return Some(Reply::Fault(Fault::Close)),
            Some(fault) => Reply::Fault(fault),
            None => Reply::Event(self.take_shutdown(index).or_else(|| self.take_invoke(index))?),
        };
        self.extensions[index].registered.is_asking = false;
        Some(reply)
    }

    fn take_shutdown(&mut self, extension: usize) -> Option<String> {
        let shutdown = self.shutdown.as_ref()?;
        let extension = &mut self.extensions[extension];
        if !extension.waits_for_shutdown() {
            return None;
        }
        extension.shutdown_sent = true;
        Some(shutdown.event.clone())
    }

    fn extension_index(&self, id: &str) -> Result<usize, Refusal> {
        let index = self.extensions.iter().position(|it| it.id == id);
        index.ok_or_else(|| Refusal::unknown_extension(id))
    }
}

/// Reports.
impl LambdaState {
    /// An extension reports that it failed, in init or later.
    pub(crate) fn extension_reports(
        &mut self,
        id: &str,
        mut report: Report,
    ) -> Result<(), Refusal> {
        let verdict = self.extension_index(id).and_then(|index| {
            report.extension = Some(self.extensions[index].name().to_owned());
            self.may_report(index, &report)?;
            Ok(index)
        });
        let index = self.add_report(report, verdict)?;
        let extension = &mut self.extensions[index];
        extension.phase = Phase::Failed;
        extension.registered.is_asking = false;
        Ok(())
    }

    fn may_report(&self, extension: usize, report: &Report) -> Result<(), Refusal> {
        if report.error_type.is_empty() {
            let message = "Lambda-Extension-Function-Error-Type not found";
            return Err(Refusal::forbidden("Extension.MissingHeader", message));
        }
        let is_running = self.extensions[extension].phase == Phase::Running;
        if report.kind == ReportKind::ExtensionInit && is_running {
            return Err(Refusal::extension_state("init is over for this extension"));
        }
        Ok(())
    }
}

/// The events that a registration asks for; `None` if it is malformed.
fn events_in(body: &[u8]) -> Option<Vec<String>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    match body.as_object()?.get("events") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(events) => {
            events.as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect()
        }
    }
}
