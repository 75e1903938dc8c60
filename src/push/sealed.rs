//! Message encryption for Web Push (RFC 8291) in the content coding aes128gcm (RFC 8188): only the subscriber reads what a
//! push service carries.

use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// RFC 8188 §2.1: the one record's size, larger than any notification.
const RECORD_BYTES: u32 = 4_096;
/// Texts are filled up to a multiple, so that their length says little.
const PAD_BYTES: usize = 128;
/// RFC 8030 §7.2: a push service need not take more than 4096 bytes. What encryption adds is left out, and so is the filling.
pub const TEXT_BYTES_MAX: usize = 3_072;
/// RFC 8188 §2: what ends the last record's text.
const LAST: u8 = 2;

/// A length for HKDF.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn derived<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let extracted = Salt::new(HKDF_SHA256, salt).extract(secret);
    extracted.expand(info, Bytes(N)).ok()?.fill(&mut bytes).ok()?;
    Some(bytes)
}

/// The body of a request that only the owner of these keys can read. `None` if the public key is no point on P-256, or the
/// text has more than [`TEXT_BYTES_MAX`] bytes.
pub fn seal(text: &[u8], p256dh: &[u8; 65], auth: &[u8; 16]) -> Option<Vec<u8>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let random = SystemRandom::new();
    let mut salt = [0; 16];
    random.fill(&mut salt).ok()?;
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).ok()?;
    let own_public = own.compute_public_key().ok()?;
    let own_public = own_public.as_ref();
    let theirs = UnparsedPublicKey::new(&ECDH_P256, p256dh);
    // RFC 8291 §3.4
    let secret: [u8; 32] = agree_ephemeral(own, &theirs, |shared| {
        derived(auth, shared, &[b"WebPush: info\0", p256dh, own_public])
    })
    .ok()??;
    let key: [u8; 16] = derived(&salt, &secret, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = derived(&salt, &secret, &[b"Content-Encoding: nonce\0"])?;

    let mut record = text.to_vec();
    record.push(LAST);
    record.resize(record.len().next_multiple_of(PAD_BYTES), 0);
    let key = ring::aead::LessSafeKey::new(ring::aead::UnboundKey::new(&ring::aead::AES_128_GCM, &key).ok()?);
    let nonce = ring::aead::Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, ring::aead::Aad::empty(), &mut record)
        .ok()?;

    let id_bytes = u8::try_from(own_public.len()).ok()?;
    Some(
        [
            &salt[..],
            &RECORD_BYTES.to_be_bytes(),
            &[id_bytes],
            own_public,
            &record,
        ]
        .concat(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The subscriber's side, written from the RFC with another order of steps.
    fn open(body: &[u8], private: EphemeralPrivateKey, public: &[u8], auth: &[u8; 16]) -> Vec<u8> {
        let (salt, rest) = body.split_at(16);
        let (record_bytes, rest) = rest.split_at(4);
        assert_eq!(record_bytes, RECORD_BYTES.to_be_bytes());
        let (sender, record) = rest[1..].split_at(usize::from(rest[0]));
        let theirs = UnparsedPublicKey::new(&ECDH_P256, sender);
        let shared = agree_ephemeral(private, &theirs, <[u8]>::to_vec).unwrap();
        let info = [&b"WebPush: info\0"[..], public, sender].concat();
        let secret: [u8; 32] = derived(auth, &shared, &[&info]).unwrap();
        let key: [u8; 16] = derived(salt, &secret, &[b"Content-Encoding: aes128gcm\0"]).unwrap();
        let nonce: [u8; 12] = derived(salt, &secret, &[b"Content-Encoding: nonce\0"]).unwrap();
        let key = ring::aead::UnboundKey::new(&ring::aead::AES_128_GCM, &key).unwrap();
        let mut record = record.to_vec();
        let opened = ring::aead::LessSafeKey::new(key)
            .open_in_place(
                ring::aead::Nonce::assume_unique_for_key(nonce),
                ring::aead::Aad::empty(),
                &mut record,
            )
            .unwrap();
        let end = opened.iter().rposition(|byte| *byte != 0).unwrap();
        assert_eq!(opened[end], LAST);
        opened[..end].to_vec()
    }

    #[test]
    fn the_subscriber_reads_it_and_its_length_says_little() {
        let mut lengths = Vec::new();
        for text in ["{}", r#"{"kind":"message","messages":3}"#] {
            let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
            let public: [u8; 65] = private.compute_public_key().unwrap().as_ref().try_into().unwrap();
            let auth = [7; 16];
            let body = seal(text.as_bytes(), &public, &auth).unwrap();
            lengths.push(body.len());
            assert_eq!(open(&body, private, &public, &auth), text.as_bytes());
        }
        assert_eq!(lengths[0], lengths[1]);
        let long = seal(&[b'x'; TEXT_BYTES_MAX], &lengths_key(), &[0; 16]).unwrap();
        assert!(long.len() <= RECORD_BYTES as usize);
        assert!(seal(&[b'x'; TEXT_BYTES_MAX + 1], &lengths_key(), &[0; 16]).is_none());
    }

    fn lengths_key() -> [u8; 65] {
        let private = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        private.compute_public_key().unwrap().as_ref().try_into().unwrap()
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let mut point = [9; 65];
        point[0] = 4;
        assert_eq!(seal(b"x", &point, &[0; 16]), None);
        assert_eq!(seal(b"x", &[0; 65], &[0; 16]), None);
    }
}
