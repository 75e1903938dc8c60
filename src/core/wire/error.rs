//! What can be wrong with the bytes of a stream. Each error maps to one stream error of RFC 6120 §4.9.3.

use std::fmt;

/// Why the reader refused its input. A stream cannot continue after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// Not XML at all, or XML broken in the way that is named.
    NotWellFormed(&'static str),
    /// XML, but of the kinds that XMPP forbids: comment, processing instruction, DTD, entity (RFC 6120 §11.1).
    RestrictedXml(&'static str),
    /// The XML declaration names an encoding other than UTF-8 (RFC 6120 §11.6).
    UnsupportedEncoding,
    /// The prefix of the stream's own opening tag is not declared (RFC 6120 §4.9.3.2). Everything else that breaks
    /// Namespaces in XML is not well-formed (§4.9.3.13).
    BadNamespacePrefix,
    /// The named limit of [`Limits`](crate::Limits) was reached.
    TooBig(&'static str),
    /// Bytes that are not UTF-8 (RFC 6120 §11.6).
    InvalidUtf8,
}

impl WireError {
    /// The defined condition of the stream error that answers this (RFC 6120 §4.9.3).
    pub fn condition(&self) -> &'static str {
        match self {
            WireError::NotWellFormed(_) => "not-well-formed",
            WireError::RestrictedXml(_) => "restricted-xml",
            // §4.9.3.22 names broken UTF-8 together with foreign encodings.
            WireError::UnsupportedEncoding | WireError::InvalidUtf8 => "unsupported-encoding",
            WireError::BadNamespacePrefix => "bad-namespace-prefix",
            WireError::TooBig(_) => "policy-violation",
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::NotWellFormed(what) => write!(f, "not well-formed XML: {what}"),
            WireError::RestrictedXml(what) => write!(f, "XML that XMPP forbids: {what}"),
            WireError::UnsupportedEncoding => f.write_str("an encoding other than UTF-8"),
            WireError::BadNamespacePrefix => f.write_str("the stream's own namespace prefix is not declared"),
            WireError::TooBig(limit) => write!(f, "larger than {limit} allows"),
            WireError::InvalidUtf8 => f.write_str("bytes that are not UTF-8"),
        }
    }
}

impl std::error::Error for WireError {}
