//! XEP-0401 Ad-hoc Account Invitation Generation 0.6.0: accounts invite people, administrators make accounts without ever
//! knowing a password. With XEP-0445 the invited register although registration is closed; with XEP-0379 those who have an
//! account elsewhere become contacts.
//!
//! The token in a link is all that counts. The database keeps only its hash; a use of it is counted in the transaction that
//! makes the account; and one that is unknown, used up or too old is told apart from the others by nobody.

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::events::{Arrival, BeforeLogin};
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Offer, Registrar, Spec};
use kim_core::router::Destination;
use kim_core::section;
use kim_core::wire::Writer;

use crate::xep0050_commands::api::{Commands, MayUse};
use crate::xep0077_register::api::Admission;

pub mod api;
mod commands;
mod contact;
mod links;
mod preauth;
mod store;
#[cfg(test)]
mod tests;
mod token;

/// The stream feature of XEP-0445 §3.
const IBR_TOKEN: &str = "urn:xmpp:ibr-token:0";
/// Of tokens, before login and in subscription requests (XEP-0379 §3.4).
const PARS: &str = "urn:xmpp:pars:0";

section! {
    /// Invitations (XEP-0401). [registration] decides whether they can create accounts.
    pub struct InvitesConfig {
        /// Days for which an invitation is valid, unless it says otherwise.
        pub expires_days: u32 = 7, in 1..=365;
        /// Invitations from any account can create accounts. If false, only those from administrators can.
        pub accounts_invite: bool = true;
        /// Invitations that one account can create per day.
        pub per_account_per_day_max: u32 = 20, in 1..=1_000_000;
        /// Invitation tokens that one address can try per minute. (row 23)
        pub tries_per_address_per_minute: u32 = 30, in 1..=1_000_000;
    }
}

/// The module.
pub struct Invitations;

impl Module for Invitations {
    type Config = InvitesConfig;
    const NAME: &'static str = "xep0401_invites";
    const SPECS: &'static [Spec] = &[
        Spec::complete("XEP-0401", "Ad-hoc Account Invitation Generation", "0.6.0"),
        Spec::complete("XEP-0379", "Pre-Authenticated Roster Subscription", "0.3.3"),
        Spec::complete("XEP-0445", "Pre-Authenticated In-Band Registration", "0.2.0"),
    ];
    const NEEDS: &'static [&'static str] = &[
        "rfc6121_im",
        "xep0004_forms",
        "xep0050_commands",
        "xep0077_register",
    ];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0401_invites",
        name: "0001_invites",
        sql: include_str!("migrations/0001_invites.sql"),
    }];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: InvitesConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let invites = Arc::new(invites(&config, house)?);
        let commands: Arc<Commands> = house.needed()?;
        let invite = commands::Invite {
            invites: invites.clone(),
            commands: commands.clone(),
            accounts_invite: config.accounts_invite,
        };
        commands.add(
            At::Server,
            commands::INVITE,
            "Invite somebody",
            MayUse::Accounts,
            invite,
        );
        house.on::<Arrival>(Stage::Store, contact::Redeem(invites.clone()));
        house.on::<Arrival>(Stage::Notify, contact::AskBack(invites.clone()));
        house.provide(invites.clone());
        let (tidied, clock) = (invites.clone(), house.clock.clone());
        house.tidies(move || {
            let (invites, now) = (tidied.clone(), clock.now());
            async move { invites.store.tidy(now).await }
        });
        if house.config.registration.invites {
            registration(&config, house, &commands, invites);
        }
        Ok(())
    }
}

fn invites(config: &InvitesConfig, house: &Registrar<'_>) -> Result<api::Invites, Fault> {
    Ok(api::Invites {
        store: store::InviteStore::new(house.db.clone()),
        subscriptions: house.needed()?,
        reserved: house.needed()?,
        public_url: house.config.public_url().map(|url| url.as_str().to_owned()),
        registers: house.config.registration.invites,
        per_day_max: house
            .config
            .limits
            .enabled
            .then_some(config.per_account_per_day_max),
        seconds_default: u64::from(config.expires_days) * 86_400,
    })
}

/// Registers what creates accounts by invitation (XEP-0401 §4, XEP-0445).
fn registration(
    config: &InvitesConfig,
    house: &mut Registrar<'_>,
    commands: &Commands,
    invites: Arc<api::Invites>,
) {
    let title = "Invite somebody to create an account";
    let create = commands::CreateAccount(invites.clone());
    commands.add(At::Server, commands::CREATE, title, MayUse::Admins, create);
    let is_limited = house.config.limits.enabled;
    let tries = is_limited.then_some(config.tries_per_address_per_minute);
    house.on::<BeforeLogin>(Stage::Deliver, preauth::Preauth::new(invites.clone(), tries));
    house.on::<Admission>(Stage::Admit, preauth::Invited(invites));
    let is_open = house.config.registration.open;
    house.stream_feature(Offer::BeforeLogin, move |router, domain| {
        (router.destination(domain) == Destination::Users).then(|| stream_features(is_open))
    });
}

/// Clients look for the feature of XEP-0077 too before they register with a token, as in the example of XEP-0445 §3. Where
/// registration is open it is there already.
fn stream_features(is_open: bool) -> String {
    let mut xml = Writer::new();
    xml.start("register", IBR_TOKEN).end();
    let mut features = xml.finish_string();
    if !is_open {
        let mut xml = Writer::new();
        xml.start("register", "http://jabber.org/features/iq-register")
            .end();
        features.push_str(&xml.finish_string());
    }
    features
}
