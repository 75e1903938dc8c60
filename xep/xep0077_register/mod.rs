//! XEP-0077 In-Band Registration 2.4: making an account before login where the operator has opened registration,
//! changing one's password, and removing one's account, which really erases it.

mod account;
pub mod api;
mod newcomer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::events::BeforeLogin;
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Offer, Registrar, Spec};
use kim_core::router::Destination;
use kim_core::stanza::IqType;
use kim_core::wire::{El, Writer};

const NS: &str = "jabber:iq:register";

/// The module.
pub struct Register;

impl Module for Register {
    type Config = NoSettings;
    const NAME: &'static str = "xep0077_register";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0077", "In-Band Registration", "2.4")];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.iq(&[At::Server, At::Own], IqType::Get, "query", NS, account::Lookup);
        house.iq(
            &[At::Server, At::Own],
            IqType::Set,
            "query",
            NS,
            account::AccountChange,
        );
        let reserved = Arc::new(newcomer::Reserved::new(house.config));
        house.provide(reserved.clone());
        house.on::<BeforeLogin>(
            Stage::Deliver,
            newcomer::Newcomer::new(house.config, house.limits, reserved),
        );
        if house.config.registration.open {
            house.stream_feature(Offer::BeforeLogin, |router, domain| {
                let mut xml = Writer::new();
                xml.start("register", "http://jabber.org/features/iq-register")
                    .end();
                (router.destination(domain) == Destination::Users).then(|| xml.finish_string())
            });
        }
        Ok(())
    }
}

/// What a client filled in, as plain elements or as a data form (§4).
fn field<'a>(query: El<'a>, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    if let Some(plain) = query.child(name, NS) {
        return Some(plain.text());
    }
    let form = query.child("x", kim_core::ns::DATA)?;
    let field = form
        .children()
        .find(|field| field.attr("var").is_some_and(|var| var == name))?;
    Some(field.child("value", kim_core::ns::DATA)?.text())
}
