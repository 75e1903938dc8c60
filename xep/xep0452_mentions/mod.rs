//! XEP-0452 MUC Mention Notifications 0.2.1: a member of a room who is mentioned there (XEP-0372) and is not in it gets the
//! message all the same, forwarded by the room, unless they have blocked its author.

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Hear, Stage};
use kim_core::jid::BareJid;
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::stanza::{Kind, MessageType, Stanza, delay};
use kim_core::wire::Writer;

use crate::xep0045_muc::api::SERVICE;
use crate::xep0191_blocking::api::Blocks;
use crate::xep0402_sticky::api::SaidWhileAway;

#[cfg(test)]
mod tests;

const NS: &str = "urn:xmpp:mmn:0";
const FORWARD: &str = "urn:xmpp:forward:0";

/// The module.
pub struct Mentions;

impl Module for Mentions {
    type Config = NoSettings;
    const NAME: &'static str = "xep0452_mentions";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0452", "MUC Mention Notifications", "0.2.1")];
    const NEEDS: &'static [&'static str] = &["xep0045_muc", "xep0402_sticky"];
    const USES: &'static [&'static str] = &["xep0191_blocking"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.feature(&[At::Service(SERVICE)], NS);
        let notify = Notify {
            blocks: Blocks::of(house),
        };
        house.hear::<SaidWhileAway>(Stage::Notify, notify);
        Ok(())
    }
}

struct Notify {
    blocks: Arc<Blocks>,
}

impl Notify {
    /// What the room forwards comes from the room: the block list is asked about the author (XEP-0191 §3.3).
    async fn hears(&self, member: &BareJid, event: &SaidWhileAway) -> Result<bool, Fault> {
        Ok(!self.blocks.blocks(member, &event.from.address).await?
            && !self.blocks.blocks(member, &event.from.jid).await?)
    }
}

impl Hear<SaidWhileAway> for Notify {
    async fn hear(&self, event: &mut SaidWhileAway, cx: &mut Cx) -> Result<(), Fault> {
        let mut payload = None;
        for member in event.absent.iter().filter(|member| member.is_mentioned) {
            if !self.hears(&member.jid, event).await? {
                continue;
            }
            let payload = payload.get_or_insert_with(|| {
                let message = event.stanza.clone().to(event.room.jid.clone());
                let mut xml = Writer::new();
                xml.start("mentions", NS).start("forwarded", FORWARD);
                xml.raw(&delay(event.room.jid.as_str(), cx.received))
                    .raw(&message.to_xml());
                xml.end().end();
                xml.finish_string()
            });
            let notification = Stanza::new(Kind::Message(MessageType::Normal), payload);
            cx.send(notification.from(event.room.jid.clone()).to(member.jid.clone()));
        }
        Ok(())
    }
}
