//! Channel binding: what both ends of one TLS connection know and nobody between them does, so that a login over it
//! cannot be relayed (RFC 5056). Two kinds: `tls-server-end-point` (RFC 5929 §4), a hash of the certificate, and
//! `tls-exporter` (RFC 9266), secret material of TLS 1.3.
//!
//! The unbuffered connections of rustls (see [`crate::c2s::socket`] for why they are used) do not export keying
//! material themselves, but hand over the exporter secret during the handshake; RFC 8446 §7.5 does the rest here.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// The binding data of one connection.
#[derive(Clone, Default)]
pub struct Bindings {
    /// RFC 5929 §4.
    pub server_end_point: Vec<u8>,
    /// RFC 9266; TLS 1.3 only. (With TLS 1.2 it would be allowed where the extended master secret was negotiated; the
    /// other kind is always there.)
    pub exporter: Option<[u8; 32]>,
}

impl fmt::Debug for Bindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The hash of a certificate by the hash function of its own signature, except MD5 and SHA-1, which SHA-256 stands in
/// for (RFC 5929 §4.1). Signatures that name no hash function have no defined value; SHA-256 is taken.
pub fn server_end_point(leaf: &[u8]) -> Vec<u8> {
    let oid = X509Certificate::from_der(leaf).map(|(_, cert)| cert.signature_algorithm.algorithm.to_id_string());
    match oid.as_deref() {
        // sha384WithRSAEncryption, ecdsa-with-SHA384
        Ok("1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3") => Sha384::digest(leaf).to_vec(),
        // sha512WithRSAEncryption, ecdsa-with-SHA512
        Ok("1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4") => Sha512::digest(leaf).to_vec(),
        _ => Sha256::digest(leaf).to_vec(),
    }
}

/// `EXPORTER-Channel-Binding` without a context, 32 bytes (RFC 9266 §4.2). The length of the secret tells the hash
/// function of the connection.
pub fn exporter(secret: &[u8]) -> Option<[u8; 32]> {
    const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
    let bytes = match secret.len() {
        32 => export::<Hmac<Sha256>>(secret, LABEL, &Sha256::digest(b"")),
        48 => export::<Hmac<Sha384>>(secret, LABEL, &Sha384::digest(b"")),
        _ => return None,
    }?;
    bytes.get(..32)?.try_into().ok()
}

/// `TLS-Exporter` of RFC 8446 §7.5 for an empty context and at most one block of output.
fn export<M: Mac + KeyInit>(secret: &[u8], label: &[u8], hash_of_nothing: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let derived = expand_label::<M>(secret, label, hash_of_nothing, hash_of_nothing.len())?;
    expand_label::<M>(&derived, b"exporter", hash_of_nothing, 32)
}

/// `HKDF-Expand-Label` of RFC 8446 §7.1, for at most one block of output.
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
