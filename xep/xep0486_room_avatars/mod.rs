//! XEP-0486 MUC Avatars 0.1.0: a room has a vCard (XEP-0054), which its owners set and everybody who finds the room may see. The
//! hash of its picture stands in what the room tells about itself, and in a presence of the room to those inside, as clients
//! know it from XEP-0153.

use std::sync::Arc;

use kim_core::config::{LimitsInForce, NoSettings};
use kim_core::cx::Cx;
use kim_core::db::Migration;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::hook::{Flow, Hear, On, Stage};
use kim_core::jid::BareJid;
use kim_core::keyed::Shared;
use kim_core::module::{At, HandleIq, Module, Registrar, Reply, Request, Spec};
use kim_core::seal::Seals;
use kim_core::stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use kim_core::wire::Writer;

use crate::xep0045_muc::api::{
    Affiliation, OccupantsChanged, RoomAsked, RoomDestroyed, Rooms, SERVICE, USER, once_settled,
};
use crate::xep0054_vcard::api::{NS, Photo, UPDATE};

mod store;
#[cfg(test)]
mod tests;

/// Hashes remembered.
const HASHES_MAX: usize = 50_000;

/// The module.
pub struct RoomAvatars;

impl Module for RoomAvatars {
    type Config = NoSettings;
    const NAME: &'static str = "xep0486_room_avatars";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0486", "MUC Avatars", "0.1.0")];
    const NEEDS: &'static [&'static str] = &["xep0045_muc"];
    const USES: &'static [&'static str] = &["xep0054_vcard"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0486_room_avatars",
        name: "0001_cards",
        sql: include_str!("migrations/0001_cards.sql"),
    }];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let cards = Arc::new(Cards {
            rooms: house.needed()?,
            store: store::RoomAvatarStore::new(house.db),
            seals: house.seals.clone(),
            hashes: Shared::new(house.db.caches(), "room_avatars.hashes", HASHES_MAX),
            limits: house.limits.clone(),
        });
        let within = [At::Within(SERVICE)];
        house.iq(&within, IqType::Get, "vCard", NS, Show(cards.clone()));
        house.iq(&within, IqType::Set, "vCard", NS, RoomAvatarChange(cards.clone()));
        // §3.1
        house.feature(&[At::Service(SERVICE)], NS);
        house.on::<RoomAsked>(Stage::Deliver, Told(cards.clone()));
        house.hear::<OccupantsChanged>(Stage::Notify, Told(cards.clone()));
        house.hear::<RoomDestroyed>(Stage::Store, Told(cards));
        Ok(())
    }
}

struct Cards {
    rooms: Arc<Rooms>,
    store: store::RoomAvatarStore,
    seals: Seals,
    hashes: Shared<BareJid, Option<Arc<str>>>,
    limits: LimitsInForce,
}

impl Cards {
    async fn hash(&self, room: &BareJid) -> Result<Option<Arc<str>>, Fault> {
        let read = || async { Ok::<_, Fault>(self.store.hash(room).await?.map(Arc::from)) };
        self.hashes.read(room, read).await
    }
}

fn aad(room: &BareJid) -> [&[u8]; 2] {
    [b"room card", room.as_str().as_bytes()]
}

/// XEP-0153 §4.1: the presence of a room, with the hash of its picture.
fn presence(hash: &str) -> Stanza {
    let mut xml = Writer::new();
    xml.start("x", UPDATE)
        .start("photo", UPDATE)
        .text(hash)
        .end()
        .end();
    Stanza::new(Kind::Presence(PresenceType::Available), &xml.finish_string())
}

/// Everybody who finds the room may see it (§3.3).
struct Show(Arc<Cards>);

impl HandleIq for Show {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let cards = &self.0;
        let visitor = cards.rooms.visitor(iq.account, iq.from, cx).await?;
        let visitor = visitor.ok_or(Condition::ItemNotFound)?;
        if visitor.affiliation == Affiliation::Outcast {
            return Err(Condition::Forbidden.into());
        }
        let sealed = cards.store.card(iq.account).await?;
        let sealed = sealed.ok_or(Condition::ItemNotFound)?;
        let key = cards.seals.key(iq.account.as_str()).await?;
        let card = key.open(&aad(iq.account), &sealed).ok();
        let Some(card) = card.and_then(|card| String::from_utf8(card).ok()) else {
            tracing::warn!(event = "room_card_damaged", room = %iq.account, "the room goes on without it");
            return Err(Condition::ItemNotFound.into());
        };
        Ok(Reply::Payload(card))
    }
}

