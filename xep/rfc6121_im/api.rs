//! What other modules may ask and hear: who sees whose presence, what changes in rosters, who comes and goes.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Event, Notice};
use kim_core::jid::{BareJid, Jid};
use kim_core::router::Router;
use kim_core::session::Session;
use kim_core::stanza::{Kind, PresenceType, Stanza};

use super::change::Edit;
pub use super::delivery::choose;
use super::directed::Directed;
use super::follow;
pub use super::item::{Roster, RosterItem};
use super::offline::Offline;
use super::rosters::Rosters;
use super::store::roster_change::StoredChange;
use super::subscription::Act;
pub use super::subscription::{ContactState, Half};

/// Rosters and subscriptions. Reads come from memory for accounts that are online.
pub struct Subscriptions {
    rosters: Arc<Rosters>,
}

impl Subscriptions {
    pub(super) fn new(rosters: Arc<Rosters>) -> Subscriptions {
        Subscriptions { rosters }
    }

    /// Whether `who` may see the presence of `account`: a contact with subscription `from` or `both`, or the account
    /// itself.
    pub async fn may_see(&self, router: &Router, account: &BareJid, who: &BareJid) -> Result<bool, Fault> {
        if account == who {
            return Ok(true);
        }
        Ok(self
            .item(router, account, who)
            .await?
            .is_some_and(|item| item.state.is_from()))
    }

    /// What is known about one contact of an account.
    pub async fn item(
        &self,
        router: &Router,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<Option<Arc<RosterItem>>, Fault> {
        self.rosters.item(router, account, contact).await
    }

    /// An account's whole roster.
    pub async fn roster(&self, account: &BareJid) -> Result<Arc<Roster>, Fault> {
        self.rosters.of(account).await
    }

    /// Makes two accounts of this server contacts of each other, as if both had asked and agreed. When it returns, both
    /// rosters are stored and pushed; presence follows with the context.
    pub async fn befriend(
        &self,
        router: &Arc<Router>,
        one: &BareJid,
        other: &BareJid,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let there = self.rosters.change(router, one, other, Edit::Befriend).await?;
        let back = self.rosters.change(router, other, one, Edit::Befriend).await?;
        follow::to_contact(router, one, other, &there.follow, cx).await;
        follow::to_contact(router, other, one, &back.follow, cx).await;
        Ok(())
    }

    /// Says yes in an account's name before the contact's request is dealt with (RFC 6121 §3.4): the request will be
    /// answered, and nobody be asked.
    pub async fn approve(
        &self,
        router: &Arc<Router>,
        account: &BareJid,
        contact: &BareJid,
    ) -> Result<(), Fault> {
        let edit = Edit::Outbound(Act::Subscribed);
        self.rosters
            .change(router, account, contact, edit)
            .await
            .map(drop)
    }

    /// Asks a contact for its presence in an account's name (RFC 6121 §3.1). Of a contact whose server cannot be reached no
    /// answer would come, so nothing is done.
    pub async fn request(
        &self,
        router: &Arc<Router>,
        account: &BareJid,
        contact: &BareJid,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        if router.unreachable(contact.domain()).is_some() {
            return Ok(());
        }
        let edit = Edit::Outbound(Act::Subscribe);
        self.rosters.change(router, account, contact, edit).await?;
        let kind = Kind::Presence(PresenceType::Subscribe);
        cx.send(Stanza::new(kind, "").from(account.clone()).to(contact.clone()));
        Ok(())
    }

    /// Whether an account has put a contact into one of these groups.
    pub async fn is_in_group(
        &self,
        router: &Router,
        account: &BareJid,
        contact: &BareJid,
        groups: &[&str],
    ) -> Result<bool, Fault> {
        let item = self.item(router, account, contact).await?;
        Ok(
            item.is_some_and(|item| {
                item.listed && item.groups.iter().any(|group| groups.contains(&&**group))
            }),
        )
    }
}

/// The addresses at a bare JID that a session has sent its presence to directly (RFC 6121 §4.6). Where the bare JID is a
/// room, they are the nicknames under which the session is there.
pub fn directed_at(session: &Session, bare: &str) -> Vec<Jid> {
    Directed::at(session, bare)
}

/// Messages that wait for accounts to come online.
pub struct OfflineMessages {
    offline: Arc<Offline>,
}

impl OfflineMessages {
    pub(super) fn new(offline: Arc<Offline>) -> OfflineMessages {
        OfflineMessages { offline }
    }

    /// Forgets what waits for an account, because its client has it from the archive (XEP-0386 §3.2, XEP-0160). To be
    /// called before the client's initial presence, and only if the archive holds it all.
    pub async fn forget(&self, account: &BareJid) -> Result<(), Fault> {
        self.offline.clear(account).await
    }
}

/// The message that arrives is in the account's archive, in the same commit as everything else it leaves behind. Left as a
/// fact on the context: there a full store of waiting messages is no reason to refuse it.
pub struct Archived {
    /// Whose archive.
    pub account: BareJid,
}

/// A roster changed; the change is committed and pushed. Modules that grant by subscription or by group look again.
pub struct RosterChanged {
    /// Whose roster.
    pub account: BareJid,
    /// Which contact.
    pub contact: BareJid,
    /// The contact before; `None` if nothing was known about it.
    pub before: Option<Arc<RosterItem>>,
    /// The contact now; `None` if nothing is known about it any more.
    pub after: Option<Arc<RosterItem>>,
}

impl RosterChanged {
    pub(super) fn new(account: &BareJid, contact: &BareJid, change: &StoredChange) -> RosterChanged {
        RosterChanged {
            account: account.clone(),
            contact: contact.clone(),
            before: change.before.clone(),
            after: change.after.clone(),
        }
    }

    /// The subscription before and after.
    pub fn states(&self) -> (ContactState, ContactState) {
        let state = |item: &Option<Arc<RosterItem>>| item.as_ref().map(|item| item.state).unwrap_or_default();
        (state(&self.before), state(&self.after))
    }
}

impl Notice for RosterChanged {
    const NAME: &'static str = "roster-changed";
}

/// Presence of a session is about to be broadcast, or asked for, to these contacts. Hooks of the stage `Filter` take out
/// those it is to be kept from (XEP-0191 §3.2: a blocked contact sees the account offline).
pub struct Audience {
    /// The session.
    pub session: Arc<Session>,
    /// Who gets the presence, or the probe.
    pub contacts: Vec<BareJid>,
}

impl Audience {
    pub(super) fn new<'a>(session: &Arc<Session>, contacts: impl Iterator<Item = &'a BareJid>) -> Audience {
        Audience {
            session: session.clone(),
            contacts: contacts.cloned().collect(),
        }
    }
}

impl Event for Audience {
    const NAME: &'static str = "presence-audience";
}

/// A session broadcast presence or became unavailable, by itself or because it ended (RFC 6121 §4.2, §4.4, §4.5).
/// What hooks send leaves after the presence itself.
pub struct PresenceChanged {
    /// The session.
    pub session: Arc<Session>,
    /// The presence as broadcast, without `to`; available or unavailable.
    pub presence: Arc<Stanza>,
    /// Whether it is the initial presence: the session was not available before.
    pub initial: bool,
}

impl Notice for PresenceChanged {
    const NAME: &'static str = "presence-changed";
}
