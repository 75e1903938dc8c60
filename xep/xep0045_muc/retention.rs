//! How long a room keeps what is said in it: `[rooms] retention_days`, `guest_retention_days` for rooms that guests may enter,
//! and `[xep0313_mam] retention_days` where those say nothing. The archive deletes by it, newcomers are sent nothing older,
//! and the pages tell visitors before they enter.

use kim_core::clock::Timestamp;
use kim_core::config::Config;

use super::fields::{Field, RoomConfig, Shape};
use super::guests;
use crate::xep0313_mam::api::MessageArchives;

/// Whether what is said is kept.
pub const ARCHIVE: Field = Field {
    aliases: &["muc#roomconfig_mam", "mam"],
    ..Field::new(
        "muc#roomconfig_enablearchiving",
        "Archive messages for members and occupants",
        Shape::Boolean,
        &["1"],
    )
};

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// How long a room keeps what is said in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It has no archive. Those who enter may see the latest messages.
    Nothing,
    /// Messages are deleted after so many days.
    Days(u32),
    /// Messages are kept as long as the room exists.
    Forever,
}

/// The settings by which rooms forget. 0 days: for ever.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Days for which rooms keep messages.
    pub rooms_days: u32,
    /// The same for rooms that guests may enter.
    pub guests_days: u32,
    /// The module of archives is enabled.
    has_archives: bool,
    /// There are guests on this server.
    has_guests: bool,
    /// Rooms are kept otherwise than other archives.
    pub is_own: bool,
}

impl Retention {
    /// As the configuration says.
    pub fn of(config: &Config, archives: Option<&MessageArchives>) -> Retention {
        let or = |days: u32, otherwise: u32| if days == 0 { otherwise } else { days };
        let rooms = &config.rooms;
        let rooms_days = or(
            rooms.retention_days,
            archives.map_or(0, MessageArchives::retention_days),
        );
        Retention {
            rooms_days,
            guests_days: or(rooms.guest_retention_days, rooms_days),
            has_archives: archives.is_some(),
            has_guests: config.registration.guests,
            is_own: rooms.retention_days > 0 || rooms.guest_retention_days > 0,
        }
    }

    /// Days for which a room with these settings keeps messages; 0 for ever.
    pub fn days(&self, room: &RoomConfig) -> u32 {
        let admits_guests = self.has_guests && guests::may_enter(room).is_ok();
        if admits_guests {
            self.guests_days
        } else {
            self.rooms_days
        }
    }

    /// What visitors of a room with these settings are told.
    pub fn keeping(&self, room: &RoomConfig) -> Keeping {
        match self.days(room) {
            _ if !self.has_archives || !room.is(&ARCHIVE) => Keeping::Nothing,
            0 => Keeping::Forever,
            days => Keeping::Days(days),
        }
    }

    /// What was said before this is over.
    pub fn horizon(&self, room: &RoomConfig, now: Timestamp) -> Option<Timestamp> {
        let days = self.days(room);
        (days > 0).then(|| Timestamp(now.0.saturating_sub(i64::from(days) * DAY_MICROS)))
    }
}
