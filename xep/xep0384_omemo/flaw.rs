//! What can be wrong with published keys. Each flaw has a name, for logs and tests, and a sentence that a client can show.

use std::fmt;

/// Why keys are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// The payload is not the element that belongs into this node.
    WrongElement,
    /// A part of the bundle is missing or stands there twice.
    Missing(&'static str),
    /// Something that should be Base64 is not.
    WrongBase64,
    /// A key does not have the length of its kind.
    WrongKeyLength,
    /// A key of version 0.3 does not begin with the byte that says Curve25519.
    WrongKeyType,
    /// The signature does not have 64 bytes.
    WrongSignatureLength,
    /// A key that makes every secret agreed with it known.
    WeakKey,
    /// The identity key is no point of the curve.
    NoPoint,
    /// The signature of the signed prekey is not that of the identity key.
    WrongSignature,
    /// A key has no id, or one that is no number in range.
    WrongKeyId,
    /// There is no prekey.
    NoPrekeys,
    /// There are too many prekeys.
    TooManyPrekeys,
    /// Two prekeys have the same id.
    DuplicateKeyId,
    /// The node or the item does not say which device it is about.
    WrongDeviceId,
    /// The device list is too long.
    TooManyDevices,
    /// Keys of an account that is not the publisher's.
    ForeignAccount,
}

impl Flaw {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Flaw::WrongElement => "wrong-element",
            Flaw::Missing(_) => "missing-part",
            Flaw::WrongBase64 => "wrong-base64",
            Flaw::WrongKeyLength => "wrong-key-length",
            Flaw::WrongKeyType => "wrong-key-type",
            Flaw::WrongSignatureLength => "wrong-signature-length",
            Flaw::WeakKey => "weak-key",
            Flaw::NoPoint => "no-curve-point",
            Flaw::WrongSignature => "wrong-signature",
            Flaw::WrongKeyId => "wrong-key-id",
            Flaw::NoPrekeys => "no-prekeys",
            Flaw::TooManyPrekeys => "too-many-prekeys",
            Flaw::DuplicateKeyId => "duplicate-key-id",
            Flaw::WrongDeviceId => "wrong-device-id",
            Flaw::TooManyDevices => "too-many-devices",
            Flaw::ForeignAccount => "foreign-account",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Flaw::WrongElement => "this node does not accept this element",
            Flaw::Missing(part) => {
                return write!(
                    f,
                    "OMEMO keys refused ({}): {part} is required exactly once",
                    self.name()
                );
            }
            Flaw::WrongBase64 => "keys and the signature must be Base64",
            Flaw::WrongKeyLength => "a key has the wrong length",
            Flaw::WrongKeyType => "a key does not start with the byte 5, which stands for Curve25519",
            Flaw::WrongSignatureLength => "the signature must have 64 bytes",
            Flaw::WeakKey => "a key is weak: anybody could read what is encrypted with it",
            Flaw::NoPoint => "the identity key is not a point on the curve",
            Flaw::WrongSignature => "the signed prekey is not signed by the identity key",
            Flaw::WrongKeyId => "each key must have an id that is a number in the allowed range",
            Flaw::NoPrekeys => "at least one prekey is required",
            Flaw::TooManyPrekeys => "there are too many prekeys",
            Flaw::DuplicateKeyId => "two prekeys have the same id",
            Flaw::WrongDeviceId => "a device id is required",
            Flaw::TooManyDevices => "the list has too many devices",
            Flaw::ForeignAccount => "only the account itself can publish its keys",
        };
        write!(f, "OMEMO keys refused ({}): {text}", self.name())
    }
}
