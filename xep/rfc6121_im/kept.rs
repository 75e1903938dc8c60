//! The one place where a stanza becomes the bytes that are stored, and a stanza again.

use kim_core::stanza::Stanza;

/// The stored form.
pub fn to_bytes(stanza: &Stanza) -> Vec<u8> {
    stanza.to_xml().into_bytes()
}

/// The stanza of a stored form. What cannot be read is logged and left out: a damaged row must not keep an account from
/// signing in.
pub fn from_bytes(bytes: &[u8]) -> Option<Stanza> {
    let stanza = std::str::from_utf8(bytes)
        .ok()
        .and_then(|xml| Stanza::parse(xml).ok());
    if stanza.is_none() {
        tracing::error!(event = "stored_stanza_unreadable", bytes = bytes.len());
    }
    stanza
}
