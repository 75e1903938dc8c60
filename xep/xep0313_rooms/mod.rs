//! XEP-0313 Message Archive Management for rooms (§3.3.2, §6.1.2): who may enter a room may read what was said there, and
//! sees of it what they would have seen inside.
//!
//! The archives themselves, their pages and their keys are those of `xep0313_mam`; this room only knows who may read.

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::hook::{Flow, On, Stage};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::{At, Coverage, HandleIq, Module, Registrar, Reply, Request, Spec};
use kim_core::stanza::IqType;

use crate::xep0045_muc::api::{ARCHIVE, RoomAsked, Rooms, SERVICE, Visitor};
use crate::xep0313_mam::api::{ArchiveQuery, MessageArchives, NS, Sight, fields};

#[cfg(test)]
mod tests;

/// §4.1.3, §4.3.4, §5
const EXTENDED: &str = "urn:xmpp:mam:2#extended";

/// The module.
pub struct RoomArchives;

impl Module for RoomArchives {
    type Config = NoSettings;
    const NAME: &'static str = "xep0313_rooms";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0313",
        title: "Message Archive Management (archives of rooms)",
        version: "1.1.3",
        coverage: Coverage::Partial(
            "changes of the subject are not kept; `with` a nickname means who has it now",
        ),
    }];
    const NEEDS: &'static [&'static str] = &["xep0045_muc", "xep0313_mam"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let within = At::Within(SERVICE);
        let reading = Arc::new(Reading {
            rooms: house.needed()?,
            archives: house.needed()?,
        });
        for kind in [IqType::Get, IqType::Set] {
            house.iq(&[within], kind, "query", NS, RoomQuery(reading.clone()));
        }
        house.iq(&[within], IqType::Get, "metadata", NS, RoomMetadata(reading));
        house.feature(&[within], EXTENDED);
        house.on::<RoomAsked>(Stage::Filter, OnlyWhereKept);
        Ok(())
    }
}

struct Reading {
    rooms: Arc<Rooms>,
    archives: Arc<MessageArchives>,
}

impl Reading {
    /// §6.1.2: "MUST check that the user requesting the archive has the right to enter it at the time of the query".
    async fn admit(&self, iq: &Request<'_>, cx: &Cx) -> Result<Visitor, Fault> {
        let visitor = self.rooms.visitor(iq.account, iq.from, cx).await?;
        let visitor = visitor.ok_or(Condition::ItemNotFound)?;
        if !visitor.may_enter {
            // §8.1
            return Err(Condition::Forbidden.into());
        }
        Ok(visitor)
    }

    /// Whose messages `with` means: a real address is for those who see it anyway (§4.1.1), a nickname stands for who has it.
    async fn author(&self, with: Jid, visitor: &Visitor, room: &BareJid, cx: &Cx) -> Result<Jid, Fault> {
        if with.bare_str() != room.as_str() {
            return if visitor.sees_addresses {
                Ok(with)
            } else {
                Err(Condition::Forbidden.into())
            };
        }
        if with.is_bare() {
            return Ok(with);
        }
        let occupants = self.rooms.occupants(room, cx).await?;
        let one = occupants.into_iter().find(|one| one.address == with);
        one.map(|one| one.jid.bare().into())
            .ok_or_else(|| Condition::ItemNotFound.into())
    }
}

struct RoomQuery(Arc<Reading>);

impl HandleIq for RoomQuery {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let visitor = self.0.admit(iq, cx).await?;
        if !iq.is_set() {
            return Ok(Reply::Payload(fields()));
        }
        let mut query = ArchiveQuery::parse(iq.payload)?;
        if let Some(with) = query.with.take() {
            query.with = Some(self.0.author(with, &visitor, iq.account, cx).await?);
        }
        let sight = if visitor.sees_addresses {
            Sight::Everything
        } else {
            Sight::Nicknames
        };
        let archives = &self.0.archives;
        archives.answer(iq.account, iq.from, &query, sight, cx).await
    }
}

struct RoomMetadata(Arc<Reading>);

impl HandleIq for RoomMetadata {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        self.0.admit(iq, cx).await?;
        Ok(Reply::Payload(self.0.archives.metadata(iq.account).await?))
    }
}

/// A room in which nothing is kept does not say that it has an archive; what was kept before can be read all the same.
struct OnlyWhereKept;

impl On<RoomAsked> for OnlyWhereKept {
    async fn on(&self, event: &mut RoomAsked, _: &mut Cx) -> Result<Flow, Fault> {
        if !event.room.config.is(&ARCHIVE) {
            event.info.without(NS);
            event.info.without(EXTENDED);
        }
        Ok(Flow::Next)
    }
}
