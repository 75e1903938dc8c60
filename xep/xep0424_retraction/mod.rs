//! XEP-0424 Message Retraction 0.4.2 in rooms: who said something may take it back; a tombstone stays in the room's archive,
//! and those who come later are not told it any more. What accounts retract from each other is in `xep0313_mam`.

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::hook::{Flow, On, Stage};
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::wire::Writer;

use crate::xep0045_muc::api::{ARCHIVE, HistoryChanged, OCCUPANT_ID, RoomAsked, RoomMessage, SERVICE};
use crate::xep0313_mam::api::{Kept, MessageArchives, RETRACT};

const TOMBSTONE: &str = "urn:xmpp:message-retract:1#tombstone";

/// The module.
pub struct Retraction;

impl Module for Retraction {
    type Config = NoSettings;
    const NAME: &'static str = "xep0424_retraction";
    const SPECS: &'static [Spec] = &[Spec::complete(
        "XEP-0424",
        "Message Retraction (in rooms)",
        "0.4.2",
    )];
    const NEEDS: &'static [&'static str] = &["xep0045_muc"];
    const USES: &'static [&'static str] = &["xep0313_mam"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let archives = house.wanted();
        if archives.is_some() {
            house.feature(&[At::Within(SERVICE)], RETRACT);
            house.feature(&[At::Within(SERVICE)], TOMBSTONE);
        }
        house.on::<RoomMessage>(Stage::Admit, Retractions { archives });
        house.on::<RoomAsked>(Stage::Filter, OnlyWhereKept);
        Ok(())
    }
}

struct Retractions {
    /// Without them the room's messages have no ids by which one could be retracted: clients settle it among themselves.
    archives: Option<Arc<MessageArchives>>,
}

impl On<RoomMessage> for Retractions {
    async fn on(&self, event: &mut RoomMessage, cx: &mut Cx) -> Result<Flow, Fault> {
        // §4: tombstones stand in archives; nobody says one.
        event.stanza.remove(|child| child.is("retracted", RETRACT));
        let retract = event.stanza.child("retract", RETRACT);
        let Some(id) = retract.and_then(|retract| retract.attr("id")) else {
            return Ok(Flow::Next);
        };
        let Some(archives) = &self.archives else {
            return Ok(Flow::Next);
        };
        let room = &event.room.jid;
        // §5.1: it is the room's own id that counts. What it does not know may be another's business.
        let Some(kept) = archives.find(room, &id).await? else {
            return Ok(Flow::Next);
        };
        if author(&kept).as_deref() != Some(&*event.from.occupant_id) {
            // §5: clients must not believe it, so none needs to see it.
            return Err(StanzaError::new(Condition::Forbidden)
                .text("only the author can retract a message")
                .into());
        }
        if kept.is_retracted() || kept.stanza.has("retract", RETRACT) {
            return Ok(Flow::Next);
        }
        let mut xml = Writer::new();
        xml.start("retracted", RETRACT)
            .attr("stamp", &cx.received.to_string());
        if let Some(id) = &event.stanza.id {
            xml.attr("id", id);
        }
        xml.end();
        let burial = archives.burial(room, &kept, &xml.finish_string()).await?;
        burial.perform(cx);
        cx.learn(HistoryChanged);
        Ok(Flow::Next)
    }
}

/// Who said it (XEP-0421).
fn author(kept: &Kept) -> Option<String> {
    let id = kept.stanza.child("occupant-id", OCCUPANT_ID)?.attr("id")?;
    Some(id.into_owned())
}

/// Without an archive nothing is remembered to be retracted.
struct OnlyWhereKept;

impl On<RoomAsked> for OnlyWhereKept {
    async fn on(&self, event: &mut RoomAsked, _: &mut Cx) -> Result<Flow, Fault> {
        if !event.room.config.is(&ARCHIVE) {
            event.info.without(RETRACT);
            event.info.without(TOMBSTONE);
        }
        Ok(Flow::Next)
    }
}
