//! XEP-0425 Moderated Message Retraction 0.3.0: a moderator takes back what somebody else said. Also in the form of version 0.2
//! (`urn:xmpp:message-moderate:0`, inside XEP-0422 fastening), which many clients still speak: both are answered, and what the
//! room tells is in both forms.
//!
//! [`handle`] takes the requests; [`words`] writes what the room says and what stays in its archive.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On, Stage};
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::section;
use kim_core::stanza::IqType;

use crate::xep0045_muc::api::{ARCHIVE, RoomAsked, RoomMessage, SERVICE};

mod handle;
mod words;

/// The namespace.
const NS: &str = "urn:xmpp:message-moderate:1";
/// The one of version 0.2.
const OLD: &str = "urn:xmpp:message-moderate:0";
/// XEP-0422: what version 0.2 is wrapped in.
const FASTEN: &str = "urn:xmpp:fasten:0";

section! {
    /// Moderated message retraction (XEP-0425).
    pub struct ModerationConfig {
        /// Characters in a reason. Longer ones are cut.
        pub reason_chars_max: usize = 500, in 0..=10_000;
    }
}

/// The module.
pub struct Moderation;

impl Module for Moderation {
    type Config = ModerationConfig;
    const NAME: &'static str = "xep0425_moderation";
    const SPECS: &'static [Spec] = &[Spec::complete(
        "XEP-0425",
        "Moderated Message Retraction",
        "0.3.0",
    )];
    const NEEDS: &'static [&'static str] = &["xep0045_muc"];
    const USES: &'static [&'static str] = &["xep0313_mam"];

    fn register(config: ModerationConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.on::<RoomMessage>(Stage::Stamp, NoForgery);
        // Without archives messages have no ids by which a moderator could name one.
        let Some(archives) = house.wanted() else {
            return Ok(());
        };
        let within = [At::Within(SERVICE)];
        let moderate = Arc::new(handle::Moderate {
            rooms: house.needed()?,
            archives,
            reason_chars_max: config.reason_chars_max,
        });
        let (new, old) = (handle::New(moderate.clone()), handle::Old(moderate));
        house.iq(&within, IqType::Set, "moderate", NS, new);
        house.iq(&within, IqType::Set, "apply-to", FASTEN, old);
        house.feature(&within, OLD);
        house.on::<RoomAsked>(Stage::Filter, OnlyWhereKept);
        Ok(())
    }
}

/// §5: "only moderation messages received from the MUC service itself are legitimate".
struct NoForgery;

impl On<RoomMessage> for NoForgery {
    async fn on(&self, event: &mut RoomMessage, _: &mut Cx) -> Result<Flow, Fault> {
        event.stanza.remove(|child| {
            let ours = |ns: &str| ns == NS || ns == OLD;
            ours(child.ns()) || child.children().any(|inner| ours(inner.ns()))
        });
        Ok(Flow::Next)
    }
}

/// Without an archive a room's messages have no ids.
struct OnlyWhereKept;

impl On<RoomAsked> for OnlyWhereKept {
    async fn on(&self, event: &mut RoomAsked, _: &mut Cx) -> Result<Flow, Fault> {
        if !event.room.config.is(&ARCHIVE) {
            for feature in [NS, OLD, FASTEN] {
                event.info.without(feature);
            }
        }
        Ok(Flow::Next)
    }
}
