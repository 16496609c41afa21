//! What docs/guarantee.md promises, as a judgement of what was read. It knows true time, and what the
//! source answered when; it shares no code with the cache.

use std::collections::BTreeMap;

use crate::history::{Clocks, How, Setup, Target, What};
use crate::world::{Answer, Asker, True, When, World};

/// A read, and what it got.
#[derive(Debug, Clone)]
pub struct Read {
    pub what: What,
    pub began: When,
    /// When the invocation that it belongs to began, if the cache had been told.
    pub invocation: Option<True>,
    pub ended: When,
    pub got: Vec<(Target, Got)>,
}

#[derive(Debug, Clone, Copy)]
pub enum Got {
    /// A value, how old it is said to be, and whether it is said to be stale.
    Value {
        value: u64,
        age: u64,
        stale: bool,
    },
    /// It has not been loaded, as lazy entries in snapshots are not.
    NotLoaded,
    Stopped,
    Error,
}

/// What a target is declared with.
#[derive(Debug, Clone, Copy)]
struct Policy {
    thing: usize,
    max_age: Option<u64>,
    stale_if_error: u64,
    derived: bool,
    /// Errors may be answers for a while, or without another attempt.
    errors_answer: bool,
    is_lazy: bool,
}

#[derive(Debug)]
pub struct Oracle {
    setup: Setup,
    /// The longest that a fetch may be under way.
    pub timeout: u64,
    /// How much time neither clock may have seen.
    unseen: True,
    /// What reads that have ended got of each target.
    seen: BTreeMap<Target, Vec<(When, u64)>>,
    /// When each thing's values were last said to be wrong, and when that had been heard.
    invalidated: BTreeMap<usize, (When, When)>,
    pub killed: bool,
}

/// The difference between a fetch's timeout and when a freeze must have held it up.
pub const GRACE: u64 = 1000;
/// A source that is well answers in this time.
const LONG_ENOUGH: u64 = 100;
/// What a trace id does not show: what a clock may well be off by, and parts of a second.
const UNSEEN: True = 6000;

impl Oracle {
    pub fn new(setup: &Setup) -> Self {
        let entries = setup.entries.iter().filter_map(|entry| entry.timeout);
        let memos = setup.memos.iter().filter_map(|memo| memo.timeout);
        let timeout = entries.chain(memos).chain([setup.timeout]).max().unwrap_or_default();
        Self {
            setup: setup.clone(),
            timeout,
            unseen: if setup.clocks == Clocks::WallLags { UNSEEN } else { 0 },
            seen: BTreeMap::new(),
            invalidated: BTreeMap::new(),
            killed: false,
        }
    }

    /// An invocation's trace id was so old when the cache heard of it.
    pub fn trace_delayed(&mut self, delay: True) {
        if self.setup.clocks == Clocks::WallLags {
            self.unseen = self.unseen.max(UNSEEN + delay);
        }
    }

    pub fn invalidated(&mut self, target: Target, asked: When, heard: When) {
        // An entry's fate is shared by all that share its request; a key's is its own.
        let key = match target {
            Target::Entry(entry) => self.setup.entries[entry].thing,
            Target::Key(memo, thing) => self.key_number(memo, thing),
        };
        self.invalidated.insert(key, (asked, heard));
    }

    fn key_number(&self, memo: usize, thing: usize) -> usize {
        self.setup.things.len() * (memo + 1) + thing
    }

    fn policy(&self, target: Target) -> Policy {
        match target {
            Target::Entry(entry) => {
                let entry = self.setup.entries[entry];
                Policy {
                    thing: entry.thing,
                    max_age: entry.max_age,
                    stale_if_error: entry.stale_if_error,
                    derived: entry.derived,
                    errors_answer: entry.wait_if_failing.is_some_and(|wait| wait < LONG_ENOUGH),
                    is_lazy: entry.loading != crate::history::Loading::AtInit,
                }
            }
            Target::Key(memo, thing) => {
                let memo = self.setup.memos[memo];
                Policy {
                    thing,
                    max_age: Some(memo.max_age),
                    stale_if_error: memo.stale_if_error,
                    derived: false,
                    errors_answer: memo.cache_errors_for > 0,
                    is_lazy: false,
                }
            }
        }
    }

