//! Makes a history that breaks a rule shorter, as long as it breaks one.

use crate::history::{Event, History, Target, What};
use crate::player::{Broken, Simulator};

impl Simulator {
    /// The shortest history found, and what it breaks.
    pub fn shrink(&self, mut history: History, mut broken: Broken) -> (History, Broken) {
        history.events.truncate(broken.event + 1);
        loop {
            let before = history.clone();
            // Ever smaller runs of events.
            let mut run = history.events.len().max(1);
            while run > 0 {
                let mut start = 0;
                while start < history.events.len() {
                    let mut candidate = history.clone();
                    let end = (start + run).min(candidate.events.len());
                    candidate.events.drain(start..end);
                    if !self.still_breaks(&mut history, &mut broken, candidate) {
                        start += run;
                    }
                }
                run /= 2;
            }
            for memo in (0..history.setup.memos.len()).rev() {
                let candidate = without_memo(&history, memo);
                self.still_breaks(&mut history, &mut broken, candidate);
            }
            for entry in (0..history.setup.entries.len()).rev() {
                let candidate = without_entry(&history, entry);
                self.still_breaks(&mut history, &mut broken, candidate);
            }
            if history == before {
                return (history, broken);
            }
        }
    }

    /// Takes a candidate that breaks a rule too.
    fn still_breaks(&self, history: &mut History, broken: &mut Broken, candidate: History) -> bool {
        let Err(found) = self.play(&candidate) else { return false };
        *history = candidate;
        *broken = found;
        true
    }
}

fn without_memo(history: &History, memo: usize) -> History {
    let mut without = history.clone();
    without.setup.memos.remove(memo);
    retarget(&mut without, |target| match target {
        Target::Key(it, _) if it == memo => None,
        Target::Key(it, thing) if it > memo => Some(Target::Key(it - 1, thing)),
        other => Some(other),
    });
    without
}

fn without_entry(history: &History, entry: usize) -> History {
    let mut without = history.clone();
    without.setup.entries.remove(entry);
    retarget(&mut without, |target| match target {
        Target::Entry(it) if it == entry => None,
        Target::Entry(it) if it > entry => Some(Target::Entry(it - 1)),
        other => Some(other),
    });
    without
}

/// Has events be about other targets; those about `None` are left out.
fn retarget(history: &mut History, to: impl Fn(Target) -> Option<Target>) {
    let event = |event: &Event| {
        Some(match *event {
            Event::Read(by, What::One(target, how)) => Event::Read(by, What::One(to(target)?, how)),
            Event::Invalidate(target) => Event::Invalidate(to(target)?),
            Event::Derive(entry, derives) => match to(Target::Entry(entry))? {
                Target::Entry(entry) => Event::Derive(entry, derives),
                Target::Key(..) => return None,
            },
            other => other,
        })
    };
    history.events = history.events.iter().filter_map(event).collect();
}
