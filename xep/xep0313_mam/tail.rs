//! What is remembered of the end of an archive that is being written to: its last stamp, and what its owner has sent
//! lately, so that a message that a client sends again, not knowing whether it arrived, is recognised.

use std::collections::VecDeque;

use kim_core::clock::Timestamp;

/// How long a message that comes again counts as the same, in microseconds.
const RESEND_MICROS_MAX: i64 = 15 * 60 * 1_000_000;
/// Sent messages that are remembered for one archive. A client has far fewer under way.
pub const RESENDS_MAX: usize = 256;

/// The end of an archive.
#[derive(Debug, Default)]
pub struct Tail {
    last: i64,
    /// Stamp and tag of what its owner sent, oldest first.
    sent: VecDeque<(i64, i64)>,
}

impl Tail {
    /// From the newest messages, newest first.
    pub fn new(newest: &[(i64, Option<i64>)], now: Timestamp) -> Tail {
        let mut tail = Tail {
            last: newest.first().map_or(i64::MIN, |(stamp, _)| *stamp),
            sent: newest
                .iter()
                .rev()
                .filter_map(|(stamp, tag)| Some((*stamp, (*tag)?)))
                .collect(),
        };
        tail.forget(now);
        tail
    }

    /// A stamp behind every stamp of the archive. Clocks go back, also between two starts of a server; archives do not.
    pub fn next(&mut self, now: Timestamp) -> i64 {
        self.last = now.0.max(self.last.saturating_add(1));
        self.last
    }

    /// The stamp of the same message, if it was sent lately.
    pub fn sent(&mut self, tag: i64, now: Timestamp) -> Option<i64> {
        self.forget(now);
        self.sent
            .iter()
            .rev()
            .find(|(_, known)| *known == tag)
            .map(|(stamp, _)| *stamp)
    }

    /// Remembers a message.
    pub fn remember(&mut self, stamp: i64, tag: i64) {
        if self.sent.len() >= RESENDS_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((stamp, tag));
    }

    fn forget(&mut self, now: Timestamp) {
        while self
            .sent
            .front()
            .is_some_and(|(stamp, _)| now.0.saturating_sub(*stamp) > RESEND_MICROS_MAX)
        {
            self.sent.pop_front();
        }
        if self.sent.is_empty() {
            self.sent = VecDeque::new();
        }
    }
}
