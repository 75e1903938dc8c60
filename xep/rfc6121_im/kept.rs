//! The one place where a stanza becomes the bytes that are stored, and a stanza again.

use kim_core::jid::BareJid;
use kim_core::seal;
use kim_core::stanza::Stanza;

/// The stored form.
pub fn to_bytes(stanza: &Stanza) -> Vec<u8> {
    stanza.to_xml().into_bytes()
}

/// The stanza of a stored form that belongs to an account. What cannot be read is logged and left out: a damaged row must
/// not keep the account from signing in.
pub fn from_bytes(account: &BareJid, bytes: &[u8]) -> Option<Stanza> {
    let stanza = std::str::from_utf8(bytes)
        .ok()
        .and_then(|xml| Stanza::parse(xml).ok());
    if stanza.is_none() {
        tracing::error!(event = "stored_stanza_unreadable", %account, bytes = bytes.len());
    }
    stanza
}

/// The stored form, sealed for one place.
pub fn seal(stanza: &Stanza, key: &seal::Key, place: &[Vec<u8>]) -> Vec<u8> {
    let aad: Vec<&[u8]> = place.iter().map(Vec::as_slice).collect();
    key.seal(&aad, &to_bytes(stanza))
}

/// The stanza of a sealed form; what cannot be opened is left out like what cannot be read.
pub fn open(account: &BareJid, sealed: &[u8], key: &seal::Key, place: &[Vec<u8>]) -> Option<Stanza> {
    let aad: Vec<&[u8]> = place.iter().map(Vec::as_slice).collect();
    match key.open(&aad, sealed) {
        Ok(bytes) => from_bytes(account, &bytes),
        Err(error) => {
            tracing::error!(event = "stored_stanza_unreadable", %account, bytes = sealed.len(), %error);
            None
        }
    }
}
