//! What rooms that store or copy messages ask: how the sender would like that to be.

use kim_core::stanza::{Kind, MessageType, Stanza};

const HINTS: &str = "urn:xmpp:hints";

/// How the sender of a message would like it to be treated (XEP-0334). All are wishes, none is a permission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// §4.4: worth storing even if it does not look like it. Never together with [`Hints::no_store`].
    pub store: bool,
    /// §4.2: not to be stored at all, not even until the recipient comes online. It is delivered all the same.
    pub no_store: bool,
    /// §4.1: not to be stored for good: no archive, but it may wait for the recipient. Goes with [`Hints::no_store`].
    pub no_permanent_store: bool,
    /// §4.3: for its addressee alone, no carbons. Only messages to a full JID may say so.
    pub no_copy: bool,
}

/// The hints of a stanza. What is not a message has none, and those of an error belong to the message that failed (§5).
pub fn hints(stanza: &Stanza) -> Hints {
    let Kind::Message(kind) = stanza.kind else {
        return Hints::default();
    };
    if kind == MessageType::Error {
        return Hints::default();
    }
    let hinted = |name| stanza.has(name, HINTS);
    let no_store = hinted("no-store");
    Hints {
        store: hinted("store") && !no_store,
        no_store,
        no_permanent_store: no_store || hinted("no-permanent-store"),
        no_copy: hinted("no-copy") && stanza.to.as_ref().is_some_and(|to| !to.is_bare()),
    }
}
