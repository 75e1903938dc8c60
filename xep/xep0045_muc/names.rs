//! The namespaces of group chat, and the name of its service.

/// The name of the service: `conference.DOMAIN`.
pub const SERVICE: &str = "conference";
/// XEP-0045: what a client sends to enter.
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// XEP-0045: what a room tells.
pub const USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0045: roles and affiliations.
pub const ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// XEP-0045: configuration.
pub const OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// XEP-0421
pub const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
