//! XEP-0433 Extended Channel Search 0.1.0: the service of rooms finds its public rooms by words in their names, descriptions and
//! addresses.
//!
//! [`query`] reads what is asked for, [`search`] looks through what public rooms say of themselves, which is in memory. How
//! often an account or guest may search is counted here (§4.2.2.4).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::keyed::{Rate, Rates};
use kim_core::module::{At, Coverage, HandleIq, Module, Registrar, Reply, Request, Spec};
use kim_core::router::Destination;
use kim_core::section;
use kim_core::stanza::IqType;

use crate::xep0045_muc::api::{Rooms, SERVICE};

mod query;
mod search;
#[cfg(test)]
mod tests;

/// The namespace.
const NS: &str = "urn:xmpp:channel-search:0:search";

section! {
    /// Search for public rooms (XEP-0433).
    pub struct ChannelSearchConfig {
        /// Rooms on one page of results.
        pub page_rooms_max: usize = 50, in 1..=500;
        /// Whether a search without a search term lists all public rooms.
        pub list_all: bool = true;
    }
}

/// The module.
pub struct ChannelSearch;

impl Module for ChannelSearch {
    type Config = ChannelSearchConfig;
    const NAME: &'static str = "xep0433_channel_search";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0433",
        title: "Extended Channel Search",
        version: "0.1.0",
        coverage: Coverage::Partial("searches only rooms of this server"),
    }];
    const NEEDS: &'static [&'static str] = &["xep0004_forms", "xep0045_muc", "xep0059_rsm"];

    fn register(config: ChannelSearchConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let limits = house.config.limits.effective();
        let answer = Arc::new(Answer {
            rooms: house.needed()?,
            config,
            is_limited: house.config.limits.enabled,
            guest_rate_percent: limits.guest_rate_percent,
            searches: Rates::new(COUNTED_MAX),
        });
        // §4.2.1, §4.2.2: both are gets; clients that submit with a set are understood too.
        house.iq(
            &[At::Service(SERVICE)],
            IqType::Get,
            "search",
            NS,
            Search(answer.clone()),
        );
        house.iq(&[At::Service(SERVICE)], IqType::Set, "search", NS, Search(answer));
        Ok(())
    }
}

/// The rate of searches of one account or guest.
const SEARCHES: Rate = Rate {
    per_second: 1.0,
    burst: 20.0,
};
/// Searchers that are counted.
const COUNTED_MAX: usize = 10_000;

struct Answer {
    rooms: Arc<Rooms>,
    config: ChannelSearchConfig,
    is_limited: bool,
    guest_rate_percent: u32,
    searches: Rates<BareJid>,
}

impl Answer {
    /// §4.2.2.4
    fn may_search(&self, who: BareJid, cx: &Cx) -> Result<(), Fault> {
        if !self.is_limited {
            return Ok(());
        }
        let now = cx.received;
        let is_guest = cx.router().destination(who.domain()) == Destination::Guests;
        let rate = if is_guest {
            SEARCHES.percent(self.guest_rate_percent)
        } else {
            SEARCHES
        };
        let Err(seconds) = self.searches.try_take(&who, rate, now) else {
            return Ok(());
        };
        let seconds = seconds.to_string();
        Err(StanzaError::new(Condition::ResourceConstraint)
            .kind(ErrorType::Wait)
            .text(format!("too many searches: wait {seconds} s"))
            .detail_with("rate-limit", query::ERRORS, "retry-after", seconds)
            .into())
    }
}

struct Search(Arc<Answer>);

impl HandleIq for Search {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let Some(query) = query::SearchQuery::read(iq.payload, &self.0.config)? else {
            return Ok(Reply::Payload(query::form()));
        };
        self.0.may_search(iq.from.bare(), cx)?;
        search::answer(&self.0.rooms, iq.account.domain(), &query, cx).await
    }
}
