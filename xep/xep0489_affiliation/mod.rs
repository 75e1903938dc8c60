//! XEP-0489 Reporting Account Affiliations 0.1.0: this server says of its accounts whether they are guests', self-registered,
//! members' or administrators'. It answers those who may ask (§4.2), and says it in what an account sends to people on other
//! servers who are not its contacts (§4.3). What other servers say of their accounts is believed only if they have announced
//! that they keep others from saying it (§7.2).

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::events::{Answer, Arrival, Departure, Leaving, NoSuchAccount, ServiceArrival};
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};

pub mod api;
mod origin;
#[cfg(test)]
mod tests;
mod told;

const NS: &str = "urn:xmpp:raa:0";
/// §6: in which stanzas the element may be, by those who announce it.
const IN_SUBSCRIPTIONS: &str = "urn:xmpp:raa:0#embed-presence-sub";
const IN_DIRECTED_PRESENCE: &str = "urn:xmpp:raa:0#embed-presence-directed";
const IN_MESSAGES: &str = "urn:xmpp:raa:0#embed-message";

/// The module.
pub struct AccountAffiliations;

impl Module for AccountAffiliations {
    type Config = NoSettings;
    const NAME: &'static str = "xep0489_affiliation";
    const SPECS: &'static [Spec] = &[Spec::complete(
        "XEP-0489",
        "Reporting Account Affiliations",
        "0.1.0",
    )];
    const NEEDS: &'static [&'static str] = &["rfc6121_im", "xep0030_disco"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.provide(Arc::new(api::Affiliations));
        let query = told::AnswerQuery {
            subscriptions: house.needed()?,
        };
        house
            .at(&[At::Own, At::Account, At::Nobody])
            .get("query", NS, query);
        house
            .at(&[At::Server])
            .feature(NS)
            .feature(IN_SUBSCRIPTIONS)
            .feature(IN_DIRECTED_PRESENCE)
            .feature(IN_MESSAGES);
        house.on::<Departure>(Stage::Stamp, told::StripForged);
        let embed = told::EmbedInfo {
            subscriptions: house.needed()?,
        };
        house.on::<Leaving>(Stage::Stamp, embed);

        let origins = Arc::new(origin::OriginServers::new(house.db.caches()));
        house.on::<Arrival>(Stage::Admit, origin::JudgeArriving(origins.clone()));
        house.on::<ServiceArrival>(Stage::Admit, origin::JudgeArriving(origins.clone()));
        house.on::<NoSuchAccount>(Stage::Admit, origin::JudgeArriving(origins.clone()));
        house.on::<Answer>(Stage::Deliver, origin::HearOrigins(origins));
        Ok(())
    }
}
