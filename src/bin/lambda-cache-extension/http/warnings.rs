//! [`Warnings`]: logs what clients do wrong, without letting them flood the log.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::messages;

/// Each kind of warning has at most one line in this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// A kind of warning, which clients can cause any number of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warning {
    NoToken,
    Forwarded,
    OtherHost,
    TooManyConnections,
    Undeclared,
}

impl Warning {
    const COUNT: usize = 5;

    fn message(self) -> &'static str {
        match self {
            Self::NoToken => "refused: a request without the right token",
            Self::Forwarded => "refused: a request with X-Forwarded-For",
            Self::OtherHost => "refused: a request for another host than localhost",
            Self::TooManyConnections => "refused: more connections than LAMBDA_CACHE_MAX_CLIENTS",
            Self::Undeclared => "not served: a name that config.yaml does not declare",
        }
    }
}

/// Logs the first warning of a kind at once, counts those of the next second, and then logs how many
/// there were.
#[derive(Clone)]
pub(crate) struct Warnings(Arc<Shared>);

struct Shared {
    /// For each kind, the warnings left out since its last line; `None` if that was longer ago than
    /// the interval.
    left_out: Mutex<[Option<u64>; Warning::COUNT]>,
    log: fn(Line<'_>),
}

/// A line of the log.
#[derive(Debug, Clone, Copy)]
enum Line<'a> {
    /// A warning, and what the client asked for.
    Warning(Warning, &'a str),
    LeftOut(Warning, u64),
}

impl Warnings {
    pub(super) fn new() -> Self {
        Self::logged_by(|line| match line {
            Line::Warning(warning, asked) => tracing::warn!(asked, "{}", warning.message()),
            Line::LeftOut(warning, left_out) => tracing::warn!(left_out, "{}", warning.message()),
        })
    }

    fn logged_by(log: fn(Line<'_>)) -> Self {
        Self(Arc::new(Shared { left_out: Mutex::default(), log }))
    }

    /// Warns of a client that asked for `asked`.
    pub(super) fn warn(&self, warning: Warning, asked: &str) {
        let is_first = self.with_left_out(warning, |left_out| {
            let is_first = left_out.is_none();
            *left_out = Some(left_out.map_or(0, |count| count + 1));
            is_first
        });
        if is_first {
            (self.0.log)(Line::Warning(warning, messages::quote(asked)));
            tokio::spawn(self.clone().log_left_out(warning));
        }
    }

    /// After each interval logs how many warnings were left out in it, until none was.
    async fn log_left_out(self, warning: Warning) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let count = self.with_left_out(warning, |left_out| {
                let count = left_out.unwrap_or(0);
                *left_out = (count > 0).then_some(0);
                count
            });
            if count == 0 {
                return;
            }
            (self.0.log)(Line::LeftOut(warning, count));
        }
    }

    fn with_left_out<T>(&self, kind: Warning, change: impl FnOnce(&mut Option<u64>) -> T) -> T {
        let mut left_out = self.0.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut left_out[kind as usize])
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Warnings")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn lines() -> Vec<String> {
        LINES.take()
    }

    fn warnings() -> Warnings {
        Warnings::logged_by(|line| {
            let line = match line {
                Line::Warning(warning, asked) => format!("{warning:?} {asked}"),
                Line::LeftOut(warning, count) => format!("{warning:?} and {count} more"),
            };
            LINES.with_borrow_mut(|lines| lines.push(line));
        })
    }

    async fn pass(time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_has_one_line_a_second_that_says_how_many_were_left_out() {
        let warnings = warnings();
        let just_after = INTERVAL + Duration::from_millis(1);
        for n in 0..1000 {
            warnings.warn(Warning::NoToken, &format!("/{n}"));
            warnings.warn(Warning::Undeclared, "x");
        }
        assert_eq!(lines(), ["NoToken /0", "Undeclared x"]);
        pass(just_after).await;
        assert_eq!(lines(), ["NoToken and 999 more", "Undeclared and 999 more"]);
        // That line began another second.
        warnings.warn(Warning::NoToken, "/");
        assert_eq!(lines(), [""; 0]);
        pass(just_after).await;
        assert_eq!(lines(), ["NoToken and 1 more"]);
        pass(just_after).await;
        warnings.warn(Warning::NoToken, "/again");
        assert_eq!(lines(), ["NoToken /again"]);
        pass(10 * INTERVAL).await;
        assert_eq!(lines(), [""; 0]);
    }
}
