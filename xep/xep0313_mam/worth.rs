//! Which messages belong in an account's archive (§6.1.1): what people would miss, and what other messages refer to.

use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::El;

use super::retract;
use crate::xep0359_ids::api::hints;

/// Payloads that are worth keeping without a body: name (or any) and namespace.
const LASTING: &[(Option<&str>, &str)] = &[
    (Some("body"), kim_core::ns::CLIENT),
    (Some("subject"), kim_core::ns::CLIENT),
    // Encrypted content: XEP-0380, and the two OMEMOs of XEP-0384, of which the old one came without it.
    (Some("encryption"), "urn:xmpp:eme:0"),
    (Some("encrypted"), "eu.siacs.conversations.axolotl"),
    (Some("encrypted"), "urn:xmpp:omemo:2"),
    (Some("openpgp"), "urn:xmpp:openpgp:0"),
    // What becomes of messages: XEP-0184, XEP-0333, XEP-0308, XEP-0444, XEP-0424, XEP-0422.
    (Some("received"), "urn:xmpp:receipts"),
    (Some("received"), "urn:xmpp:chat-markers:0"),
    (Some("displayed"), "urn:xmpp:chat-markers:0"),
    (Some("acknowledged"), "urn:xmpp:chat-markers:0"),
    (Some("replace"), "urn:xmpp:message-correct:0"),
    (Some("reactions"), "urn:xmpp:reactions:0"),
    (Some("retract"), retract::NS),
    (Some("apply-to"), "urn:xmpp:fasten:0"),
    (Some("attach-to"), "urn:xmpp:message-attaching:1"),
    // Files: XEP-0066, XEP-0447.
    (Some("x"), "jabber:x:oob"),
    (Some("file-sharing"), "urn:xmpp:sfs:0"),
    // Calls: XEP-0353, XEP-0482.
    (None, "urn:xmpp:jingle-message:0"),
    (None, "urn:xmpp:call-invites:0"),
    // Invitations: XEP-0249; those of XEP-0045 are looked at below.
    (Some("x"), "jabber:x:conference"),
];

/// Whether a message is archived.
pub fn is_worth(stanza: &Stanza) -> bool {
    // Errors, headlines, and what is said in rooms, which have archives of their own.
    if !matches!(
        stanza.kind,
        Kind::Message(MessageType::Normal | MessageType::Chat)
    ) {
        return false;
    }
    lasts_by_itself(stanza)
}

/// Whether a message to all in a room is archived there (§6.1.2). A change of the subject is none: the room tells the subject to
/// whoever enters.
pub fn is_worth_in_room(stanza: &Stanza) -> bool {
    stanza.kind == Kind::Message(MessageType::Groupchat) && lasts_by_itself(stanza)
}

fn lasts_by_itself(stanza: &Stanza) -> bool {
    // XEP-0424 §5: a retraction is stored, whatever else it says.
    if stanza.has("retract", retract::NS) {
        return true;
    }
    let hints = hints(stanza);
    !hints.no_permanent_store && (hints.store || stanza.children().any(|child| lasts(&child)))
}

fn lasts(child: &El<'_>) -> bool {
    LASTING
        .iter()
        .any(|(name, ns)| child.ns() == *ns && name.is_none_or(|name| child.name() == name))
        || (child.is("x", "http://jabber.org/protocol/muc#user")
            && child
                .children()
                .any(|inner| matches!(inner.name(), "invite" | "decline")))
}
