//! Messages in rooms. Who wants to be woken for them stands in the user's bookmarks (XEP-0492), and who is mentioned
//! (XEP-0372, or by nickname) is woken unless they want to hear nothing.
//!
//! Rooms of this server tell what is said ([`RoomMessage`], [`SaidWhileAway`]); of rooms elsewhere is known what waits for a
//! session that is there. Members who have registered with the room itself are told by [`super::members`].

use std::collections::BTreeSet;
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, Hear, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::router::{Destination, Router};
use kim_core::session::Session;
use kim_core::stanza::Stanza;

use super::dispatch::Dispatch;
use super::members::SaidToMembers;
use super::registration::Registration;
use super::state::WakeNews;
use super::watch::DeviceState;
use super::worth::{self, SaidText, WakeWorth, speaks_to};
use crate::rfc6121_im::api::directed_at;
use crate::xep0045_muc::api::{RoomMessage, RoomView};
use crate::xep0402_sticky::api::{SaidWhileAway, mentioned};

/// Whether a stanza is from a room of this server, which is asked itself.
pub(super) fn is_of_own_room(stanza: &Stanza, router: &Router) -> bool {
    let from = stanza.from.as_ref();
    from.is_some_and(|from| matches!(router.destination(from.domain()), Destination::Service(_)))
}

fn is_mentioned(stanza: &Stanza, said: &SaidText, account: &BareJid, nicknames: &[Jid]) -> bool {
    let speaks = |body: &String| {
        let mut nicks = nicknames.iter().filter_map(Jid::resource);
        nicks.any(|nick| speaks_to(body, nick))
    };
    said.body.as_ref().is_some_and(speaks) || mentioned(stanza).contains(account)
}

impl Dispatch {
    /// Whether a message of a room that waits for a session is worth waking its device. What its user said there themselves
    /// comes back too, and is not.
    pub(super) async fn room_wakes(
        &self,
        session: &Session,
        stanza: &Stanza,
        said: &SaidText,
        cx: &Cx,
    ) -> Result<bool, Fault> {
        let Some(from) = &stanza.from else {
            return Ok(false);
        };
        let nicknames = directed_at(session, from.bare_str());
        if nicknames.contains(from) {
            return Ok(false);
        }
        let is_mentioned = is_mentioned(stanza, said, &session.account, &nicknames);
        match &self.wishes {
            Some(wishes) => {
                wishes
                    .wants(&session.account, &from.bare(), None, is_mentioned, cx.router())
                    .await
            }
            None => Ok(is_mentioned),
        }
    }
}

/// Hears what is said in rooms of this server while somebody is there with one device, and another device sleeps.
pub(super) struct Inside(pub Arc<Dispatch>);

impl On<RoomMessage> for Inside {
    async fn on(&self, event: &mut RoomMessage, cx: &mut Cx) -> Result<Flow, Fault> {
        // Looked up for each room, since after a start nobody has: its members may be on other servers.
        let has_own = !self.0.registrations.of(&event.room.jid).await?.is_empty();
        if !self.0.registrations.are_any() {
            return Ok(Flow::Next);
        }
        let sender = event.from.jid.bare();
        let WakeWorth::InRoom(said) = worth::of(&event.stanza, &sender) else {
            return Ok(Flow::Next);
        };
        let router = cx.router().clone();
        let is_user = |jid: &&Jid| router.destination(jid.domain()) == Destination::Users;
        let inside = event.inside.iter().filter(is_user).map(Jid::bare);
        let people: BTreeSet<BareJid> = inside.filter(|account| *account != sender).collect();
        if people.is_empty() && !has_own {
            return Ok(Flow::Next);
        }
        let heard = Heard {
            to_members: has_own.then(|| SaidToMembers::of(event)),
            dispatch: self.0.clone(),
            room: event.room.clone(),
            stanza: event.stanza.clone(),
            said,
            people,
        };
        let router = Arc::downgrade(cx.router());
        // The room goes on meanwhile; nobody is told of what was not kept.
        cx.afterwards(move |kept| {
            if kept.is_ok() {
                tokio::spawn(async move {
                    let Some(mut cx) = router.upgrade().and_then(|router| router.cx()) else {
                        return;
                    };
                    if let Err(fault) = heard.tell(&mut cx).await {
                        tracing::error!(event = "room_push_failed", %fault);
                    }
                    cx.router().clone().finish(cx).await;
                });
            }
        });
        Ok(Flow::Next)
    }
}

struct Heard {
    dispatch: Arc<Dispatch>,
    room: RoomView,
    stanza: Stanza,
    said: SaidText,
    people: BTreeSet<BareJid>,
    to_members: Option<SaidToMembers>,
}

impl Heard {
    async fn tell(&self, cx: &mut Cx) -> Result<(), Fault> {
        if let Some(members) = &self.to_members {
            members.tell(&self.dispatch, &self.said, cx).await?;
        }
        let is_away = |_: &Registration, device: DeviceState| !device.is_awake();
        for account in &self.people {
            if self.dispatch.registrations.of(account).await?.is_empty() {
                continue;
            }
            let sessions = cx.router().sessions().of(account);
            let room = self.room.jid.as_str();
            let nicknames: Vec<Jid> = sessions.iter().flat_map(|one| directed_at(one, room)).collect();
            let is_mentioned = is_mentioned(&self.stanza, &self.said, account, &nicknames);
            let wakes = match &self.dispatch.wishes {
                Some(wishes) => {
                    let room = &self.room;
                    wishes
                        .wants(account, &room.jid, Some(room), is_mentioned, cx.router())
                        .await?
                }
                None => is_mentioned,
            };
            if wakes {
                let news = WakeNews::Message(&self.said);
                self.dispatch.tell_where(account, &news, is_away, cx).await?;
            }
        }
        Ok(())
    }
}

/// Hears what is said in rooms of this server while members are away with all their devices.
pub(super) struct Outside(pub Arc<Dispatch>);

impl Hear<SaidWhileAway> for Outside {
    async fn hear(&self, event: &mut SaidWhileAway, cx: &mut Cx) -> Result<(), Fault> {
        let is_away = |_: &Registration, device: DeviceState| !device.is_awake();
        let WakeWorth::InRoom(said) = worth::of(&event.stanza, &event.from.jid.bare()) else {
            return Ok(());
        };
        for member in event.absent.iter().filter(|member| member.wants) {
            let news = WakeNews::Message(&said);
            self.0.tell_where(&member.jid, &news, is_away, cx).await?;
        }
        Ok(())
    }
}
