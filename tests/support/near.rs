//! Texts near valid ones, for tests of parsers: random bytes seldom get past the first check.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One of the `valid` texts, with up to four edits: a few characters are cut out, and one of the
/// `pieces`, which mean something to the parser, or any character takes their place.
pub(crate) fn near(
    valid: impl Strategy<Value = String>,
    pieces: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => select(pieces).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => Just(String::new()),
    ];
    let edits = prop::collection::vec((any::<Index>(), 0..6_usize, piece), 0..5);
    (valid, edits).prop_map(|(text, edits)| {
        edits.into_iter().fold(text, |text, (at, cut, piece)| {
            let mut characters: Vec<char> = text.chars().collect();
            let from = at.index(characters.len() + 1);
            let to = (from + cut).min(characters.len());
            characters.splice(from..to, piece.chars());
            characters.into_iter().collect()
        })
    })
}

/// As [`near`], of these texts.
pub(crate) fn near_any(
    valid: &'static [&'static str],
    pieces: &'static [&'static str],
) -> impl Strategy<Value = String> {
    near(select(valid).prop_map(str::to_owned), pieces)
}
