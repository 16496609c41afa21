//! [`Token`]: what the function's own code knows, and a server that it can be made to call does not.

use std::fmt;

use subtle::ConstantTimeEq;

/// The environment's `AWS_SESSION_TOKEN`, or what it has instead.
#[derive(Clone)]
pub(crate) struct Token(Box<[u8]>);

impl Token {
    pub(crate) fn new(token: String) -> Self {
        Self(token.into_bytes().into())
    }

    /// Whether a client has it. How long this takes tells no more than the token's length.
    pub(super) fn is(&self, shown: &[u8]) -> bool {
        self.0.ct_eq(shown).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_and_nothing_else() {
        let token = Token::new("secret".to_owned());
        assert!(token.is(b"secret"));
        for wrong in ["", "secre", "secret ", "secrets", "Secret"] {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token");
    }
}
