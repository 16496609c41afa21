//! What happened, as a timeline and in numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lambda_cache::testing::Invocation;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::function::{HOSTS_STALE_IF_ERROR, MAX_AGES, Report};
use super::world::{LATENCY, NAMES, World};

/// The numbers of the summary.
#[derive(Debug, Default)]
pub struct Journal {
    pub invocations: usize,
    pub reads: usize,
    pub waited: usize,
    pub stale: usize,
    pub stale_on_error: usize,
    pub errors: usize,
    pub in_flight_at_a_freeze: usize,
}

impl Journal {
    pub fn heading(&self) {
        print!("{:>8}  {:>4}  ", "time", "inv.");
        for name in NAMES {
            print!("{name:>9}");
        }
        println!("{:>9}{:>9}{:>10}  refreshed (why)", "waited", "held", "in flight");
    }

    /// Prints one invocation, which was sent at `sent`, as a line.
    pub fn record(
        &mut self,
        world: &World,
        time: Duration,
        sent: SystemTime,
        invocation: &Invocation,
        refreshes: &[String],
    ) {
        let report: Report = invocation.json().expect("the handler's report");
        self.invocations += 1;
        self.reads += report.entries.len();
        print!("{:>6.2} s  {:>4}  ", time.as_secs_f64(), self.invocations);
        for (entry, seen) in report.entries.iter().enumerate() {
            print!("{:>9}", self.judge(world, entry, seen, sent));
        }
        let timings = invocation.timings;
        let handled = timings.responded.zip(timings.handed_over).map(|(end, start)| end - start);
        let waited = handled.filter(|handled| *handled > LATENCY / 2);
        self.waited += usize::from(waited.is_some());
        let held = invocation.held_after_response().unwrap_or_default();
        let in_flight = world.aws.network.in_flight();
        self.in_flight_at_a_freeze += in_flight;
        println!(
            "{:>9}{:>9}{in_flight:>10}  {}",
            waited.map_or("-".to_owned(), |waited| format!("{} ms", waited.as_millis())),
            format!("{} ms", held.as_millis()),
            refreshes.join(", "),
        );
    }

    /// The age of one value, marked if it was older than allowed.
    fn judge(
        &mut self,
        world: &World,
        entry: usize,
        seen: &Result<super::function::Seen, String>,
        sent: SystemTime,
    ) -> String {
        let Ok(seen) = seen else {
            self.errors += 1;
            return "error".to_owned();
        };
        let longer = if seen.stale { HOSTS_STALE_IF_ERROR } else { Duration::ZERO };
        self.stale_on_error += usize::from(seen.stale);
        let bound = MAX_AGES[entry] + longer;
        let outdated = world.outdated_for(entry, &seen.version, sent) >= bound;
        let old = !seen.stale && seen.age >= bound;
        self.stale += usize::from(outdated || old);
        let mark = if outdated || old {
            "!!"
        } else if seen.stale {
            "~"
        } else {
            ""
        };
        format!("{mark}{:.1} s", seen.age.as_secs_f64())
    }

    pub fn summary(&self, world: &World) {
        println!();
        println!("invocations:             {}", self.invocations);
        println!("reads:                   {}", self.reads);
        println!("API calls made:          {}", world.aws.network.calls());
        println!("with a call per read:    {}", self.reads);
        println!("handlers that waited:    {}", self.waited);
        println!("errors (source failing): {}", self.errors);
        println!("stale on error (marked): {}", self.stale_on_error);
        println!("stale values served: {}", self.stale);
        println!("in flight at a freeze: {}", self.in_flight_at_a_freeze);
    }

    pub fn kept_the_promise(&self) -> bool {
        self.stale == 0 && self.in_flight_at_a_freeze == 0
    }
}

/// Collects the cache's tracing spans: one for each refresh.
#[derive(Clone, Default)]
pub struct Refreshes {
    open: Arc<Mutex<BTreeMap<u64, Fields>>>,
    done: Arc<Mutex<Vec<String>>>,
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Refreshes {
    /// The refreshes that have ended since the last call of this.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.done.lock().expect("no panic"))
    }
}

impl<S: tracing::Subscriber> Layer<S> for Refreshes {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        if attributes.metadata().name() == "refresh" {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            self.open.lock().expect("no panic").insert(id.into_u64(), fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(fields) = self.open.lock().expect("no panic").get_mut(&id.into_u64()) {
            values.record(fields);
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        if let Some(Fields(fields)) = self.open.lock().expect("no panic").remove(&id.into_u64()) {
            let field = |name| fields.get(name).map_or("?", String::as_str);
            let outcome = match field("outcome") {
                "changed" => "*".to_owned(),
                "unchanged" => String::new(),
                other => format!(" {other}"),
            };
            let line = format!("{}{outcome} ({})", field("entry"), field("cause"));
            self.done.lock().expect("no panic").push(line);
        }
    }
}
