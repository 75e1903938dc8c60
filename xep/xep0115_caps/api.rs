//! What other modules may ask about the clients of this server: above all, which events they want (XEP-0163 §4.2).

use std::collections::BTreeSet;
use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::Notice;
use kim_core::jid::{BareJid, Jid};
use kim_core::session::Session;
use kim_core::stanza::Stanza;

use super::elsewhere::Elsewhere;
use super::learn;
use super::session::SessionCaps;
use super::shared::Shared;

/// The ending that turns the name of a node into the wish to hear of it (XEP-0163 §4.2).
const NOTIFY: &str = "+notify";

/// What a client can do.
#[derive(Debug, PartialEq, Eq)]
pub struct Features(Box<[Box<str>]>);

impl Features {
    pub(super) fn new(sorted: BTreeSet<String>) -> Features {
        Features(sorted.into_iter().map(String::into_boxed_str).collect())
    }

    /// Whether it has a feature.
    pub fn has(&self, feature: &str) -> bool {
        self.0.binary_search_by(|own| own.as_ref().cmp(feature)).is_ok()
    }

    /// Whether it wants to hear of a node.
    pub fn wants(&self, node: &str) -> bool {
        self.has(&format!("{node}{NOTIFY}"))
    }

    /// The nodes it wants to hear of.
    pub fn wanted(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|feature| feature.strip_suffix(NOTIFY))
    }

    /// About what it takes in memory.
    pub(super) fn weight_bytes(&self) -> usize {
        self.0.iter().map(|feature| feature.len() + 16).sum()
    }
}

/// What the clients connected to this node can do, and those of contacts elsewhere.
pub struct Caps {
    pub(super) shared: Shared,
    pub(super) elsewhere: Elsewhere,
}

impl Caps {
    pub(super) fn new(shared_bytes_max: usize) -> Caps {
        Caps {
            shared: Shared::new(shared_bytes_max),
            elsewhere: Elsewhere::default(),
        }
    }

    /// What the session's client can do; `None` while it has not said so in its presence and, where that is not
    /// known yet, in its answer.
    pub fn features_of(&self, session: &Session) -> Option<Arc<Features>> {
        session.known_fact::<SessionCaps>()?.features()
    }

    /// Whether the session's client wants to hear of a node.
    pub fn wants(&self, session: &Session, node: &str) -> bool {
        self.features_of(session)
            .is_some_and(|features| features.wants(node))
    }

    /// An account has got available presence of a contact's client on another server: what it announces is noted and, where
    /// that is not known yet, the client is asked in the account's name.
    pub async fn notice_elsewhere(
        &self,
        owner: &BareJid,
        presence: &Stanza,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        learn::notice_elsewhere(self, owner, presence, cx).await
    }

    /// A client on another server is gone; with a bare address, all clients of that contact.
    pub fn forget_elsewhere(&self, owner: &BareJid, client: &Jid) {
        self.elsewhere.forget(owner, client);
    }

    /// The clients of a contact on another server whose presence the account has, and what they can do.
    pub fn clients_elsewhere(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        now: Timestamp,
    ) -> Vec<(Jid, Arc<Features>)> {
        self.elsewhere.of(owner, contact, now)
    }
}

/// It has become known, or has changed, what a session's client can do: with its presence (before that is broadcast),
/// where others announced the same earlier, or else with its answer.
pub struct CapsKnown {
    /// The session.
    pub session: Arc<Session>,
    /// What it could do before; `None` with its first presence.
    pub before: Option<Arc<Features>>,
    /// What it can do now.
    pub now: Arc<Features>,
}

impl Notice for CapsKnown {
    const NAME: &'static str = "caps-known";
}

/// It has become known, or has changed, what a contact's client on another server can do.
pub struct ClientKnown {
    /// The account that gets the client's presence.
    pub owner: BareJid,
    /// The client.
    pub client: Jid,
    /// What it could do before.
    pub before: Option<Arc<Features>>,
    /// What it can do now.
    pub now: Arc<Features>,
}

impl Notice for ClientKnown {
    const NAME: &'static str = "client-known";
}