    /// Judges a read that has ended; the rule that it breaks, if it does.
    pub fn judge(&mut self, world: &World, read: &Read) -> Result<(), String> {
        for &(target, got) in &read.got {
            let how = match read.what {
                What::Snapshot => How::Get,
                What::One(_, how) => how,
            };
            let judged = match got {
                Got::Value { value, age, stale } => {
                    self.judge_value(world, read, target, how, (value, age, stale))
                }
                Got::Error => self.judge_error(world, read, target, how),
                Got::NotLoaded => {
                    let is_excused = self.policy(target).is_lazy && read.what == What::Snapshot;
                    if is_excused { Ok(()) } else { Err("said to be not loaded".into()) }
                }
                Got::Stopped if self.killed => Ok(()),
                Got::Stopped => Err("said to have stopped".into()),
            };
            judged.map_err(|rule| format!("{rule}: {target:?}, {got:?} of {read:?}"))?;
        }
        Ok(())
    }

    fn judge_value(
        &mut self,
        world: &World,
        read: &Read,
        target: Target,
        how: How,
        (value, age, stale): (u64, u64, bool),
    ) -> Result<(), String> {
        let policy = self.policy(target);
        let max_age = match how {
            // A trace id says nothing of what never expires.
            How::Within(_) if self.unseen > 0 && policy.max_age.is_none() => None,
            How::Within(age) if matches!(target, Target::Entry(_)) => {
                Some(policy.max_age.map_or(age, |max_age| max_age.min(age)))
            }
            _ => policy.max_age,
        };
        let asker = match target {
            Target::Entry(_) => Asker::Entries,
            Target::Key(memo, _) if self.setup.memos[memo].batched => Asker::Keys(memo),
            Target::Key(memo, _) => Asker::Function(memo),
        };
        let answers = world.thing(policy.thing, |thing| thing.arrived.clone());
        let answers = answers.iter().filter(|&&(it, answer)| it == asker && answer.value == value);
        let answers = answers.map(|(_, answer)| answer);
        let key = match target {
            Target::Entry(_) => policy.thing,
            Target::Key(memo, thing) => self.key_number(memo, thing),
        };
        let invalidated = self.invalidated.get(&key).filter(|(_, heard)| *heard < read.began);
        let is_fresh = |answer: &&Answer| {
            let age = read.ended.at - answer.asked.at;
            let lifetime = answer.lifetime.filter(|&lifetime| lifetime > 0);
            let max_age = max_age.into_iter().chain(lifetime).min();
            let bound = max_age.map(|max_age| max_age as True + self.unseen);
            let stale = if stale { policy.stale_if_error as True } else { 0 };
            let fresh = how != How::Refresh && bound.is_none_or(|bound| age < bound + stale);
            let longest = (self.timeout + GRACE) as True + self.unseen;
            let waited =
                answer.asked > read.began && bound.is_none_or(|bound| age < bound.max(longest));
            let is_right = invalidated.is_none_or(|(asked, _)| answer.asked > *asked);
            is_right && (fresh || waited)
        };
        if !answers.clone().any(|answer| is_fresh(&answer)) {
            let newest = answers.map(|answer| read.ended.at - answer.asked.at).min();
            return Err(format!("a value that was asked for {newest:?} ms ago"));
        }
        if stale && (policy.stale_if_error == 0 || how == How::Refresh) {
            return Err("stale without permission".into());
        }
        let newest = answers.map(|answer| answer.asked.at).max().unwrap_or(True::MAX);
        let age = True::try_from(age).unwrap_or(True::MAX);
        let is_told = self.unseen == 0 || policy.max_age.is_some();
        if is_told && age.saturating_add(self.unseen) < read.ended.at - newest {
            return Err(format!("said to be younger than {} ms", read.ended.at - newest));
        }
        let seen = self.seen.entry(target).or_default();
        if let Some((at, newer)) = seen.iter().find(|&&(at, it)| at < read.began && it > value) {
            return Err(format!("older than value {newer}, which was read at {at:?}"));
        }
        if seen.last().is_none_or(|&(_, last)| last < value) {
            seen.push((read.ended, value));
        }
        Ok(())
    }

    /// In an invocation that the cache knows of, a read gets no error of a source that has been well since
    /// before.
    fn judge_error(
        &self,
        world: &World,
        read: &Read,
        target: Target,
        how: How,
    ) -> Result<(), String> {
        let policy = self.policy(target);
        let Some(invocation) = read.invocation else { return Ok(()) };
        let derives = policy.derived && !world.derives_well(target);
        // One call asks for many things.
        let is_well = (0..self.setup.things.len()).all(|thing| {
            world.thing(thing, |thing| thing.is_well_since(invocation) && !thing.throttled)
        });
        let answers = policy.errors_answer && how != How::Refresh;
        if is_well && !derives && !answers && !self.killed {
            return Err("an error, though the source is well".into());
        }
        Ok(())
    }
}
