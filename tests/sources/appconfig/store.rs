//! What AppConfigData says in answer to a session: winterbaume has sessions, but neither says "nothing
//! new" nor minds how often it is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::body::SdkBody;
use lambda_cache::Clock;
use lambda_cache::testing::TestClock;
use serde_json::json;

use crate::aws::{Answer, Call};
use crate::fixture::World;

/// One configuration, as it is deployed now. Clones share it.
#[derive(Clone)]
pub(super) struct Deployed(Arc<Mutex<State>>);

struct State {
    clock: TestClock,
    content: Vec<u8>,
    label: Option<String>,
    /// Counts deployments.
    version: usize,
    tokens: usize,
    /// Tokens that can be used: which version their session has seen, and since when they may be.
    live: HashMap<String, (usize, Duration)>,
}

impl Deployed {
    /// From now on this is what `world` has, and says.
    pub(super) fn in_world(world: &World, content: impl AsRef<[u8]>) -> Self {
        let state = State {
            clock: world.clock.clone(),
            content: content.as_ref().to_vec(),
            label: None,
            version: 1,
            tokens: 0,
            live: HashMap::new(),
        };
        let deployed = Self(Arc::new(Mutex::new(state)));
        deployed.heal(world);
        deployed
    }

    /// From now on it answers again.
    pub(super) fn heal(&self, world: &World) {
        let state = Arc::clone(&self.0);
        world.aws.script(move |call| Some(state.lock().unwrap().answer(call)));
    }

    pub(super) fn deploy(&self, content: impl AsRef<[u8]>) {
        let mut state = self.0.lock().unwrap();
        state.content = content.as_ref().to_vec();
        state.version += 1;
    }

    pub(super) fn label(&self, label: &str) {
        self.0.lock().unwrap().label = Some(label.to_owned());
    }

    /// Every session is over: a day has gone by, say.
    pub(super) fn expire_sessions(&self) {
        self.0.lock().unwrap().live.clear();
    }
}

impl State {
    fn answer(&mut self, call: &Call) -> Answer {
        if call.method == "POST" {
            let token = self.token(0, Duration::ZERO);
            return Answer::Say(201, json!({ "InitialConfigurationToken": token }).to_string());
        }
        let now = self.clock.now().monotonic();
        let Some((seen, from)) = self.live.remove(&token(call)) else { return refused() };
        if now < from {
            return refused();
        }
        let next = self.token(self.version, now + Duration::from_secs(15));
        let content = if seen == self.version { Vec::new() } else { self.content.clone() };
        let mut answer = HttpResponse::new(200.try_into().unwrap(), SdkBody::from(content));
        let headers = answer.headers_mut();
        headers.insert("next-poll-configuration-token", next);
        headers.insert("next-poll-interval-in-seconds", "15");
        headers.insert("content-type", "application/json");
        if let Some(label) = &self.label {
            headers.insert("version-label", label.clone());
        }
        Answer::Http(Box::new(answer))
    }

    fn token(&mut self, seen: usize, from: Duration) -> String {
        self.tokens += 1;
        let token = format!("token-{}", self.tokens);
        self.live.insert(token.clone(), (seen, from));
        token
    }
}

/// The token that a call spends.
pub(super) fn token(call: &Call) -> String {
    let token = call.uri.split("configuration_token=").nth(1).unwrap_or_default();
    token.split('&').next().unwrap_or_default().to_owned()
}

/// As for a token that was used, has expired, or comes too early.
fn refused() -> Answer {
    error(400, "BadRequestException")
}

/// An error of this protocol.
pub(super) fn error(status: u16, code: &'static str) -> Answer {
    let body = SdkBody::from(json!({ "Message": "as the test said" }).to_string());
    let mut answer = HttpResponse::new(status.try_into().unwrap(), body);
    answer.headers_mut().insert("x-amzn-errortype", code);
    Answer::Http(Box::new(answer))
}

/// Which operations were called: `S`tart and `G`et.
pub(super) fn operations(calls: &[Call]) -> String {
    calls.iter().map(|call| if call.method == "POST" { 'S' } else { 'G' }).collect()
}
