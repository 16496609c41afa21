//! What an example claims, and whether it is so.

use std::fmt::Display;

use super::Error;

pub struct Claims {
    broken: usize,
}

impl Claims {
    /// Begins the list that an example's account ends with.
    pub fn begin() -> Self {
        println!();
        Self { broken: 0 }
    }

    pub fn check(&mut self, claim: impl Display, holds: bool) {
        self.broken += usize::from(!holds);
        println!("{} {claim}", if holds { "held:  " } else { "BROKEN:" });
    }

    pub fn verdict(self) -> Result<(), Error> {
        match self.broken {
            0 => Ok(()),
            broken => Err(format!("{broken} claims do not hold").into()),
        }
    }
}
