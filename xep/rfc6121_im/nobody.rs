//! Messages for accounts that do not exist. People of this server are told of a typo (RFC 6121 §8.5.1), at a rate that helps
//! them but does not let them list accounts. All other senders get the answer of an account that exists and is away.

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{NoSuchAccount, Verdict};
use kim_core::hook::{Flow, On};
use kim_core::jid::BareJid;
use kim_core::keyed::{Rate, Rates};
use kim_core::router::Destination;
use kim_core::session::Resources;
use kim_core::stanza::Kind;

use std::sync::Arc;

use super::delivery::choose;
use super::offline::Offline;
use super::worth::{self, Worth};

/// Typos that one account is told of.
const TYPOS: Rate = Rate {
    per_second: 1.0 / 60.0,
    burst: 20.0,
};
/// Accounts whose rate is remembered.
const RATED_MAX: usize = 20_000;

/// Says what the sender of such a message hears.
pub struct NotHere {
    offline: Arc<Offline>,
    typos: Rates<BareJid>,
}

impl NotHere {
    /// Answers like accounts whose messages wait there.
    pub fn new(offline: Arc<Offline>) -> NotHere {
        NotHere {
            offline,
            typos: Rates::new(RATED_MAX),
        }
    }
}

impl On<NoSuchAccount> for NotHere {
    async fn on(&self, event: &mut NoSuchAccount, cx: &mut Cx) -> Result<Flow, Fault> {
        let stanza = &event.stanza;
        let (Kind::Message(kind), Some(to), Some(from)) = (stanza.kind, &stanza.to, &stanza.from) else {
            return Ok(Flow::Next);
        };
        let is_user = cx.router().destination(from.domain()) == Destination::Users;
        if is_user && self.typos.take(&from.bare(), TYPOS, cx.received) {
            return Ok(Flow::Next);
        }
        match choose(kind, to, Resources::new()) {
            Verdict::Bounced(error) => Err(error.into()),
            Verdict::Nobody if !self.offline.is_kept() && worth::of(stanza) == Worth::Keep => Ok(Flow::Next),
            _ => Ok(Flow::Done),
        }
    }
}
