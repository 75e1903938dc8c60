//! What modules that store or copy messages ask and tell one another: how the sender would like that to be, and which id the
//! sender's own archive gave.

use std::sync::OnceLock;

use kim_core::cx::{Cx, Origin};
use kim_core::jid::BareJid;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::NS;

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

/// The id that the archive of the sender's account gave a departing message, left as a fact on the context at the stage
/// `Store` of the departure. It is not in the message itself, for what leaves to others is not to have it (XEP-0313
/// §3.5); the copies for the sender's other clients are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentId {
    /// The account whose archive it is.
    pub by: BareJid,
    /// The id.
    pub id: Box<str>,
}

impl SentId {
    /// The `<stanza-id/>` that says so.
    pub fn to_xml(&self) -> String {
        let mut xml = Writer::new();
        xml.start("stanza-id", NS)
            .attr("id", &self.id)
            .attr("by", self.by.as_str())
            .end();
        xml.finish_string()
    }
}

/// A fact of a session that asks for the id that its account's archive gives to what it sends. Whoever made the session puts
/// the fact there; the archive fills it in. The message is stored when everything it caused is committed.
#[derive(Debug, Default)]
pub struct SentAs(OnceLock<String>);

impl SentAs {
    /// The id, if the message was archived.
    pub fn id(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Tells the id to the session that a context began with, if it asks.
    pub fn tell(cx: &Cx, id: &str) {
        if let Origin::Session(session) = &cx.origin
            && let Some(sent) = session.known_fact::<SentAs>()
        {
            sent.0.get_or_init(|| id.to_owned());
        }
    }
}
