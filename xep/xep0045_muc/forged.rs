//! What only the room says (§17.3): clients believe it because it stands in a stanza of the room's, so it is taken out of
//! everything that occupants send: messages to all, changes of the subject, private messages and presence.

use std::borrow::Cow;

use kim_core::jid::Jid;
use kim_core::ns;
use kim_core::wire::El;

use super::names::{MUC, OCCUPANT_ID, USER};

/// The namespace of stanza ids (XEP-0359).
const SID: &str = "urn:xmpp:sid:0";
/// Delays before XEP-0203 (XEP-0091). Today only archives of rooms write it.
const OLD_DELAY: &str = "jabber:x:delay";
/// XEP-0033; `ofrom` tells the real address of an author.
const ADDRESS: &str = "http://jabber.org/protocol/address";
/// XEP-0425 in all its versions.
const MODERATE: &str = "urn:xmpp:message-moderate:";
/// XEP-0424 in all its versions.
const RETRACT: &str = "urn:xmpp:message-retract:";

/// Whether a child of an occupant's stanza claims something that only the room (a bare JID) may say.
pub fn is_forged(child: &El<'_>, room: &str) -> bool {
    match (child.name(), child.ns()) {
        (_, USER | MUC) | ("occupant-id", OCCUPANT_ID) | ("x", OLD_DELAY) => true,
        ("stanza-id", SID) => speaks_for(child.attr("by"), room),
        // XEP-0203 §5: without an author it is taken for the room's own.
        ("delay", ns::DELAY) => speaks_for(child.attr("from"), room),
        ("addresses", ADDRESS) => child
            .children()
            .any(|address| address.attr("type").as_deref() == Some("ofrom")),
        // XEP-0317 and the private namespaces before it (`xmpp:prosody.im/protocol/hats:1`).
        ("hats", ns) => ns.contains("hats"),
        // XEP-0424 §4: tombstones stand in archives.
        ("retracted", ns) if ns.starts_with(RETRACT) => true,
        // XEP-0425 §5, also inside a retraction or a fastening of XEP-0422.
        ("retract" | "apply-to", _) => child.children().any(|inner| inner.ns().starts_with(MODERATE)),
        (_, ns) => ns.starts_with(MODERATE),
    }
}

fn speaks_for(author: Option<Cow<'_, str>>, room: &str) -> bool {
    author.is_none_or(|author| Jid::parse(&author).map_or(true, |author| author.bare_str() == room))
}
