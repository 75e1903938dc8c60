//! XEP-0175 Best Practices for Use of SASL ANONYMOUS 1.2: what a guest may do. The door gives guests a random address
//! on the guest domain; this module keeps them to the services of this server. A guest speaks with no account and no
//! account with a guest: where they meet is a public room.

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::events::{Arrival, Departure, Verdict};
use kim_core::hook::{Flow, On, Stage};
use kim_core::jid::Jid;
use kim_core::module::{Module, Registrar, Spec};
use kim_core::router::{Destination, Router};
use kim_core::stanza::{IqType, Kind, Stanza};

/// The module.
pub struct Anonymous;

impl Module for Anonymous {
    type Config = NoSettings;
    const NAME: &'static str = "xep0175_anonymous";
    const SPECS: &'static [Spec] = &[Spec::complete(
        "XEP-0175",
        "Best Practices for Use of SASL ANONYMOUS",
        "1.2",
    )];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.on::<Departure>(Stage::Admit, KeepGuestsInside);
        house.on::<Arrival>(Stage::Admit, KeepAccountsOutside);
        Ok(())
    }
}

/// A guest's stanza goes to itself, to the server or to one of its services; never to another domain (§3) and never to
/// an account or another guest.
struct KeepGuestsInside;

impl On<Departure> for KeepGuestsInside {
    async fn on(&self, departure: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let session = &departure.session;
        let Some(to) = departure.stanza.to.as_ref().filter(|_| session.guest) else {
            return Ok(Flow::Next);
        };
        let inside = cx.router().destination(to.domain()).is_served();
        if inside && (to.bare() == session.account || !is_foreign(to, cx.router())) {
            return Ok(Flow::Next);
        }
        if inside && reads_items(&departure.stanza, to) {
            return Ok(Flow::Next);
        }
        Err(StanzaError::new(Condition::Forbidden)
            .text("guests can only reach the services of this server")
            .into())
    }
}

/// What an account sends to a guest comes back as if the guest were not there. Requests to the guest's bare JID are
/// answered by the server (service discovery says that it is a guest, §5) and pass.
struct KeepAccountsOutside;

impl On<Arrival> for KeepAccountsOutside {
    async fn on(&self, arrival: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let router = cx.router();
        let to_guest = router.destination(arrival.account.domain()) == Destination::Guests;
        let foreign = arrival
            .stanza
            .from
            .as_ref()
            .filter(|from| from.bare() != arrival.account);
        if !to_guest || !foreign.is_some_and(|from| is_foreign(from, router)) {
            return Ok(Flow::Next);
        }
        let to_bare = arrival.stanza.to.as_ref().is_some_and(|to| to.is_bare());
        arrival.verdict = match arrival.stanza.kind {
            Kind::Iq(_) if to_bare => return Ok(Flow::Next),
            Kind::Presence(_) => Verdict::Dropped,
            _ => Verdict::Bounced(StanzaError::new(Condition::ServiceUnavailable)),
        };
        Ok(Flow::Next)
    }
}

/// Whether a guest asks the server for what an account shows to everybody: the keys of somebody who is in the same room
/// (XEP-0384). What is not for everybody is not there for a guest.
fn reads_items(stanza: &Stanza, to: &Jid) -> bool {
    let pubsub = "http://jabber.org/protocol/pubsub";
    let payload = stanza.payload().filter(|payload| payload.is("pubsub", pubsub));
    let items = payload.and_then(|payload| payload.children().next());
    to.is_bare()
        && stanza.kind == Kind::Iq(IqType::Get)
        && items.is_some_and(|items| items.is("items", pubsub))
}

/// Whether somebody or something other than this server and its services answers at an address. Components count: what
/// they let a guest do is beyond this server's rules.
fn is_foreign(jid: &Jid, router: &Router) -> bool {
    match router.destination(jid.domain()) {
        Destination::Users | Destination::Guests => jid.local().is_some(),
        Destination::Service(_) => false,
        Destination::Component | Destination::Remote => true,
    }
}
