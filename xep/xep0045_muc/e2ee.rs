//! Whether what is said in a room has to be encrypted end to end: a setting of kIM's own, told in disco and kept here.

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::hook::{Flow, On};
use kim_core::ns;
use kim_core::stanza::Stanza;

use super::events::RoomMessage;
use super::fields::{Field, Shape};

/// The policy.
pub const POLICY: Field = Field {
    private: Some(&["prefer"]),
    feature: |values| match values.first().map(|value| &**value) {
        Some("require") => Some("urn:kim:muc:e2ee:require"),
        Some("prefer") => Some("urn:kim:muc:e2ee:prefer"),
        _ => None,
    },
    is_told: true,
    ..Field::new(
        "{urn:kim:muc:0}roomconfig_e2ee",
        "End-to-end encryption",
        Shape::Choice(&[
            ("off", "Optional"),
            ("prefer", "Preferred"),
            ("require", "Required: unencrypted messages are refused"),
        ]),
        &["off"],
    )
};

/// What holds encrypted content: XEP-0384 in both forms, XEP-0373, XEP-0420.
pub const ENCRYPTED: &[(&str, &str)] = &[
    ("encrypted", "eu.siacs.conversations.axolotl"),
    ("encrypted", "urn:xmpp:omemo:2"),
    ("encrypted", "urn:xmpp:omemo:1"),
    ("openpgp", "urn:xmpp:openpgp:0"),
    ("x", "jabber:x:encrypted"),
];
/// What a human would read if it were not.
pub const READABLE: &[(&str, &str)] = &[
    ("body", ns::CLIENT),
    ("x", "jabber:x:oob"),
    ("file-sharing", "urn:xmpp:sfs:0"),
    ("html", "http://jabber.org/protocol/xhtml-im"),
];

/// Refuses what is readable where that is not wanted. Chat states, markers, reactions and retractions pass.
pub struct Require;

impl On<RoomMessage> for Require {
    async fn on(&self, event: &mut RoomMessage, _: &mut Cx) -> Result<Flow, Fault> {
        if event.room.config.text(&POLICY) == "require" && is_readable(&event.stanza) {
            return Err(StanzaError::new(Condition::NotAcceptable)
                .text("this room accepts only end-to-end encrypted messages")
                .into());
        }
        Ok(Flow::Next)
    }
}

fn is_readable(stanza: &Stanza) -> bool {
    let has = |list: &[(&str, &str)]| list.iter().any(|(name, ns)| stanza.has(name, ns));
    has(READABLE) && !has(ENCRYPTED)
}
