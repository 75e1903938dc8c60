//! The keys' arithmetic: whose signature it is, which keys are worthless, and the fingerprint that people compare.
//!
//! Version 0.3 publishes the identity key in its Montgomery form and the sign that this form lacks in the highest bit of the
//! signature; with both, what XEdDSA made is an Ed25519 signature (XEP-0384 §4.2, "XEdDSA"). The newer version publishes the
//! Ed25519 form. All values are public, so nothing here needs to hide how long it takes; the work is bounded by the lengths.

use curve25519_dalek::montgomery::MontgomeryPoint;
use ed25519_dalek::{Signature, VerifyingKey};
use kim_core::wire::El;

use super::flaw::Flaw;

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// Length of a signature in bytes.
pub const SIGNATURE_BYTES: usize = 64;
/// The byte before a key of version 0.3 that says Curve25519.
pub const TYPE_CURVE25519: u8 = 5;

/// A public key, 32 bytes of either form.
pub type PublicKey = [u8; KEY_BYTES];

/// An identity key in the form that both versions of the protocol have in common, as people compare it (§8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub PublicKey);

impl std::fmt::Display for Fingerprint {
    /// Eight groups of eight hexadecimal digits (§8).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if at > 0 && at % 4 == 0 {
                f.write_str(" ")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Checks the signature of a signed prekey of version 0.3: `key` is the identity key, Montgomery form without the byte for
/// its type; what was signed is the prekey with that byte.
pub fn verify_legacy(
    key: &PublicKey,
    signature: &[u8; SIGNATURE_BYTES],
    signed_prekey: &PublicKey,
) -> Result<Fingerprint, Flaw> {
    let mut signature = *signature;
    let sign = signature.last_mut().map_or(0, |last| {
        let sign = *last >> 7;
        *last &= 0x7f;
        sign
    });
    let point = MontgomeryPoint(*key).to_edwards(sign).ok_or(Flaw::NoPoint)?;
    let mut signed = [TYPE_CURVE25519; KEY_BYTES + 1];
    if let Some(rest) = signed.get_mut(1..) {
        rest.copy_from_slice(signed_prekey);
    }
    VerifyingKey::from(point)
        .verify_strict(&signed, &Signature::from_bytes(&signature))
        .map_err(|_| Flaw::WrongSignature)?;
    Ok(Fingerprint(*key))
}

/// The same for `urn:xmpp:omemo:2`: the identity key in its Ed25519 form, and the bare prekey is what was signed.
pub fn verify_two(
    key: &PublicKey,
    signature: &[u8; SIGNATURE_BYTES],
    signed_prekey: &PublicKey,
) -> Result<Fingerprint, Flaw> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| Flaw::NoPoint)?;
    key.verify_strict(signed_prekey, &Signature::from_bytes(signature))
        .map_err(|_| Flaw::WrongSignature)?;
    Ok(Fingerprint(key.to_montgomery().to_bytes()))
}

/// The u-coordinates of small order; the highest bit does not count (RFC 7748 §5, §6.1). Whatever is agreed with one of them
/// is zero.
pub const SMALL_ORDER: [PublicKey; 7] = [
    [0; 32],
    hex(b"0100000000000000000000000000000000000000000000000000000000000000"),
    hex(b"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    hex(b"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    hex(b"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex(b"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    hex(b"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
];

const fn hex(text: &[u8; 64]) -> PublicKey {
    const fn digit(byte: u8) -> u8 {
        if byte <= b'9' {
            byte - b'0'
        } else {
            byte - b'a' + 10
        }
    }
    let mut key = [0; 32];
    let mut at = 0;
    while at < 32 {
        key[at] = digit(text[2 * at]) << 4 | digit(text[2 * at + 1]);
        at += 1;
    }
    key
}

/// Whether a prekey gives away what is agreed with it.
pub fn is_weak(key: &PublicKey) -> bool {
    let mut key = *key;
    if let Some(last) = key.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER.contains(&key)
}

/// The bytes that an element's text is the Base64 of. White space in it is passed over, as XML's type for it wants.
pub fn decode(element: El<'_>) -> Result<Vec<u8>, Flaw> {
    let text: Vec<u8> = element
        .text()
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    data_encoding::BASE64.decode(&text).map_err(|_| Flaw::WrongBase64)
}
