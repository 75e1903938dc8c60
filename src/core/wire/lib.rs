//! Bytes to stanzas and back: the one XML reader and the one XML writer of kIM.
//!
//! Everything that reaches kIM as XML, through whichever door (TCP, WebSocket, BOSH, storage), goes through [`Reader`]:
//! a strict, incremental, namespace-aware reader of the XML subset that XMPP allows (RFC 6120 §11). It validates and
//! writes *canonical XML* in the same pass, within [`Limits`]. Everything that leaves kIM is canonical XML too, made
//! by the reader or by [`Writer`], so that no second parser can ever see something else than kIM saw.
//!
//! # Canonical XML
//!
//! * Elements carry no prefix. `xmlns='…'` is written only where the namespace differs from the parent's, and then
//!   directly after the name.
//! * The *content namespaces* (`jabber:client`, `jabber:server`, `jabber:component:accept`) are one and the same to
//!   kIM: a stanza means the same on every stream (RFC 6120 §4.8.3). They are reported as [`CONTENT_NS`] and never
//!   written at a stanza's root or where inherited from it, so the bytes fit any kind of stream unchanged.
//! * Attributes use single quotes and stand in source order. `xml:lang` and the like keep their prefix; other
//!   attributes with a namespace get a generated prefix (`n0`, `n1`, …) that is declared on the same element, after
//!   `xmlns` and before the first attribute.
//! * Text escapes `& < >` and CR; attributes escape `& < > '` and TAB, LF and CR. CDATA has become text, and an
//!   element without content is `<x/>`. Hence `<` and `>` appear only as the ends of tags, which is what makes [`El`],
//!   a cursor without a tree, so small.

#![forbid(unsafe_code)]

mod chars;
mod el;
mod element;
mod error;
mod escape;
mod header;
mod limits;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use el::El;
pub use element::Element;
pub use error::WireError;
pub use header::Header;
pub use limits::Limits;
pub use reader::{Frame, Reader};
pub use writer::Writer;

/// What every content namespace is reported as: `jabber:client` (RFC 6120 §4.8.2).
pub const CONTENT_NS: &str = "jabber:client";

/// The namespace of the `xml` prefix, bound without being declared (Namespaces in XML §3).
pub const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";

/// The namespace of the `xmlns` prefix; nothing may be bound to it (Namespaces in XML §3).
const XMLNS_NS: &str = "http://www.w3.org/2000/xmlns/";

/// Appends an attribute's value as the canonical form writes it between its quotes.
pub fn escape_value(out: &mut String, value: &str) {
    escape::put_value(out, value);
}

/// Whether XML can say this text. What it cannot (control characters but for TAB, LF and CR, U+FFFE, U+FFFF), [`Writer`]
/// leaves out.
pub fn is_text(text: &str) -> bool {
    text.chars().all(chars::is_char)
}

/// Whether `ns` is one of the namespaces that stanzas live in, which kIM treats as one.
pub fn is_content_ns(ns: &str) -> bool {
    matches!(ns, CONTENT_NS | "jabber:server" | "jabber:component:accept")
}
