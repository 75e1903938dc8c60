//! What clients ask about their roster: get (RFC 6121 §2.2, with versions §2.6) and set (§2.3–§2.5).

use std::sync::Arc;

use kim_core::cx::{Cx, Origin};
use kim_core::error::{Condition, Fault};
use kim_core::jid::Jid;
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::session::{Mark, Session};
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::{El, Writer};

use super::ROSTER;
use super::change::Edit;
use super::follow;
use super::item::{Roster, RosterItem};
use super::rosters::{Rosters, push};

/// The longest name of a contact or group, in bytes; RFC 6121 §2.3.3 lets the server choose. 1023 is what a part of an
/// address may have.
const NAME_BYTES_MAX: usize = 1023;
/// The most groups one contact may be in.
const GROUPS_MAX: usize = 32;
/// Changed items up to which a client gets them one by one; above it, the whole roster is no more to read.
const BRIDGED_ITEMS_MAX: usize = 100;

/// Answers roster requests of the account's own sessions.
pub struct RosterIq(pub Arc<Rosters>);

impl HandleIq for RosterIq {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let Origin::Session(session) = cx.origin.clone() else {
            return Err(Condition::ServiceUnavailable.into());
        };
        if session.guest {
            return Err(Condition::ServiceUnavailable.into());
        }
        match iq.kind {
            IqType::Set => self.set(iq, &session, cx).await,
            _ => self.get(iq, &session, cx).await,
        }
    }
}

impl RosterIq {
    /// §2.1.4: the answer leaves before any later push, and none is missed between them, because both happen while the
    /// roster is held.
    async fn get(&self, iq: &Request<'_>, session: &Arc<Session>, cx: &mut Cx) -> Result<Reply, Fault> {
        let router = cx.router().clone();
        let known = iq.payload.attr("ver").and_then(|ver| ver.parse().ok());
        let _held = self.0.hold(&session.account).await;
        let roster = self.0.of(&session.account).await?;
        let bridge = match known {
            Some(version) => self.bridge(&roster, session, version).await?,
            None => None,
        };
        session.mark(Mark::Roster, true);
        router.announce(session);
        let Some(mut own) = router.cx() else {
            return Ok(Reply::Silent);
        };
        let result = Kind::Iq(IqType::Result);
        match bridge {
            Some(changed) => {
                own.deliver(session, Arc::new(iq.stanza.reply(result, "")));
                for item in &changed {
                    own.deliver(session, Arc::new(push(session, item, item.version)));
                }
            }
            None => own.deliver(session, Arc::new(iq.stanza.reply(result, &whole(&roster)))),
        }
        router.finish(own).await;
        Ok(Reply::Silent)
    }

    /// What changed since a version the client has, oldest first (§2.6.3); `None` if that is not known or too much.
    async fn bridge(
        &self,
        roster: &Roster,
        session: &Session,
        known: i64,
    ) -> Result<Option<Vec<RosterItem>>, Fault> {
        if known == roster.version {
            return Ok(Some(Vec::new()));
        }
        if known < roster.floor || known > roster.version || known <= 0 {
            return Ok(None);
        }
        let changed = roster
            .listed()
            .filter(|item| item.version > known)
            .map(|item| RosterItem::clone(item));
        let mut changed: Vec<RosterItem> = changed.take(BRIDGED_ITEMS_MAX + 1).collect();
        changed.extend(self.0.store().removed_since(&session.account, known).await?);
        if changed.len() > BRIDGED_ITEMS_MAX || changed.len() > roster.listed().count() {
            return Ok(None);
        }
        changed.sort_by_key(|item| item.version);
        Ok(Some(changed))
    }

    async fn set(&self, iq: &Request<'_>, session: &Arc<Session>, cx: &mut Cx) -> Result<Reply, Fault> {
        let item = only_item(iq.payload)?;
        let jid = item.attr("jid").ok_or(Condition::BadRequest)?;
        let jid = Jid::parse(&jid)?;
        if !jid.is_bare() {
            return Err(Condition::BadRequest.into());
        }
        let contact = jid.bare();
        if contact == session.account {
            return Err(Condition::NotAllowed.into());
        }
        // §2.1.2.5: any other value is not the client's to set and is ignored.
        let remove = item
            .attr("subscription")
            .is_some_and(|subscription| subscription == "remove");
        let edit = if remove { Edit::Remove } else { read_item(item)? };
        let router = cx.router().clone();
        let changed = self.0.change(&router, &session.account, &contact, edit).await?;
        follow::to_contact(&router, &session.account, &contact, &changed.follow, cx).await;
        Ok(Reply::Empty)
    }
}

/// §2.3.3: exactly one item.
fn only_item(query: El<'_>) -> Result<El<'_>, Fault> {
    let mut items = query.children().filter(|child| child.is("item", ROSTER));
    match (items.next(), items.next()) {
        (Some(item), None) => Ok(item),
        _ => Err(Condition::BadRequest.into()),
    }
}

/// Name and groups, by the rules of §2.3.3.
fn read_item(item: El<'_>) -> Result<Edit, Fault> {
    let name = item.attr("name").filter(|name| !name.is_empty());
    if name.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
        return Err(Condition::NotAcceptable.into());
    }
    let mut groups: Vec<Box<str>> = Vec::new();
    for group in item.children().filter(|child| child.is("group", ROSTER)) {
        let group = group.text();
        if group.is_empty() || group.len() > NAME_BYTES_MAX || groups.len() >= GROUPS_MAX {
            return Err(Condition::NotAcceptable.into());
        }
        if groups.iter().any(|known| **known == *group) {
            return Err(Condition::BadRequest.into());
        }
        groups.push(group.into());
    }
    Ok(Edit::Set {
        name: name.map(|name| name.into()),
        groups: groups.into(),
    })
}

/// The whole roster.
fn whole(roster: &Roster) -> String {
    let mut xml = Writer::new();
    xml.start("query", ROSTER)
        .attr("ver", &roster.version.to_string());
    for item in roster.listed() {
        item.write(&mut xml);
    }
    xml.end();
    xml.finish_string()
}

/// Whether a stanza is a roster request or answer, which only the account's own server may send (§2.1.6).
pub fn speaks_of_rosters(stanza: &Stanza) -> bool {
    stanza.payload().is_some_and(|payload| payload.ns() == ROSTER)
}
