//! XEP-0500 MUC Slow Mode 0.1.0: a room in which everybody waits between two messages.

use std::sync::Arc;

use dashmap::DashMap;
use kim_core::clock::Timestamp;
use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::hook::{Flow, On, Stage};
use kim_core::jid::BareJid;
use kim_core::module::{Module, Registrar, Spec};
use kim_core::ns;

use crate::xep0045_muc::api::{Affiliation, Field, RoomAsked, RoomMessage, Rooms, Shape};

#[cfg(test)]
mod tests;

/// §5.1
const DURATION: Field = Field::new(
    "muc#roomconfig_slow_mode_duration",
    "Seconds between two messages of somebody (0: none)",
    Shape::Number(SECONDS_MAX),
    &["0"],
);
/// The longest pause, in seconds.
const SECONDS_MAX: u32 = 86_400;
/// People whose last message is remembered before those are forgotten who may speak again.
const REMEMBERED: usize = 10_000;

/// The module.
pub struct SlowMode;

impl Module for SlowMode {
    type Config = NoSettings;
    const NAME: &'static str = "xep0500_slow_mode";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0500", "MUC Slow Mode", "0.1.0")];
    const NEEDS: &'static [&'static str] = &["xep0045_muc"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.needed::<Rooms>()?.add_field(DURATION);
        let slow = Arc::new(Slow(DashMap::new()));
        house.on::<RoomMessage>(Stage::Admit, Wait(slow));
        house.on::<RoomAsked>(Stage::Deliver, Tell);
        Ok(())
    }
}

/// Until when somebody waits in a room. §8: by account, whatever the nickname or session.
struct Slow(DashMap<(BareJid, BareJid), Timestamp>);

struct Wait(Arc<Slow>);

impl On<RoomMessage> for Wait {
    async fn on(&self, event: &mut RoomMessage, cx: &mut Cx) -> Result<Flow, Fault> {
        let seconds = event.room.config.number(&DURATION);
        // §6: "Room administrators and owners MUST NOT be rate limited"; only what has a body counts, or would if it were
        // not encrypted.
        let counts = event.stanza.has("body", ns::CLIENT)
            || event.stanza.children().any(|child| child.name() == "encrypted");
        if seconds == 0 || event.from.affiliation >= Affiliation::Admin || !counts {
            return Ok(Flow::Next);
        }
        let (waiting, now) = (&self.0.0, cx.received);
        if waiting.len() >= REMEMBERED {
            waiting.retain(|_, until| *until > now);
        }
        let key = (event.room.jid.clone(), event.from.jid.bare());
        if waiting.get(&key).is_some_and(|until| *until > now) {
            let text = format!("in this room everybody waits {seconds} seconds between two messages");
            return Err(StanzaError::new(Condition::PolicyViolation)
                .kind(ErrorType::Wait)
                .text(text)
                .into());
        }
        let pause = i64::try_from(seconds)
            .unwrap_or(i64::from(SECONDS_MAX))
            .saturating_mul(1_000_000);
        waiting.insert(key, Timestamp(now.0.saturating_add(pause)));
        Ok(Flow::Next)
    }
}

/// §5.2
struct Tell;

impl On<RoomAsked> for Tell {
    async fn on(&self, event: &mut RoomAsked, _: &mut Cx) -> Result<Flow, Fault> {
        event.form.push((
            "muc#roominfo_slow_mode_duration".to_owned(),
            "Slow mode".to_owned(),
            vec![event.room.config.number(&DURATION).to_string()],
        ));
        Ok(Flow::Next)
    }
}
