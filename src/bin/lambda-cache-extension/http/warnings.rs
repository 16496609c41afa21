//! [`Warnings`]: tells the log what clients do wrong, without letting them flood it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::messages;

/// Of one kind there is at most one line in this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// What a client may do any number of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warning {
    NoToken,
    Forwarded,
    OtherHost,
    TooManyConnections,
    Undeclared,
}

impl Warning {
    const ALL: usize = 5;

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

/// Writes the first warning of a kind at once. Those of the next second are counted, and one line then
/// says how many there were.
#[derive(Clone)]
pub(crate) struct Warnings(Arc<Inner>);

struct Inner {
    /// For each kind how many warnings have been left out since its last line; `None` if that is
    /// longer ago than the interval.
    left_out: Mutex<[Option<u64>; Warning::ALL]>,
    write: fn(Line<'_>),
}

/// A line of the log.
#[derive(Debug, Clone, Copy)]
enum Line<'a> {
    /// What was asked for.
    One(Warning, &'a str),
    LeftOut(Warning, u64),
}

impl Warnings {
    pub(crate) fn new() -> Self {
        Self::written_by(write)
    }

    fn written_by(write: fn(Line<'_>)) -> Self {
        Self(Arc::new(Inner { left_out: Mutex::default(), write }))
    }

    /// Warns of a request for `asked`.
    pub(super) fn warn(&self, warning: Warning, asked: &str) {
        let is_first = self.left_out(warning, |left_out| match left_out {
            Some(count) => {
                *count += 1;
                false
            }
            None => {
                *left_out = Some(0);
                true
            }
        });
        if is_first {
            (self.0.write)(Line::One(warning, messages::quote(asked)));
            tokio::spawn(self.clone().count(warning));
        }
    }

    /// After each interval says how many warnings were left out in it, until none was.
    async fn count(self, warning: Warning) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let count = self.left_out(warning, |left_out| match left_out {
                Some(count @ 1..) => std::mem::take(count),
                _ => {
                    *left_out = None;
                    0
                }
            });
            if count == 0 {
                return;
            }
            (self.0.write)(Line::LeftOut(warning, count));
        }
    }

    fn left_out<T>(&self, warning: Warning, change: impl FnOnce(&mut Option<u64>) -> T) -> T {
        let mut left_out = self.0.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut left_out[warning as usize])
    }
}

fn write(line: Line<'_>) {
    match line {
        Line::One(warning, asked) => tracing::warn!(asked, "{}", warning.message()),
        Line::LeftOut(warning, left_out) => tracing::warn!(left_out, "{}", warning.message()),
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
        Warnings::written_by(|line| {
            let line = match line {
                Line::One(warning, asked) => format!("{warning:?} {asked}"),
                Line::LeftOut(warning, count) => format!("{warning:?} and {count} more"),
            };
            LINES.with_borrow_mut(|lines| lines.push(line));
        })
    }

    async fn pass(time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn of_each_kind_there_is_one_line_a_second_that_says_how_many_were_left_out() {
        let warnings = warnings();
        let just_after = INTERVAL + Duration::from_millis(1);
        for n in 0..1000 {
            warnings.warn(Warning::NoToken, &format!("/{n}"));
            warnings.warn(Warning::Undeclared, "x");
        }
        assert_eq!(lines(), ["NoToken /0", "Undeclared x"]);
        pass(just_after).await;
        assert_eq!(lines(), ["NoToken and 999 more", "Undeclared and 999 more"]);
        // That line counts as one.
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
