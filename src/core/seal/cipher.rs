//! The cipher: XAES-256-GCM (C2SP), which is AES-256-GCM under a key derived for each message from a random nonce of
//! 192 bits. Random nonces of that size never meet, so a data key has no limit on how much it may seal, which plain
//! AES-256-GCM with its 96 bits has (decision 12).

use aes_gcm::aead::{AeadInOut, Buffer, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::{Aes256Gcm, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::random;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// The first byte of everything sealed: which form it has.
const FORM: u8 = 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What sealing adds to a text, in bytes.
pub const OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// What was sealed cannot be opened: another key, other associated data, or changed bytes. Nobody can tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was sealed with another key or for another place, or its bytes have changed")]
pub struct Unreadable;

/// A secret and what is derived from it: one key to seal, one to make tags. Overwritten when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    secret: [u8; KEY_BYTES],
    sealing: [u8; KEY_BYTES],
    tagging: [u8; KEY_BYTES],
}

impl Key {
    /// A new random key.
    pub fn random() -> Key {
        Key::from_secret(random::bytes())
    }

    /// The key of a secret.
    pub fn from_secret(mut secret: [u8; KEY_BYTES]) -> Key {
        let derive = |purpose: &[u8]| hmac(&secret, &[purpose]);
        let key = Key {
            sealing: derive(b"kIM sealing"),
            tagging: derive(b"kIM tags"),
            secret,
        };
        secret.zeroize();
        key
    }

    /// The secret, to be wrapped or written to the key file.
    pub(super) fn secret(&self) -> &[u8; KEY_BYTES] {
        &self.secret
    }

    /// Seals a text for one place: `aad` says which, and the text opens there only.
    pub fn seal(&self, aad: &[&[u8]], text: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = random::bytes();
        let mut sealed = Vec::with_capacity(text.len() + OVERHEAD_BYTES);
        sealed.push(FORM);
        sealed.extend_from_slice(&nonce);
        let mut body = Tail {
            bytes: &mut sealed,
            from: 1 + NONCE_BYTES,
        };
        // Room for all of it was made above: the text is never copied to a place that is not overwritten.
        body.bytes.extend_from_slice(text);
        if encrypt(&self.sealing, &nonce, &joined(aad), &mut body).is_err() {
            // The one cause is a text of 64 GiB.
            sealed.clear();
        }
        sealed
    }

    /// Opens what was sealed for that place.
    pub fn open(&self, aad: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (&FORM, rest) = sealed.split_first().ok_or(Unreadable)? else {
            return Err(Unreadable);
        };
        let (nonce, body) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Unreadable)?;
        let mut text = body.to_vec();
        let (key, rest) = message_key(&self.sealing, nonce);
        Aes256Gcm::new((&*key).into())
            .decrypt_in_place(&Nonce::from(rest), &joined(aad), &mut text)
            .map_err(|_| Unreadable)?;
        Ok(text)
    }

    /// A tag by which equal values are found without being readable: 64 bits that nobody without the key can compute
    /// or tell from random ones. Tags for different purposes have nothing to do with each other.
    pub fn tag(&self, purpose: &'static str, parts: &[&[u8]]) -> i64 {
        let mut mac = mac(&self.tagging);
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        let out = mac.finalize().into_bytes();
        out.first_chunk::<8>()
            .map_or(0, |first| i64::from_le_bytes(*first))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The parts, each with its length before it, so that no two lists of parts read the same.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

fn mac(key: &[u8; KEY_BYTES]) -> Hmac<Sha256> {
    // HMAC takes keys of every length.
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap_or_else(|_| KeyInit::new(&Default::default()))
}

pub(super) fn hmac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = mac(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn encrypt(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    body: &mut dyn Buffer,
) -> Result<(), aes_gcm::aead::Error> {
    let (key, rest) = message_key(key, nonce);
    Aes256Gcm::new((&*key).into()).encrypt_in_place(&Nonce::from(rest), aad, body)
}

/// XAES-256-GCM, "Overview": the key for this nonce by NIST SP 800-108r1 with CMAC, and the rest of the nonce.
fn message_key(key: &[u8; KEY_BYTES], nonce: &[u8; NONCE_BYTES]) -> (Zeroizing<[u8; KEY_BYTES]>, [u8; 12]) {
    let aes = Aes256::new(key.into());
    let mut first = [0; 12];
    let mut rest = [0; 12];
    let (left, right) = nonce.split_at(12);
    first.copy_from_slice(left);
    rest.copy_from_slice(right);
    let mut mask = [0_u8; 16];
    aes.encrypt_block((&mut mask).into());
    // Twice the mask in GF(2^128); which case it is tells nothing about the key worth hiding, but costs nothing to hide.
    let value = u128::from_be_bytes(mask);
    let mask = Zeroizing::new((value << 1) ^ (0x87 * (value >> 127)));
    let half = |counter: u8| {
        let mut block = [0_u8; 16];
        block[..4].copy_from_slice(&[0, counter, b'X', 0]);
        block[4..].copy_from_slice(&first);
        let mut block = (u128::from_be_bytes(block) ^ *mask).to_be_bytes();
        aes.encrypt_block((&mut block).into());
        block
    };
    let mut derived = Zeroizing::new([0; KEY_BYTES]);
    for (counter, part) in (1..).zip(derived.chunks_exact_mut(16)) {
        part.copy_from_slice(&half(counter));
    }
    (derived, rest)
}

/// The end of a buffer, in which a text is sealed in place behind its nonce.
struct Tail<'a> {
    bytes: &'a mut Vec<u8>,
    from: usize,
}

impl AsRef<[u8]> for Tail<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Tail<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.from..).unwrap_or_default()
    }
}

