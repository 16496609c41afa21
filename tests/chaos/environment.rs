//! An environment under AWS's emulator: its traffic, and its freezes.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};

use crate::emulator::Emulator;
use crate::oracle::{Freeze, Read, after, between, now};

/// For an invocation with all its reads and freezes. It is the function's timeout, too.
pub(crate) const LONGEST_INVOCATION: Duration = Duration::from_secs(120);
/// In milliseconds, the longest of freezes of some kinds: the last is longer than a fetch may take.
const FREEZES: [u64; 7] = [50, 50, 500, 500, 1500, 4000, 8000];

pub(crate) struct Environment {
    emulator: Emulator,
    /// The function's and the sidecar's.
    processes: BTreeSet<i32>,
    freezes: Mutex<Vec<Freeze>>,
    random: Mutex<Rng>,
}

impl Environment {
    /// Invokes the function once, after which all its processes are there.
    pub(crate) async fn start(emulator: Emulator, seed: u64) -> Self {
        let mut environment = Self {
            emulator,
            processes: BTreeSet::new(),
            freezes: Mutex::default(),
            random: Mutex::new(Rng::with_seed(seed)),
        };
        environment.invoke().await;
        environment.processes = environment.running();
        assert!(!environment.processes.is_empty(), "see {}", environment.emulator.log.display());
        environment
    }

    /// Invokes the function again and again. The last invocation may end after `deadline`.
    pub(crate) async fn is_busy_until(&self, deadline: u64) -> Vec<Read> {
        let mut reads = Vec::new();
        while now() < deadline {
            reads.extend(self.invoke().await);
            let longest = self.choose(&[0, 10, 10, 100, 1000, 3000]);
            let pause = Duration::from_millis(self.random.lock().unwrap().u64(0..=longest));
            tokio::time::sleep(pause.min(between(now(), deadline))).await;
        }
        reads
    }

    /// Stops all of its processes now and then, and lets them go on.
    pub(crate) async fn freezes_until(&self, deadline: u64) {
        loop {
            let pause = Duration::from_millis(self.random.lock().unwrap().u64(0..1500));
            if after(pause) >= deadline {
                return;
            }
            tokio::time::sleep(pause).await;
            let longest = self.choose(&FREEZES);
            let freeze = Duration::from_millis(self.random.lock().unwrap().u64(0..=longest));
            let began = now();
            self.signal(Signal::STOP);
            tokio::time::sleep(freeze).await;
            self.signal(Signal::CONT);
            self.freezes.lock().unwrap().push((began, now()));
        }
    }

    pub(crate) async fn invoke(&self) -> Vec<Read> {
        let seed = self.random.lock().unwrap().u32(..);
        let event = format!("{{\"sent\": {}, \"seed\": {seed}}}", now());
        let answer = self.emulator.post_within(&event, LONGEST_INVOCATION).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let log = self.emulator.log.display();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}; see {log}"))
    }

    /// Processes that have ended, and those that have come in their place.
    pub(crate) fn changed(&self) -> Vec<i32> {
        self.running().symmetric_difference(&self.processes).copied().collect()
    }

    /// What the processes have said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.emulator.log).unwrap()
    }

    pub(crate) fn freezes(&self) -> Vec<Freeze> {
        self.freezes.lock().unwrap().clone()
    }

    fn choose(&self, choices: &[u64]) -> u64 {
        self.random.lock().unwrap().choice(choices).copied().unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        for process in &self.processes {
            // Fails if it has ended, which is for `changed` to see.
            _ = kill_process(Pid::from_raw(*process).unwrap(), signal);
        }
    }

    /// The processes that the emulator has started, and those that they have.
    fn running(&self) -> BTreeSet<i32> {
        let mut found = BTreeSet::from([self.emulator.id()]);
        let parents: Vec<_> = fs::read_dir("/proc").unwrap().filter_map(parent_of).collect();
        loop {
            let next: BTreeSet<_> = parents
                .iter()
                .filter(|(_, parent)| found.contains(parent))
                .map(|(process, _)| *process)
                .chain(found.iter().copied())
                .collect();
            if next == found {
                break;
            }
            found = next;
        }
        found.remove(&self.emulator.id());
        found
    }
}

/// A process that has not ended, and its parent.
fn parent_of(entry: std::io::Result<fs::DirEntry>) -> Option<(i32, i32)> {
    let entry = entry.ok()?;
    let process = entry.file_name().to_str()?.parse().ok()?;
    let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
    // `<pid> (<name>) <state> <parent> ...`
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some((process, parent))
}
