//! Tokens: 160 random bits that only the invited person has, and what the database keeps of them.

use kim_core::random;
use sha2::{Digest, Sha256};

/// What is kept of a token. Nobody can find a token for it, nor guess one.
pub(super) type Hash = [u8; 32];

/// The length of every token there is; others need not be looked for.
const TOKEN_CHARS: usize = 32;

/// A new token.
pub(super) fn new() -> String {
    random::token()
}

/// What is kept of a token; `None` for what cannot be one.
pub(super) fn hash(token: &str) -> Option<Hash> {
    let is_token = token.len() == TOKEN_CHARS && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // A person may have typed it.
    is_token.then(|| Sha256::digest(token.to_ascii_lowercase().as_bytes()).into())
}
