//! One challenge. The server keeps nothing of those that it gives out: each carries what it was made of, and a code by which
//! the server recognises it.

use std::net::IpAddr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use kim_core::clock::Timestamp;
use kim_core::random;
use sha2::{Digest, Sha256};

const NONCE_BYTES: usize = 10;
const CODE_BYTES: usize = 16;
const TOKEN_BYTES: usize = NONCE_BYTES + 8 + 4 + CODE_BYTES;
/// The longest answer that is hashed.
const ANSWER_BYTES_MAX: usize = 512;

/// Tells challenges apart.
pub(super) type Nonce = [u8; NONCE_BYTES];

/// The key of all challenges of this process. What an earlier process gave out is worth nothing, so that nobody can use it again.
pub(super) struct ChallengeKey([u8; 32]);

impl ChallengeKey {
    pub fn new() -> ChallengeKey {
        ChallengeKey(random::bytes())
    }
}

/// Whom a challenge is for: nobody else can answer it.
#[derive(Clone, Copy)]
pub(super) struct Recipient<'a> {
    pub domain: &'a str,
    /// The network it was given to.
    pub network: IpAddr,
}

/// What a client has to find: a text that begins with `from`, whose SHA-256 hash ends in the bits of `label` (§6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub nonce: Nonce,
    pub expires: i64,
    pub label: u32,
}

/// Why an answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadAnswer {
    /// This server did not give out that challenge to this client, or too long ago.
    Void,
    /// The text is not one that was asked for.
    Wrong,
}

impl Challenge {
    /// A new one of so many bits, at most 31: the first of them is always set, so that the label has them all.
    pub fn new(bits: u32, expires: Timestamp) -> Challenge {
        let top = 1_u32 << (bits.clamp(1, 31) - 1);
        Challenge {
            nonce: random::bytes(),
            expires: expires.0,
            label: top | (u32::from_be_bytes(random::bytes()) & (top - 1)),
        }
    }

    /// How many bits of the hash are given.
    pub fn bits(&self) -> u32 {
        u32::BITS - self.label.leading_zeros()
    }

    fn head(&self) -> [u8; NONCE_BYTES + 12] {
        let mut head = [0; NONCE_BYTES + 12];
        head[..NONCE_BYTES].copy_from_slice(&self.nonce);
        head[NONCE_BYTES..NONCE_BYTES + 8].copy_from_slice(&self.expires.to_be_bytes());
        head[NONCE_BYTES + 8..].copy_from_slice(&self.label.to_be_bytes());
        head
    }

    /// The id under which it travels.
    pub fn token(&self, key: &ChallengeKey, recipient: Recipient<'_>) -> Option<String> {
        let head = self.head();
        let code = code(key, &head, recipient)?.finalize().into_bytes();
        let token = [&head[..], code.get(..CODE_BYTES)?].concat();
        let mut text = BASE32_NOPAD.encode(&token);
        text.make_ascii_lowercase();
        Some(text)
    }

    /// The challenge of that id, if this process gave it to this client and it is not over. The code is compared in constant
    /// time.
    pub fn of_token(
        token: &str,
        key: &ChallengeKey,
        recipient: Recipient<'_>,
        now: Timestamp,
    ) -> Result<Challenge, BadAnswer> {
        // One spelling for each: a second one would be another id of the same challenge.
        if token.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(BadAnswer::Void);
        }
        let bytes = BASE32_NOPAD
            .decode(token.to_ascii_uppercase().as_bytes())
            .map_err(|_| BadAnswer::Void)?;
        let bytes: [u8; TOKEN_BYTES] = bytes.try_into().map_err(|_| BadAnswer::Void)?;
        let (head, its_code) = bytes.split_at(TOKEN_BYTES - CODE_BYTES);
        code(key, head, recipient)
            .ok_or(BadAnswer::Void)?
            .verify_truncated_left(its_code)
            .map_err(|_| BadAnswer::Void)?;
        let (nonce, rest) = head.split_first_chunk::<NONCE_BYTES>().ok_or(BadAnswer::Void)?;
        let (expires, label) = rest.split_first_chunk::<8>().ok_or(BadAnswer::Void)?;
        let challenge = Challenge {
            nonce: *nonce,
            expires: i64::from_be_bytes(*expires),
            label: u32::from_be_bytes(label.try_into().map_err(|_| BadAnswer::Void)?),
        };
        match challenge.expires > now.0 {
            true => Ok(challenge),
            false => Err(BadAnswer::Void),
        }
    }

    /// What the text has to begin with: an address at this server that only this challenge has.
    pub fn from(&self, domain: &str) -> String {
        format!("{domain}/{}", HEXLOWER.encode(&self.nonce))
    }

    /// The label as it stands in the form.
    pub fn label(&self) -> String {
        format!("{:x}", self.label)
    }

    /// Whether a text is one that was asked for.
    pub fn check(&self, domain: &str, answer: &str) -> Result<(), BadAnswer> {
        let mask = (1_u64 << self.bits()) - 1;
        if answer.len() > ANSWER_BYTES_MAX || !answer.starts_with(&self.from(domain)) {
            return Err(BadAnswer::Wrong);
        }
        let hash = Sha256::digest(answer.as_bytes());
        let end = hash.last_chunk::<8>().copied().map(u64::from_be_bytes);
        match end.is_some_and(|end| end & mask == u64::from(self.label)) {
            true => Ok(()),
            false => Err(BadAnswer::Wrong),
        }
    }
}

/// What the code is made of, with the length of each part that has none of its own.
fn code(key: &ChallengeKey, head: &[u8], recipient: Recipient<'_>) -> Option<Hmac<Sha256>> {
    let mut code = Hmac::<Sha256>::new_from_slice(&key.0).ok()?;
    code.update(head);
    match recipient.network {
        IpAddr::V4(address) => code.update(&address.to_ipv6_mapped().octets()),
        IpAddr::V6(address) => code.update(&address.octets()),
    }
    code.update(recipient.domain.as_bytes());
    Some(code)
}
