//! Where messages pass by: those that leave and those that arrive are archived here, each in its account's archive, and
//! both in the same commit.

use std::sync::{Arc, OnceLock};

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{AccountErased, Arrival, Departure, Verdict};
use kim_core::hook::{Flow, Hear, On};
use kim_core::jid::Jid;
use kim_core::router::{Destination, Redelivered};
use kim_core::stanza::{Kind, MessageType, Stanza};

use super::archive::{ArchiveEntry, Archives, Put};
use super::prefs::Preferences;
use super::retract::Retractions;
use super::{NS, worth};
use crate::rfc6121_im::api::Archived;
use crate::xep0359_ids::api::{SentAs, SentId};

/// What both ways need.
pub struct ArchiveKeeper {
    /// The archives.
    pub archives: Arc<Archives>,
    /// Who wants what archived.
    pub preferences: Preferences,
    /// What retractions do.
    pub retractions: Retractions,
}

/// Archives what a client sends. What an account sends to itself is archived when it arrives.
pub struct Departing(pub Arc<ArchiveKeeper>);

impl On<Departure> for Departing {
    async fn on(&self, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let (stanza, account) = (&event.stanza, &event.session.account);
        let Some(to) = &stanza.to else {
            return Ok(Flow::Next);
        };
        if to.bare_str() == account.as_str()
            || event.session.guest
            || !worth::is_worth(stanza)
            || cx.router().destination(account.domain()) != Destination::Users
        {
            return Ok(Flow::Next);
        }
        let keeper = &self.0;
        if !keeper.preferences.wants(cx.router(), account, to).await? {
            return Ok(Flow::Next);
        }
        keeper.retractions.apply(account, to, stanza, cx).await?;
        let entry = ArchiveEntry {
            owner: account,
            peer: to,
            stanza,
            is_sent: true,
            author: None,
        };
        let put = keeper.archives.put(entry, cx).await?;
        let (Put::Stored(id) | Put::AgainStored(id, _)) = &put;
        SentAs::tell(cx, id);
        match put {
            Put::Stored(id) => cx.learn(SentId {
                by: account.clone(),
                id: id.into(),
            }),
            // Its recipient has it, or it waits there: whoever lives here got it in the same commit. Of somebody
            // elsewhere that is not known, so it goes there again, and says since when it is on its way: their server
            // looks whether it came before.
            Put::AgainStored(..) if cx.router().destination(to.domain()).is_served() => {
                tracing::debug!(event = "message_sent_again", %account);
                return Ok(Flow::Done);
            }
            Put::AgainStored(_, since) => {
                event.stanza.say_delay(account.domain(), since);
                cx.learn(Redelivered);
            }
        }
        Ok(Flow::Next)
    }
}

/// A fact for the contexts of several copies of one message to one account: the archive keeps it once, and all copies carry
/// the id under which it does (XEP-0359 §3).
#[derive(Clone, Default)]
pub struct KeptOnce(Arc<OnceLock<SentId>>);

/// Archives what arrives for an account, and tells its clients the id (§3.5).
pub struct Arriving(pub Arc<ArchiveKeeper>);

impl On<Arrival> for Arriving {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let accepted = matches!(event.verdict, Verdict::Open | Verdict::Chosen(_));
        let Some(from) = event.stanza.from.clone() else {
            return Ok(Flow::Next);
        };
        let router = cx.router().clone();
        if let Some(id) = cx.fact::<KeptOnce>().and_then(|kept| kept.0.get())
            && id.by == event.account
        {
            event.stanza.append(&id.to_xml());
            return Ok(Flow::Next);
        }
        if !accepted
            || !worth::is_worth(&event.stanza)
            || cx.fact::<Redelivered>().is_some()
            || router.destination(event.account.domain()) != Destination::Users
            || is_for_nobody(&event.stanza, cx).await
        {
            return Ok(Flow::Next);
        }
        let keeper = &self.0;
        if !keeper.preferences.wants(&router, &event.account, &from).await? {
            return Ok(Flow::Next);
        }
        keeper
            .retractions
            .apply(&event.account, &from, &event.stanza, cx)
            .await?;
        let is_sent = from.bare_str() == event.account.as_str();
        let entry = ArchiveEntry {
            owner: &event.account,
            peer: &from,
            stanza: &event.stanza,
            is_sent,
            author: None,
        };
        let put = keeper.archives.put(entry, cx).await?;
        if is_sent {
            let (Put::Stored(id) | Put::AgainStored(id, _)) = &put;
            SentAs::tell(cx, id);
        }
        match put {
            Put::Stored(id) => {
                let id = SentId {
                    by: event.account.clone(),
                    id: id.into(),
                };
                event.stanza.append(&id.to_xml());
                if let Some(kept) = cx.fact::<KeptOnce>() {
                    kept.0.get_or_init(|| id);
                }
                cx.learn(Archived {
                    account: event.account.clone(),
                });
            }
            Put::AgainStored(..) => event.verdict = Verdict::Dropped,
        }
        Ok(Flow::Next)
    }
}

/// What is going to be refused was never received (§6.1): a normal message to a resource that is not there (RFC 6121
/// §8.5.3.2.1).
async fn is_for_nobody(stanza: &Stanza, cx: &Cx) -> bool {
    let Some(to) = stanza.to.as_ref().filter(|to| !to.is_bare()) else {
        return false;
    };
    stanza.kind == Kind::Message(MessageType::Normal)
        && !cx
            .router()
            .sessions_of(&to.bare())
            .await
            .iter()
            .any(|session| session.jid == *to)
}

/// Results come from archives. A client that sends one to somebody else's client wants it to be believed (§8.2).
pub struct NoForeignResults;

impl On<Arrival> for NoForeignResults {
    async fn on(&self, event: &mut Arrival, _: &mut Cx) -> Result<Flow, Fault> {
        let Kind::Message(kind) = event.stanza.kind else {
            return Ok(Flow::Next);
        };
        // Archives have bare addresses, clients have not.
        let from_client = |from: &Jid| !from.is_bare() && from.bare_str() != event.account.as_str();
        if kind != MessageType::Error
            && event.stanza.from.as_ref().is_some_and(from_client)
            && event
                .stanza
                .children()
                .any(|child| child.ns() == NS && matches!(child.name(), "result" | "fin"))
        {
            tracing::info!(event = "forged_archive_result", from = ?event.stanza.from.as_ref().map(Jid::domain));
            event.verdict = Verdict::Dropped;
        }
        Ok(Flow::Next)
    }
}

/// Forgets what is in memory of an archive that goes.
pub struct ForgetArchives(pub Arc<ArchiveKeeper>);

impl Hear<AccountErased> for ForgetArchives {
    async fn hear(&self, event: &mut AccountErased, _: &mut Cx) -> Result<(), Fault> {
        self.0.archives.forget(&event.account);
        self.0.preferences.forget(&event.account);
        Ok(())
    }
}
