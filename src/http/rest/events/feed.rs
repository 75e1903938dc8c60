//! What a stream says next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::stanza::Stanza;
use kim_core::wire::El;
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::super::archive::{self, LIMIT_MAX, MessagePage, WhichMessages};
use super::super::guard::Caller;
use super::super::problem::Problem;
use super::super::rooms::archive_id;
use super::super::visit::Stay;
use super::CARBONS;
use super::position::Position;
use super::told::{self, Told};
use crate::http::Web;

/// How often a comment is sent, so that proxies see that the stream is alive; the token is checked then too.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const FORWARD: &str = "urn:xmpp:forward:0";

/// A stream.
pub struct Feed {
    web: Arc<Web>,
    caller: Caller,
    stay: Stay,
    rooms: Vec<BareJid>,
    position: Position,
    /// Archives with something that was not read yet, the account's own first.
    unread: Vec<bool>,
    /// Said before anything else: at most what one page or one look at the outbox gives.
    next: VecDeque<Event>,
    tick: Interval,
    is_over: bool,
}

impl Feed {
    /// Begins at a place in the archives, or with what comes from now on.
    pub async fn begin(
        web: Arc<Web>,
        caller: Caller,
        stay: Stay,
        rooms: Vec<BareJid>,
        place: Option<Position>,
    ) -> Result<Feed, Problem> {
        let mut tick = interval(KEEP_ALIVE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let archives = rooms.len() + 1;
        let is_back = place.is_some();
        let mut feed = Feed {
            web,
            caller,
            stay,
            rooms,
            position: place.unwrap_or_else(|| Position::new(archives)),
            unread: vec![is_back; archives],
            next: VecDeque::new(),
            tick,
            is_over: false,
        };
        if is_back {
            // A place that is not there any more is said before anything is missed in silence.
            for archive in 0..archives {
                feed.read(archive).await?;
            }
        } else {
            for archive in 0..archives {
                let newest = WhichMessages {
                    limit: Some(1),
                    ..WhichMessages::default()
                };
                if let Some(last) = feed.page(archive, &newest).await?.last {
                    feed.position.advance(archive, last);
                }
            }
        }
        let rooms: Vec<_> = feed.rooms.iter().map(|room| room.as_str()).collect();
        let ready = json!({ "jid": feed.caller.account.as_str(), "rooms": rooms });
        let ready = event("ready", &ready);
        match is_back {
            // It has its place already.
            true => feed.next.push_front(ready),
            false => feed.next.push_front(ready.id(feed.position.to_string())),
        }
        Ok(feed)
    }

    /// The next event; `None` when the stream is over.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.next.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            if self.web.door.is_stopping() {
                self.end("system-shutdown");
                continue;
            }
            if let Some(archive) = self.unread.iter().position(|unread| *unread) {
                if let Err(problem) = self.read(archive).await {
                    self.end(problem.code());
                }
                continue;
            }
            if self.hear() {
                continue;
            }
            if self.stay.session().outbox.is_closed() {
                // Too slow, or taken out of the house. What is archived is told when the program comes back.
                self.end("resource-constraint");
                continue;
            }
            let session = self.stay.session().clone();
            tokio::select! {
                () = session.outbox.ready() => {}
                _ = self.tick.tick() => {
                    self.next.push_back(Event::default().comment("still here"));
                }
            }
            // Revoking a token wakes the stream.
            if session.outbox.queued_bytes() == 0 && !self.is_token_good().await {
                self.next.clear();
                self.end("invalid-token");
            }
        }
    }

    fn end(&mut self, code: &str) {
        self.is_over = true;
        self.next.push_back(event("end", &json!({ "code": code })));
    }

    async fn is_token_good(&mut self) -> bool {
        let known = self.web.router().accounts().bearer(&self.caller.token).await;
        // A database that is briefly unavailable does not end the stream.
        known.map_or(true, |bearer| bearer.is_some())
    }

    // ——— what is archived ———

    async fn page(&mut self, archive: usize, which: &WhichMessages) -> Result<MessagePage, Problem> {
        let room = archive.checked_sub(1).and_then(|at| self.rooms.get(at));
        let room = room.map(|room| Jid::from(room.clone()));
        archive::page(&self.web, &self.caller, room, None, which).await
    }

    /// Reads on where an archive was left.
    async fn read(&mut self, archive: usize) -> Result<(), Problem> {
        self.set_unread(archive, false);
        let behind = WhichMessages {
            limit: Some(LIMIT_MAX),
            after: Some(self.position.at(archive).unwrap_or_default().to_owned()),
            ..WhichMessages::default()
        };
        let page = self.page(archive, &behind).await?;
        for kept in &page.messages {
            self.position.advance(archive, kept.id.clone());
            if let Some((name, told)) = told::of_archive(kept) {
                let event = event(name, &told).id(self.position.to_string());
                self.next.push_back(event);
            }
        }
        // Also past what cannot be read.
        if let Some(last) = page.last {
            self.position.advance(archive, last);
            self.set_unread(archive, !page.is_complete);
        }
        Ok(())
    }

    fn set_unread(&mut self, archive: usize, is_unread: bool) {
        if let Some(unread) = self.unread.get_mut(archive) {
            *unread = is_unread;
        }
    }

    // ——— what comes ———

    /// Looks at what has come. Tells whether there was anything.
    fn hear(&mut self) -> bool {
        let parcels = self.stay.take();
        for stanza in parcels.iter().filter_map(|parcel| parcel.stanza.as_ref()) {
            let forwarded = copied(stanza, &self.caller.account);
            let stanza = forwarded.as_ref().unwrap_or(stanza);
            match self.archive_of(stanza) {
                Some(archive) => self.set_unread(archive, true),
                None => self.tell(stanza),
            }
        }
        !parcels.is_empty()
    }

    fn tell(&mut self, stanza: &Stanza) {
        let now = self.web.router().clock().now().to_string();
        let told: Option<Told> = told::of_live(stanza, &now);
        self.next.extend(told.map(|(name, told)| event(name, &told)));
    }

    /// In which archive of this stream a stanza is.
    fn archive_of(&self, stanza: &Stanza) -> Option<usize> {
        if archive_id(stanza, self.caller.account.as_str()).is_some() {
            return Some(0);
        }
        let room = self
            .rooms
            .iter()
            .position(|room| archive_id(stanza, room.as_str()).is_some());
        room.map(|at| at + 1)
    }
}

fn event(name: &str, told: &Value) -> Event {
    // JSON has no line ends, so it is one line.
    Event::default().event(name).data(told.to_string())
}

/// The message in a copy (XEP-0280 §7, §8); only the account's own server sends such.
fn copied(stanza: &Stanza, account: &BareJid) -> Option<Arc<Stanza>> {
    let is_ours = stanza.from.as_ref().is_some_and(|from| *from == **account);
    let wrapper = stanza
        .children()
        .find(|child: &El<'_>| child.ns() == CARBONS && is_ours)?;
    let message = wrapper
        .child("forwarded", FORWARD)?
        .child("message", ns::CLIENT)?;
    Stanza::from_element(message.to_element()).ok().map(Arc::new)
}
