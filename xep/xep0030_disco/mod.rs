//! XEP-0030 Service Discovery 2.5.0: tells what the server and its accounts are and can do, with the extension forms of
//! XEP-0128. What modules registered is advertised; what is only known when somebody asks, they add by the events in
//! [`api`].

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::module::{At, Identity, Module, Registrar, Request, Spec};
use kim_core::stanza::IqType;

pub mod api;
mod info;
mod items;
#[cfg(test)]
mod tests;

const EVERYWHERE: &[At] = &[
    At::Server,
    At::Own,
    At::Account,
    At::Nobody,
    At::AnyService,
    At::AnyWithin,
];

/// The module.
pub struct Disco;

impl Module for Disco {
    type Config = NoSettings;
    const NAME: &'static str = "xep0030_disco";
    const SPECS: &'static [Spec] = &[
        Spec::complete("XEP-0030", "Service Discovery", "2.5.0"),
        Spec::complete("XEP-0128", "Service Discovery Extensions", "1.0.1"),
    ];

    const NEEDS: &'static [&'static str] = &["rfc6121_im"];
    const USES: &'static [&'static str] = &["xep0059_rsm"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let subscriptions = house.needed()?;
        house.identity(
            At::Server,
            Identity {
                category: "server",
                kind: "im",
                name: "kIM",
            },
        );
        house.identity(
            At::Account,
            Identity {
                category: "account",
                kind: "registered",
                name: "",
            },
        );
        let info = info::TellInfo {
            subscriptions: Arc::clone(&subscriptions),
        };
        house.iq(EVERYWHERE, IqType::Get, "query", api::INFO, info);
        house.iq(
            EVERYWHERE,
            IqType::Get,
            "query",
            api::ITEMS,
            items::TellItems { subscriptions },
        );
        Ok(())
    }
}

/// Who is asked about, as the asker sees it. An account that does not exist is a stranger's like any other.
fn place(iq: &Request<'_>) -> At {
    match iq.at {
        At::Nobody => At::Account,
        at => at,
    }
}

/// The node of a query. An empty one is none (§4.2: it must not be null).
fn node(iq: &Request<'_>) -> Option<String> {
    iq.payload
        .attr("node")
        .filter(|node| !node.is_empty())
        .map(|node| node.into_owned())
}