impl Buffer for Tail<'_> {
    fn extend_from_slice(&mut self, other: &[u8]) -> aes_gcm::aead::Result<()> {
        self.bytes.extend_from_slice(other);
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.from + len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C2SP, XAES-256-GCM, "Test vectors".
    #[test]
    fn the_cipher_is_the_published_one() {
        let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
        for (key, aad, expected) in [
            (
                [1; 32],
                "",
                "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
            ),
            (
                [3; 32],
                "c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ] {
            let mut body = b"XAES-256-GCM".to_vec();
            encrypt(&key, nonce, aad.as_bytes(), &mut body).unwrap();
            assert_eq!(data_encoding::HEXLOWER.encode(&body), expected);
        }
    }

    #[test]
    fn a_text_opens_at_its_place_only() {
        let key = Key::random();
        let sealed = key.seal(&[b"archive", b"1"], b"hello");
        assert_eq!(sealed.len(), 5 + OVERHEAD_BYTES);
        assert_eq!(key.open(&[b"archive", b"1"], &sealed).unwrap(), b"hello");
        assert_eq!(key.open(&[b"archive", b"2"], &sealed), Err(Unreadable));
        assert_eq!(key.open(&[b"archive1", b""], &sealed), Err(Unreadable));
        assert_eq!(Key::random().open(&[b"archive", b"1"], &sealed), Err(Unreadable));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(
                key.open(&[b"archive", b"1"], &changed),
                Err(Unreadable),
                "byte {at}"
            );
        }
        for len in 0..sealed.len() {
            assert_eq!(key.open(&[b"archive", b"1"], &sealed[..len]), Err(Unreadable));
        }
        assert_ne!(key.seal(&[], b"x"), key.seal(&[], b"x"));
        assert_eq!(key.open(&[], &key.seal(&[], b"")).unwrap(), b"");
    }

    #[test]
    fn tags_find_equals_and_tell_nothing_else() {
        let key = Key::from_secret([5; 32]);
        assert_eq!(
            key.tag("peer", &[b"a", b"b"]),
            key.clone().tag("peer", &[b"a", b"b"])
        );
        assert_ne!(key.tag("peer", &[b"a", b"b"]), key.tag("peer", &[b"ab", b""]));
        assert_ne!(key.tag("peer", &[b"a"]), key.tag("other", &[b"a"]));
        assert_ne!(key.tag("peer", &[b"a"]), Key::random().tag("peer", &[b"a"]));
        assert_eq!(format!("{key:?}"), "***");
    }
}
