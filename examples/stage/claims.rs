//! What an example claims, and whether it is so.

use std::fmt::Display;

use super::Error;

#[derive(Default)]
pub struct Claims {
    broken: usize,
}

impl Claims {
    /// The claims of an example, with what they are about.
    pub fn of(example: &str) -> Self {
        println!("\n{example}:");
        Self::default()
    }

    pub fn check(&mut self, claim: impl Display, holds: bool) {
        self.broken += usize::from(!holds);
        println!("  {} {claim}", if holds { "held:  " } else { "BROKEN:" });
    }

    pub fn verdict(self) -> Result<(), Error> {
        match self.broken {
            0 => Ok(()),
            broken => Err(format!("{broken} claims do not hold").into()),
        }
    }
}
