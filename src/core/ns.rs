//! Namespaces that more than one module and the doors speak of. A module's own namespace lives in the module.

/// The content namespace of client streams (RFC 6120 §4.8.2).
pub const CLIENT: &str = "jabber:client";
/// Resource binding (RFC 6120 §7).
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// The session request of RFC 3921, answered for old clients.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// SASL (RFC 6120 §6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// STARTTLS (RFC 6120 §5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// Data forms (XEP-0004).
pub const DATA: &str = "jabber:x:data";
/// Stanza ids (XEP-0359).
pub const SID: &str = "urn:xmpp:sid:0";
/// Delayed delivery (XEP-0203).
pub const DELAY: &str = "urn:xmpp:delay";
