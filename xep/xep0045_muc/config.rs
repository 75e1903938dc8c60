//! `[xep0045_muc]`: the limits of rooms.

use kim_core::section;

section! {
    /// Rooms (XEP-0045).
    pub struct MucConfig {
        /// Rooms that one account may have made.
        pub rooms_per_account_max: usize = 100, in 1..=1_000_000;
        /// Occupants of one room. Its owner may set less.
        pub occupants_max: usize = 5_000, in 2..=100_000;
        /// People with an affiliation in one room, banned ones included.
        pub affiliations_max: usize = 20_000, in 10..=1_000_000;
        /// Messages of a room that are held for those who enter.
        pub history_messages_max: usize = 50, in 0..=1_000;
        /// Bytes of one message to a room.
        pub message_bytes_max: usize = 65_536, in 10_000..=16_777_216;
        /// Bytes of one presence in a room.
        pub presence_bytes_max: usize = 8_192, in 1_024..=262_144;
        /// Messages an occupant may send per second in the long run. (row 21)
        pub messages_per_second: u32 = 10, in 1..=1_000_000;
        /// Messages it may send at once after a pause.
        pub messages_burst: u32 = 100, in 1..=1_000_000;
        /// Changes of presence or nickname an occupant may send per second in the long run. (row 21)
        pub presences_per_second: u32 = 1, in 1..=1_000_000;
        /// Changes of presence or nickname it may send at once after a pause.
        pub presences_burst: u32 = 20, in 1..=1_000_000;
        /// Bytes that a room may have waiting to be sent.
        pub queue_bytes_max: usize = 16_777_216, in 65_536..=1_073_741_824;
    }
}

impl MucConfig {
    /// The limits to go by: those on rates, counts and queues are lifted with the others (`[limits] enabled`).
    pub(super) fn effective(self, enabled: bool) -> MucConfig {
        const MANY: usize = 1_000_000_000;
        const FAST: u32 = 1_000_000_000;
        if enabled {
            return self;
        }
        MucConfig {
            rooms_per_account_max: MANY,
            occupants_max: MANY,
            messages_per_second: FAST,
            messages_burst: FAST,
            presences_per_second: FAST,
            presences_burst: FAST,
            queue_bytes_max: MANY,
            ..self
        }
    }
}
