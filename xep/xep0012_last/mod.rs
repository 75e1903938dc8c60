//! XEP-0012 Last Activity 2.0: how long the server runs, and, to those who may see somebody's presence, since when that
//! somebody is away. Everybody else is refused, whether there is such an account or not (§8).

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::clock::Timestamp;
use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::Arrival;
use kim_core::hook::Stage;
use kim_core::module::{At, HandleIq, Module, Registrar, Reply, Request, Spec};
use kim_core::wire::Writer;

use crate::rfc6121_im::api::PresenceChanged;

mod account;
mod store;
#[cfg(test)]
mod tests;

const NS: &str = "jabber:iq:last";

/// The module.
pub struct LastActivity;

impl Module for LastActivity {
    type Config = NoSettings;
    const NAME: &'static str = "xep0012_last";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0012", "Last Activity", "2.0")];
    const NEEDS: &'static [&'static str] = &["rfc6121_im"];
    const MIGRATIONS: &'static [Migration] = &[
        Migration {
            module: "xep0012_last",
            name: "0001_last",
            sql: include_str!("migrations/0001_last.sql"),
        },
        Migration {
            module: "xep0012_last",
            name: "0002_sealed",
            sql: include_str!("migrations/0002_sealed.sql"),
        },
    ];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let subscriptions = house.needed()?;
        let seen = Arc::new(store::Seen::new(house.db.clone(), house.seals.clone()));
        let tell = account::TellLast {
            seen: seen.clone(),
            subscriptions: Arc::clone(&subscriptions),
        };
        let started = house.clock.now();
        house.at(&[At::Server]).get("query", NS, Uptime { started });
        house
            .at(&[At::Own, At::Account, At::Nobody])
            .get("query", NS, tell);
        house.on::<Arrival>(Stage::Admit, account::Guard { subscriptions });
        house.hear::<PresenceChanged>(Stage::Store, account::Note(seen));
        Ok(())
    }
}

/// §5: how long the server runs.
struct Uptime {
    started: Timestamp,
}

impl HandleIq for Uptime {
    async fn handle(&self, _: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        Ok(write(cx.router().clock().now().seconds_since(self.started), ""))
    }
}

fn write(seconds: u64, status: &str) -> Reply {
    let mut xml = Writer::new();
    xml.start("query", NS)
        .attr("seconds", &seconds.to_string())
        .text(status)
        .end();
    xml.into()
}