/// Only owners change it (§3.2).
struct RoomAvatarChange(Arc<Cards>);

impl HandleIq for RoomAvatarChange {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let (cards, room) = (&self.0, iq.account);
        let visitor = cards.rooms.visitor(room, iq.from, cx).await?;
        let visitor = visitor.ok_or(Condition::ItemNotFound)?;
        if visitor.affiliation != Affiliation::Owner {
            return Err(StanzaError::new(Condition::Forbidden)
                .text("only owners are allowed to set avatars")
                .into());
        }
        let xml = iq.payload.to_xml();
        let bytes_max = cards.limits.now().vcard_bytes_max;
        if xml.len() > bytes_max {
            let text = format!("the vCard is too large; at most {bytes_max} bytes are allowed");
            return Err(StanzaError::new(Condition::PolicyViolation).text(text).into());
        }
        let before = cards.hash(room).await?;
        let after: Option<Arc<str>> = Photo::read(iq.payload).map(|photo| photo.hash().into());
        let card = if iq.payload.children().next().is_some() {
            let key = cards.seals.key(room.as_str()).await?;
            Some((
                key.seal(&aad(room), xml.as_bytes()),
                after.as_deref().map(str::to_owned),
            ))
        } else {
            None
        };
        let mut news = Writer::new();
        news.start("x", USER)
            .start("status", USER)
            .attr("code", "104")
            .end()
            .end();
        let news = Stanza::new(Kind::Message(MessageType::Groupchat), &news.finish_string());
        let change = store::RoomAvatarChange {
            room: room.clone(),
            card,
        };
        let rows = |cx: &mut Cx| {
            cx.store(&cards.store.sink, change);
            let (hashes, room, hash) = (cards.hashes.clone(), room.clone(), after.clone());
            let mark = hashes.mark(&room);
            once_settled(cx, move |is_stored| {
                if is_stored {
                    hashes.put(&room, hash, mark);
                } else {
                    hashes.invalidate(&room);
                }
            });
        };
        cards.rooms.announce(room, news, false, rows, cx).await?;
        if before != after {
            let presence = presence(after.as_deref().unwrap_or_default());
            cards.rooms.announce(room, presence, false, |_| (), cx).await?;
        }
        Ok(Reply::Empty)
    }
}

struct Told(Arc<Cards>);

/// §3.3
impl On<RoomAsked> for Told {
    async fn on(&self, event: &mut RoomAsked, _: &mut Cx) -> Result<Flow, Fault> {
        if let Some(hash) = self.0.hash(&event.room.jid).await? {
            event.form.push((
                "muc#roominfo_avatarhash".to_owned(),
                "Avatar hash".to_owned(),
                vec![hash.as_ref().to_owned()],
            ));
        }
        Ok(Flow::Next)
    }
}

/// Who enters is shown the room's picture.
impl Hear<OccupantsChanged> for Told {
    async fn hear(&self, event: &mut OccupantsChanged, cx: &mut Cx) -> Result<(), Fault> {
        if event.is_there
            && let Some(hash) = self.0.hash(&event.room.jid).await?
        {
            let room = event.room.jid.clone();
            cx.send(presence(&hash).from(room).to(event.who.jid.clone()));
        }
        Ok(())
    }
}

impl Hear<RoomDestroyed> for Told {
    async fn hear(&self, event: &mut RoomDestroyed, cx: &mut Cx) -> Result<(), Fault> {
        let gone = store::RoomAvatarChange {
            room: event.room.clone(),
            card: None,
        };
        cx.store(&self.0.store.sink, gone);
        let (hashes, room) = (self.0.hashes.clone(), event.room.clone());
        once_settled(cx, move |_| {
            hashes.invalidate(&room);
        });
        Ok(())
    }
}
