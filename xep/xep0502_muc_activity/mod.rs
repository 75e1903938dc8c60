//! XEP-0502 MUC Activity Indicator 0.1.0: how much is said in a public room, in messages per hour.
//!
//! As its §5 suggests: a row of counters for each room, one for each hour. They are in memory, so that after a start nothing is
//! told until a whole hour is known.

use std::sync::Arc;

use dashmap::DashMap;
use kim_core::clock::Timestamp;
use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On, Stage};
use kim_core::jid::BareJid;
use kim_core::module::{Module, Registrar, Spec};
use kim_core::ns;

use crate::xep0045_muc::api::{
    MEMBERS_ONLY, PASSWORD_PROTECTED, PERSISTENT, PUBLIC, RoomAsked, RoomConfig, RoomMessage,
};

#[cfg(test)]
mod tests;

/// Whole hours that are counted, without the one that has begun.
const HOURS: usize = 24;
const HOUR_MICROS: i64 = 3_600_000_000;
/// Rooms that are counted before those are forgotten in which nothing was said.
const ROOMS: usize = 100_000;

/// The module.
pub struct MucActivity;

impl Module for MucActivity {
    type Config = NoSettings;
    const NAME: &'static str = "xep0502_muc_activity";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0502", "MUC Activity Indicator", "0.1.0")];
    const NEEDS: &'static [&'static str] = &["xep0045_muc"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let counted = Arc::new(Counted {
            since: house.clock.now(),
            rooms: DashMap::new(),
        });
        house.on::<RoomMessage>(Stage::Notify, Count(counted.clone()));
        house.on::<RoomAsked>(Stage::Deliver, Tell(counted));
        Ok(())
    }
}

struct Counted {
    since: Timestamp,
    rooms: DashMap<BareJid, Hours>,
}

fn hour(stamp: Timestamp) -> i64 {
    stamp.0.div_euclid(HOUR_MICROS)
}

/// Messages of an hour that has begun, and of those before it.
#[derive(Default)]
struct Hours {
    now: i64,
    counts: [u32; HOURS + 1],
}

impl Hours {
    fn shift(&mut self, now: i64) {
        let passed = usize::try_from(now.saturating_sub(self.now))
            .unwrap_or(0)
            .min(HOURS + 1);
        self.counts.rotate_right(passed % (HOURS + 1));
        for count in self.counts.iter_mut().take(passed) {
            *count = 0;
        }
        self.now = self.now.max(now);
    }

    fn count(&mut self, now: i64) {
        self.shift(now);
        if let Some(first) = self.counts.first_mut() {
            *first = first.saturating_add(1);
        }
    }

    /// Messages of whole hours.
    fn sum(&mut self, now: i64) -> u64 {
        self.shift(now);
        self.counts.iter().skip(1).map(|count| u64::from(*count)).sum()
    }
}

struct Count(Arc<Counted>);

/// §3.1, §9: only rooms that anybody may find and enter.
fn is_told(config: &RoomConfig) -> bool {
    config.is(&PERSISTENT)
        && config.is(&PUBLIC)
        && !config.is(&MEMBERS_ONLY)
        && !config.is(&PASSWORD_PROTECTED)
}

impl On<RoomMessage> for Count {
    async fn on(&self, event: &mut RoomMessage, cx: &mut Cx) -> Result<Flow, Fault> {
        // §4: what has a body and corrects nothing.
        let counts = event.stanza.has("body", ns::CLIENT)
            && !event.stanza.has("replace", "urn:xmpp:message-correct:0");
        if !counts || !is_told(&event.room.config) {
            return Ok(Flow::Next);
        }
        let (rooms, now) = (&self.0.rooms, hour(cx.received));
        if rooms.len() >= ROOMS {
            rooms.retain(|_, hours| hours.sum(now) > 0);
        }
        rooms.entry(event.room.jid.clone()).or_default().count(now);
        Ok(Flow::Next)
    }
}

struct Tell(Arc<Counted>);

impl On<RoomAsked> for Tell {
    async fn on(&self, event: &mut RoomAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        let now = hour(cx.received);
        // The hour of the start is not whole.
        let known = now
            .saturating_sub(hour(self.0.since))
            .saturating_sub(1)
            .clamp(0, HOURS as i64);
        if known == 0 || !is_told(&event.room.config) {
            return Ok(Flow::Next);
        }
        let said = self
            .0
            .rooms
            .get_mut(&event.room.jid)
            .map_or(0, |mut hours| hours.sum(now));
        event.form.push((
            "{urn:xmpp:muc-activity}message-activity".to_owned(),
            "Messages per hour".to_owned(),
            vec![format!("{:.2}", said as f64 / known as f64)],
        ));
        Ok(Flow::Next)
    }
}
