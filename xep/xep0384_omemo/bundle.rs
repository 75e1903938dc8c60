//! A bundle as it is published: the identity key, a signed prekey and a stock of prekeys for single use (§5.3.2). Everything
//! about it that a server can see to be wrong is found here, before somebody fails to write to the device.

use std::collections::HashSet;

use kim_core::wire::El;

use super::flaw::Flaw;
use super::nodes::{Protocol, is};
use super::signature::{self, Fingerprint, KEY_BYTES, PublicKey, SIGNATURE_BYTES, TYPE_CURVE25519};

/// Prekeys below this number run out soon (§4.2); the bundle works all the same.
pub const PREKEYS_MIN: usize = 25;

/// What is in a bundle that is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The identity key.
    pub fingerprint: Fingerprint,
    /// How many prekeys there are.
    pub prekeys: usize,
}

/// What the parts are called.
struct Names {
    identity_key: &'static str,
    signed_prekey: &'static str,
    signed_prekey_id: &'static str,
    signature: &'static str,
    prekey: &'static str,
    prekey_id: &'static str,
}

const LEGACY: Names = Names {
    identity_key: "identityKey",
    signed_prekey: "signedPreKeyPublic",
    signed_prekey_id: "signedPreKeyId",
    signature: "signedPreKeySignature",
    prekey: "preKeyPublic",
    prekey_id: "preKeyId",
};

const TWO: Names = Names {
    identity_key: "ik",
    signed_prekey: "spk",
    signed_prekey_id: "id",
    signature: "spks",
    prekey: "pk",
    prekey_id: "id",
};

impl Bundle {
    /// Reads and checks the payload of an item.
    pub fn check(protocol: Protocol, payload: El<'_>, prekeys_max: usize) -> Result<Bundle, Flaw> {
        if !is(&payload, "bundle", protocol) {
            return Err(Flaw::WrongElement);
        }
        let names = match protocol {
            Protocol::Legacy => &LEGACY,
            Protocol::Two => &TWO,
        };
        let signed = part(payload, names.signed_prekey, protocol)?;
        let identity = key(protocol, part(payload, names.identity_key, protocol)?)?;
        let signed_prekey = key(protocol, signed)?;
        key_id(protocol, signed, names.signed_prekey_id)?;
        let signature = signature::decode(part(payload, names.signature, protocol)?)?;
        let signature: [u8; SIGNATURE_BYTES] =
            signature.try_into().map_err(|_| Flaw::WrongSignatureLength)?;
        let prekeys = prekeys(protocol, payload, names, prekeys_max)?;
        if signature::is_weak(&signed_prekey) {
            return Err(Flaw::WeakKey);
        }
        let verify = match protocol {
            Protocol::Legacy => signature::verify_legacy,
            Protocol::Two => signature::verify_two,
        };
        Ok(Bundle {
            fingerprint: verify(&identity, &signature, &signed_prekey)?,
            prekeys,
        })
    }
}

/// How many prekeys there are, all of them being right.
fn prekeys(protocol: Protocol, payload: El<'_>, names: &Names, prekeys_max: usize) -> Result<usize, Flaw> {
    let stock = part(payload, "prekeys", protocol)?;
    let mut ids = HashSet::new();
    for prekey in stock.children().filter(|child| is(child, names.prekey, protocol)) {
        if ids.len() == prekeys_max {
            return Err(Flaw::TooManyPrekeys);
        }
        if !ids.insert(key_id(protocol, prekey, names.prekey_id)?) {
            return Err(Flaw::DuplicateKeyId);
        }
        if signature::is_weak(&key(protocol, prekey)?) {
            return Err(Flaw::WeakKey);
        }
    }
    match ids.len() {
        0 => Err(Flaw::NoPrekeys),
        count => Ok(count),
    }
}

/// The one child of that name.
fn part<'a>(payload: El<'a>, name: &'static str, protocol: Protocol) -> Result<El<'a>, Flaw> {
    let mut parts = payload.children().filter(|child| is(child, name, protocol));
    match (parts.next(), parts.next()) {
        (Some(part), None) => Ok(part),
        _ => Err(Flaw::Missing(name)),
    }
}

fn key(protocol: Protocol, element: El<'_>) -> Result<PublicKey, Flaw> {
    let bytes = signature::decode(element)?;
    match (protocol, bytes.split_first()) {
        (Protocol::Two, _) => bytes.try_into().map_err(|_| Flaw::WrongKeyLength),
        (Protocol::Legacy, Some((kind, key))) if bytes.len() == KEY_BYTES + 1 => {
            let key = key.try_into().map_err(|_| Flaw::WrongKeyLength)?;
            if *kind == TYPE_CURVE25519 {
                Ok(key)
            } else {
                Err(Flaw::WrongKeyType)
            }
        }
        (Protocol::Legacy, _) => Err(Flaw::WrongKeyLength),
    }
}

fn key_id(protocol: Protocol, element: El<'_>, name: &str) -> Result<u32, Flaw> {
    let id = element.attr(name).ok_or(Flaw::WrongKeyId)?;
    protocol.key_id(&id).ok_or(Flaw::WrongKeyId)
}
