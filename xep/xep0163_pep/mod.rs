//! XEP-0163 Personal Eventing Protocol 1.2.2: every account is a pubsub service. What nodes are is in `xep0060_pubsub`; here
//! is who hears of them without having subscribed: the sessions of the owner and of those who see the owner's presence, as
//! far as their clients say so (`NODE+notify` in verified capabilities).
//!
//! A publication looks at the owner's roster and at the sessions of those on it, never at anybody else's.

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::events::Arrival;
use kim_core::hook::Stage;
use kim_core::module::{At, Coverage, Identity, Module, Registrar, Spec};

use crate::rfc6121_im::api::{PresenceChanged, RosterChanged, Subscriptions};
use crate::xep0060_pubsub::api::{Configuring, NodeAudience, NodeDefaults, PubSub, Publishing};
use crate::xep0115_caps::api::{Caps, CapsKnown, ClientKnown};
use crate::xep0191_blocking::api::Blocks;

mod audience;
mod elsewhere;
mod last;
mod names;
#[cfg(test)]
pub(crate) mod tests;

/// What an account's nodes can do beside what the engine can.
const FEATURES: &[&str] = &[
    "http://jabber.org/protocol/pubsub#auto-subscribe",
    "http://jabber.org/protocol/pubsub#filtered-notifications",
    "http://jabber.org/protocol/pubsub#presence-notifications",
];

/// What one widespread client looks for at the domain before it publishes keys. Without the plain `#publish` beside it: there
/// are libraries that sort the two the wrong way round when they check the hash of capabilities (XEP-0115 §5.1).
const SEEN_AT_THE_SERVER: &[&str] = &["http://jabber.org/protocol/pubsub#publish-options"];

/// What modules need to hear of accounts' nodes.
#[derive(Clone)]
struct Means {
    pubsub: Arc<PubSub>,
    subscriptions: Arc<Subscriptions>,
    caps: Arc<Caps>,
    blocks: Arc<Blocks>,
}

/// The module.
pub struct PersonalEventing;

impl Module for PersonalEventing {
    type Config = NoSettings;
    const NAME: &'static str = "xep0163_pep";
    const SPECS: &'static [Spec] = &[
        Spec::complete("XEP-0163", "Personal Eventing Protocol", "1.2.2"),
        Spec::complete(
            "XEP-0222",
            "Persistent Storage of Public Data via PubSub",
            "1.0.1",
        ),
        Spec::complete(
            "XEP-0223",
            "Persistent Storage of Private Data via PubSub",
            "1.1.1",
        ),
        carried("XEP-0080", "User Location"),
        carried("XEP-0107", "User Mood"),
        carried("XEP-0108", "User Activity"),
        carried("XEP-0118", "User Tune"),
        carried("XEP-0172", "User Nickname"),
        carried("XEP-0292", "vCard4 Over XMPP"),
    ];
    const NEEDS: &'static [&'static str] = &["rfc6121_im", "xep0060_pubsub", "xep0115_caps"];
    const USES: &'static [&'static str] = &["xep0191_blocking"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let means = Means {
            pubsub: house.needed()?,
            subscriptions: house.needed()?,
            caps: house.needed()?,
            blocks: Blocks::of(house),
        };
        means.pubsub.serve_accounts(house);
        for at in [At::Own, At::Account] {
            house.identity(
                at,
                Identity {
                    category: "pubsub",
                    kind: "pep",
                    name: "",
                },
            );
            for feature in FEATURES {
                house.feature(&[at], feature);
            }
        }
        for feature in SEEN_AT_THE_SERVER {
            house.feature(&[At::Server], feature);
        }
        house.on::<NodeDefaults>(Stage::Stamp, names::PepDefaults);
        house.on::<Publishing>(Stage::Stamp, names::StayPrivate);
        house.on::<Configuring>(Stage::Stamp, names::StayPrivate);
        house.on::<NodeAudience>(Stage::Deliver, audience::InterestedSessions(means.clone()));
        house.hear::<PresenceChanged>(Stage::Notify, last::OnPresence(means.clone()));
        house.hear::<CapsKnown>(Stage::Notify, last::OnCaps(means.clone()));
        house.hear::<RosterChanged>(Stage::Notify, last::OnRoster(means.clone()));
        house.on::<Arrival>(Stage::Notify, elsewhere::Watch(means.clone()));
        house.hear::<ClientKnown>(Stage::Notify, elsewhere::OnClient(means));
        Ok(())
    }
}

/// What clients publish at a node of this name is theirs; the server keeps it and tells of it.
const fn carried(id: &'static str, title: &'static str) -> Spec {
    Spec {
        id,
        title,
        version: "",
        coverage: Coverage::Partial("stored and forwarded like any other node"),
    }
}
