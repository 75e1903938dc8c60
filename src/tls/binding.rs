//! `tls-exporter` channel binding (RFC 9266), the one made of what both ends of a TLS 1.3 connection know.
//!
//! The unbuffered connections of rustls (`c2s::socket` says why they are used) export no keying material themselves but
//! hand over the exporter secret during the handshake; RFC 8446 §7.5 does the rest here. On TLS 1.2 there is no such
//! secret, and `tls-server-end-point` is what remains.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha384};
use zeroize::Zeroizing;

use super::channel_binding::EXPORTER_LABEL;

/// The binding data, from the exporter secret of a connection; its length tells the connection's hash function.
pub(super) fn exporter(secret: &[u8]) -> Option<[u8; 32]> {
    let bytes = match secret.len() {
        32 => export::<Hmac<Sha256>>(secret, &Sha256::digest(b"")),
        48 => export::<Hmac<Sha384>>(secret, &Sha384::digest(b"")),
        _ => return None,
    }?;
    bytes.get(..32)?.try_into().ok()
}

/// `TLS-Exporter` of RFC 8446 §7.5 without a context.
fn export<M: Mac + KeyInit>(secret: &[u8], hash_of_nothing: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let derived = expand_label::<M>(secret, EXPORTER_LABEL, hash_of_nothing, hash_of_nothing.len())?;
    expand_label::<M>(&derived, b"exporter", hash_of_nothing, 32)
}

/// `HKDF-Expand-Label` of RFC 8446 §7.1, for what one block of output is enough for.
fn expand_label<M: Mac + KeyInit>(
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    length: usize,
) -> Option<Zeroizing<Vec<u8>>> {
    const PREFIX: &[u8] = b"tls13 ";
    let mac = <M as KeyInit>::new_from_slice(secret).ok()?;
    let block = mac
        .chain_update(u16::try_from(length).ok()?.to_be_bytes())
        .chain_update([u8::try_from(PREFIX.len() + label.len()).ok()?])
        .chain_update(PREFIX)
        .chain_update(label)
        .chain_update([u8::try_from(context.len()).ok()?])
        .chain_update(context)
        .chain_update([1])
        .finalize()
        .into_bytes();
    Some(Zeroizing::new(block.get(..length)?.to_vec()))
}
