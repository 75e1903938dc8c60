//! Whom an account writes to: they are no strangers from then on, and what they sent is delivered.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{AccountErased, Departure, SessionStarted};
use kim_core::hook::{Flow, Hear, On};
use kim_core::router::Destination;
use kim_core::stanza::{IqType, Kind, MessageType, PresenceType, Stanza};

use super::acquaintances::{Acquaintances, Relation};
use super::choices::StrangerChoices;
use super::content;
use super::requests::RequestBox;
use super::waves::Waves;
use crate::rfc6121_im::api::RosterChanged;

/// Remembers whom accounts write to.
pub(super) struct Speaking {
    pub acquaintances: Arc<Acquaintances>,
    pub requests: Arc<RequestBox>,
}

impl On<Departure> for Speaking {
    async fn on(&self, departure: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let (stanza, session) = (&departure.stanza, &departure.session);
        let may_speak = match stanza.kind {
            Kind::Message(kind) => matches!(kind, MessageType::Chat | MessageType::Normal),
            Kind::Presence(kind) => kind == PresenceType::Subscribe,
            Kind::Iq(kind) => kind == IqType::Set,
        };
        let Some(to) = stanza.to.as_ref().filter(|_| may_speak && !session.guest) else {
            return Ok(Flow::Next);
        };
        let account = &session.account;
        let is_own = to.bare_str() == account.as_str();
        if is_own
            || self.acquaintances.cached(account, to.bare_str()) == Some(Relation::WrittenTo)
            || !speaks(stanza)
        {
            return Ok(Flow::Next);
        }
        let is_somebody = match cx.router().destination(to.domain()) {
            Destination::Users => to.local().is_some(),
            Destination::Component | Destination::Remote => true,
            Destination::Guests | Destination::Service(_) => false,
        };
        if is_somebody {
            let (account, peer) = (account.clone(), to.bare());
            // Boxed, so that the future stays small for those who know each other.
            let speak = async {
                match self.acquaintances.speak(&account, &peer, cx).await? {
                    true => self.requests.release(&account, &peer, cx).await,
                    false => Ok(()),
                }
            };
            Box::pin(speak).await?;
        }
        Ok(Flow::Next)
    }
}

/// Whether a stanza makes its addressee known: a message with something for a person, a request for presence, a subscription to
/// a node (XEP-0060 §6.1) or a registration with a gateway (XEP-0100 §4.1), whose answers come as messages and presence.
fn speaks(stanza: &Stanza) -> bool {
    match stanza.kind {
        Kind::Message(_) => content::speaks(stanza),
        Kind::Presence(_) => true,
        Kind::Iq(_) => stanza.payload().is_some_and(|payload| {
            let pubsub = "http://jabber.org/protocol/pubsub";
            let subscribes = payload.is("pubsub", pubsub) && payload.child("subscribe", pubsub).is_some();
            subscribes || payload.is("query", "jabber:iq:register")
        }),
    }
}

/// A contact that is known now has nothing waiting.
impl Hear<RosterChanged> for Speaking {
    async fn hear(&self, change: &mut RosterChanged, cx: &mut Cx) -> Result<(), Fault> {
        let (before, after) = change.states();
        let was_known = Acquaintances::is_contact(before);
        let is_known = self
            .acquaintances
            .changed(&change.account, &change.contact, after);
        if is_known && !was_known {
            self.requests
                .release(&change.account, &change.contact, cx)
                .await?;
        }
        Ok(())
    }
}

/// An erased account leaves the memory too.
pub(super) struct ForgetAcquaintances {
    pub acquaintances: Arc<Acquaintances>,
    pub choices: Arc<StrangerChoices>,
}

impl Hear<AccountErased> for ForgetAcquaintances {
    async fn hear(&self, erased: &mut AccountErased, _: &mut Cx) -> Result<(), Fault> {
        self.acquaintances.forget_all();
        self.choices.forget(&erased.account);
        Ok(())
    }
}

/// The first session of this process: what an earlier one put off is looked after from now on.
pub(super) struct ResumeWaves(pub Arc<Waves>);

impl Hear<SessionStarted> for ResumeWaves {
    async fn hear(&self, _: &mut SessionStarted, cx: &mut Cx) -> Result<(), Fault> {
        self.0.resume(cx.router());
        Ok(())
    }
}
