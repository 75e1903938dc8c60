//! Hears what is said in rooms and finds the members who are away.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::router::{Destination, Router};
use kim_core::stanza::Stanza;

use super::STICKY;
use super::api::{Absent, SaidWhileAway};
use super::mention::mentioned;
use super::wish::{BookmarkWish, Wishes};
use crate::xep0045_muc::api::{OccupantView, RoomMessage, RoomView};

/// Hears every message of every room.
pub struct ListenToRooms(pub Arc<Wishes>);

impl On<RoomMessage> for ListenToRooms {
    async fn on(&self, event: &mut RoomMessage, cx: &mut Cx) -> Result<Flow, Fault> {
        if !event.room.config.is(&STICKY) || !is_said(&event.stanza) {
            return Ok(Flow::Next);
        }
        let inside: HashSet<&str> = event.inside.iter().map(Jid::bare_str).collect();
        let is_away = |member: &&BareJid| {
            !inside.contains(member.as_str())
                && cx.router().destination(member.domain()) == Destination::Users
        };
        let away: Vec<BareJid> = event.members.iter().filter(is_away).cloned().collect();
        if away.is_empty() {
            return Ok(Flow::Next);
        }
        let said = Said {
            room: event.room.clone(),
            from: event.from.clone(),
            stanza: event.stanza.clone(),
            away,
        };
        let (wishes, router) = (self.0.clone(), Arc::downgrade(cx.router()));
        // The room goes on meanwhile; nobody is told of what was not kept.
        cx.afterwards(move |kept| {
            if kept.is_ok() {
                tokio::spawn(tell(said, wishes, router));
            }
        });
        Ok(Flow::Next)
    }
}

struct Said {
    room: RoomView,
    from: OccupantView,
    stanza: Stanza,
    away: Vec<BareJid>,
}

/// Whether there is something to read in it.
fn is_said(stanza: &Stanza) -> bool {
    stanza.has("body", ns::CLIENT)
        || stanza.has("encrypted", "eu.siacs.conversations.axolotl")
        || stanza.has("encrypted", "urn:xmpp:omemo:2")
        || stanza.has("openpgp", "urn:xmpp:openpgp:0")
}

async fn tell(said: Said, wishes: Arc<Wishes>, router: Weak<Router>) {
    let Some(mut cx) = router.upgrade().and_then(|router| router.cx()) else {
        return;
    };
    let router = cx.router().clone();
    let mentioned = mentioned(&said.stanza);
    let mut absent = Vec::new();
    for member in said.away {
        let wish = match wishes.of(&member, &said.room.jid, &router).await {
            Ok(wish) => wish.or_default(&said.room),
            Err(fault) => {
                tracing::error!(event = "wish_unreadable", ?fault);
                continue;
            }
        };
        let is_mentioned = mentioned.contains(&member);
        if wish != BookmarkWish::Never {
            absent.push(Absent {
                wants: wish == BookmarkWish::Always || is_mentioned,
                is_mentioned,
                jid: member,
            });
        }
    }
    if absent.is_empty() {
        return;
    }
    let mut event = SaidWhileAway {
        room: said.room,
        from: said.from,
        stanza: said.stanza,
        absent,
    };
    if let Err(fault) = router.tell(&mut event, &mut cx).await {
        tracing::error!(event = "said_while_away_failed", ?fault);
    }
    router.finish(cx).await;
}
