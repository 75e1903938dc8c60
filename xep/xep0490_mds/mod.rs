//! XEP-0490 Message Displayed Synchronization 1.0.1: how far an account has read each chat, for all its clients. Clients
//! publish it at a private node; with server assist (§4.5) a message carries it to the server, which takes it out and
//! publishes it.

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::Departure;
use kim_core::hook::{Flow, On, Stage};
use kim_core::jid::BareJid;
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::stanza::Kind;
use kim_core::wire::Element;

use crate::xep0060_pubsub::api::{Draft, PubSub};

#[cfg(test)]
mod tests;

/// The node, and the namespace of its payloads.
const DISPLAYED: &str = "urn:xmpp:mds:displayed:0";
/// §4.5.2
const ASSIST: &str = "urn:xmpp:mds:server-assist:0";
/// XEP-0359
const STANZA_ID: &str = "urn:xmpp:sid:0";
/// Bytes that a marker may have; it holds one id and one address.
const MARKER_BYTES_MAX: usize = 8_192;

/// The module.
pub struct DisplayedSync;

impl Module for DisplayedSync {
    type Config = NoSettings;
    const NAME: &'static str = "xep0490_mds";
    const SPECS: &'static [Spec] = &[Spec::complete(
        "XEP-0490",
        "Message Displayed Synchronization",
        "1.0.1",
    )];
    const NEEDS: &'static [&'static str] = &["xep0060_pubsub", "xep0163_pep"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let pubsub: Arc<PubSub> = house.needed()?;
        house.on::<Departure>(Stage::Stamp, Assist(pubsub));
        // One widespread client looks for the second to know of the first.
        house.feature(&[At::Own], ASSIST);
        house.feature(&[At::Own], DISPLAYED);
        Ok(())
    }
}

/// Takes markers out of messages before they are archived or copied (§5.2), and publishes them.
struct Assist(Arc<PubSub>);

impl On<Departure> for Assist {
    async fn on(&self, departure: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let is_message =
            matches!(departure.stanza.kind, Kind::Message(_)) && !departure.stanza.kind.is_error();
        if !is_message || departure.session.guest {
            return Ok(Flow::Next);
        }
        let Some(marker) = departure
            .stanza
            .child("displayed", DISPLAYED)
            .map(|marker| marker.to_element())
        else {
            return Ok(Flow::Next);
        };
        departure.stanza.remove(|child| child.is("displayed", DISPLAYED));
        let Some(chat) = departure.stanza.to.as_ref().map(|to| to.as_str().to_owned()) else {
            return Ok(Flow::Next);
        };
        if is_marker(&marker) {
            let account = departure.session.account.clone();
            // Boxed, so that the future stays small for messages without a marker.
            Box::pin(self.note(&account, chat, marker, cx)).await;
        }
        Ok(Flow::Next)
    }
}

impl Assist {
    /// A marker that cannot be noted is no reason to keep the message back.
    async fn note(&self, account: &BareJid, chat: String, marker: Element, cx: &mut Cx) {
        let noted = self
            .0
            .publish(account, DISPLAYED, vec![Draft::new(chat, marker)], cx)
            .await;
        if let Err(fault) = noted {
            tracing::warn!(event = "displayed_not_noted", ?fault);
        }
    }
}

/// §4.1: exactly one stanza-id. What it says is the client's business (§5.2).
fn is_marker(marker: &Element) -> bool {
    let ids = marker
        .children()
        .filter(|child| child.is("stanza-id", STANZA_ID))
        .count();
    ids == 1 && marker.bytes().len() <= MARKER_BYTES_MAX
}
