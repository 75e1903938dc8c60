//! The opening tag of a stream (RFC 6120 §4.7), kept for the negotiator to judge.

use std::borrow::Cow;
use std::fmt;

use bytestring::ByteString;

use crate::{CONTENT_NS, El};

/// A stream's opening tag, whatever its name and namespaces are.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// The tag as a canonical empty element.
    xml: ByteString,
    /// As the peer declared it, so that `jabber:server` on a client's stream can be told (RFC 6120 §4.8.2).
    default_ns: String,
}

impl Header {
    pub(crate) fn new(xml: ByteString, default_ns: String) -> Header {
        Header { xml, default_ns }
    }

    fn el(&self) -> El<'_> {
        El::new(&self.xml, CONTENT_NS).unwrap_or(El::known("", "", CONTENT_NS))
    }

    /// The local name; `stream` if all is well.
    pub fn name(&self) -> &str {
        self.el().name()
    }

    /// The namespace; `http://etherx.jabber.org/streams` if all is well.
    pub fn ns(&self) -> &str {
        self.el().ns()
    }

    /// The default namespace that the tag declares, exactly as declared; empty if it declares none.
    pub fn default_ns(&self) -> &str {
        &self.default_ns
    }

    /// The value of an attribute, by its name as written: `to`, `version`, `xml:lang`.
    pub fn attr(&self, name: &str) -> Option<Cow<'_, str>> {
        self.el().attr(name)
    }

    /// The attributes in source order, by their names as written, without namespace declarations.
    pub fn attrs(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        self.el().attrs()
    }

    /// The value of an attribute that has a namespace of its own.
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<Cow<'_, str>> {
        self.el().attr_ns(name, ns)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.xml)
    }
}
