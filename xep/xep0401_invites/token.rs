//! Tokens: 160 random bits that only the invited person has, and what the database keeps of them.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
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

/// Bytes of a hash that name its invitation where people do: enough for no two to be alike, too few to be of use.
pub(super) const ID_BYTES: usize = 8;

/// The name of an invitation in lists.
pub(super) fn id(hash: &Hash) -> String {
    HEXLOWER.encode(hash.first_chunk::<ID_BYTES>().unwrap_or(&[0; ID_BYTES]))
}

/// The first and the last hash that an id can stand for. `None` if the text is not an id.
pub(super) fn hashes(id: &str) -> Option<[Hash; 2]> {
    let id: [u8; ID_BYTES] = HEXLOWER_PERMISSIVE.decode(id.as_bytes()).ok()?.try_into().ok()?;
    let filled = |with: u8| {
        let mut hash = [with; 32];
        hash.iter_mut().zip(id).for_each(|(byte, own)| *byte = own);
        hash
    };
    Some([filled(0), filled(u8::MAX)])
}
