//! XEP-0433 Extended Channel Search 0.1.0: the service of rooms finds its public rooms by words in their names, descriptions and
//! addresses.
//!
//! [`query`] reads what is asked for, [`search`] looks through the public rooms, a page of them at a time and no more than
//! [`search::LOOKED_AT_MAX`].

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::module::{At, Coverage, HandleIq, Module, Registrar, Reply, Request, Spec};
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
        /// Rooms in one page of results.
        pub page_rooms_max: usize = 50, in 1..=500;
        /// Whether all public rooms may be listed without a word to search for.
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
        coverage: Coverage::Partial("rooms of this server"),
    }];
    const NEEDS: &'static [&'static str] = &["xep0004_forms", "xep0045_muc", "xep0059_rsm"];

    fn register(config: ChannelSearchConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let answer = Arc::new(Answer {
            rooms: house.needed()?,
            config,
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

struct Answer {
    rooms: Arc<Rooms>,
    config: ChannelSearchConfig,
}

struct Search(Arc<Answer>);

impl HandleIq for Search {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let Answer { rooms, config } = &*self.0;
        match query::Query::read(iq.payload, config)? {
            None => Ok(Reply::Payload(query::form())),
            Some(query) => search::answer(rooms, iq.account.domain(), &query, cx).await,
        }
    }
}
