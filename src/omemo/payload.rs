//! What a message says, sealed once for all its recipients with a key that only this message has: AES-128-GCM, of which the
//! authentication tag goes with the key and not with the text.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce, Tag};
use zeroize::Zeroizing;

use crate::{Error, store};

const KEY_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;

/// A sealed text and what opens it.
pub struct Sealed {
    /// The key and the tag behind it: what goes to each device, encrypted for it.
    pub key: Zeroizing<Vec<u8>>,
    pub nonce: [u8; NONCE_BYTES],
    pub text: Vec<u8>,
}

/// Seals a text with a new key.
pub fn seal(text: &[u8]) -> Result<Sealed, Error> {
    let key: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(store::bytes());
    let nonce = store::bytes();
    let mut sealed = text.to_vec();
    let cipher = Aes128Gcm::new_from_slice(&*key).map_err(|_| Error::WrongKey)?;
    let tag = cipher
        .encrypt_inout_detached(&Nonce::from(nonce), &[], sealed.as_mut_slice().into())
        .map_err(|_| Error::Malformed("the text is too long"))?;
    let key = Zeroizing::new([&*key, tag.as_slice()].concat());
    Ok(Sealed {
        key,
        nonce,
        text: sealed,
    })
}

/// Opens a text. Some clients once left the tag with the text; then the key stands alone.
pub fn open(key: &[u8], nonce: &[u8], text: &[u8]) -> Result<Vec<u8>, Error> {
    let nonce: [u8; NONCE_BYTES] = nonce
        .try_into()
        .map_err(|_| Error::Malformed("the iv has another length"))?;
    let (key, rest) = key.split_at_checked(KEY_BYTES).ok_or(Error::WrongKey)?;
    let (text, tag) = if rest.is_empty() {
        text.split_at_checked(text.len().saturating_sub(TAG_BYTES))
            .ok_or(Error::WrongKey)?
    } else {
        (text, rest)
    };
    let tag: [u8; TAG_BYTES] = tag.try_into().map_err(|_| Error::WrongKey)?;
    let mut opened = text.to_vec();
    let cipher = Aes128Gcm::new_from_slice(key).map_err(|_| Error::WrongKey)?;
    cipher
        .decrypt_inout_detached(
            &Nonce::from(nonce),
            &[],
            opened.as_mut_slice().into(),
            &Tag::from(tag),
        )
        .map_err(|_| Error::WrongKey)?;
    Ok(opened)
}
