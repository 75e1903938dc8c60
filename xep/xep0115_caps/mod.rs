//! XEP-0115 Entity Capabilities 1.6.0: shows the server's own capabilities in the stream features, and learns what the
//! sessions of this server can do from the `<c/>` in their presence, so that other modules ([`api::Caps`]) can ask. Clients of
//! contacts on other servers are known in the same way ([`elsewhere`]), as far as another module reports their presence.
//!
//! A session is asked itself while its verification string is unknown, also when others with the same string were asked
//! a moment ago: waiting for somebody else's answer would let one silent client keep everybody with that string dark.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::events::{AccountErased, Answer, Departure};
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Offer, Registrar, Spec};

use crate::xep0030_disco::api::InfoAsked;

pub mod api;
mod elsewhere;
mod learn;
mod own;
mod session;
mod shared;
#[cfg(test)]
mod tests;
mod verify;

const NS: &str = "http://jabber.org/protocol/caps";

kim_core::section! {
    /// Entity capabilities: what clients support, as announced in their presence (XEP-0115).
    pub struct Settings {
        /// Bytes of memory for verified capabilities, which all clients with the same software share.
        pub shared_bytes_max: usize = 4_194_304, in 65_536..=1_073_741_824;
        /// Bytes in the response of one client. Longer responses are ignored.
        pub answer_bytes_max: usize = 32_768, in 4_096..=262_144;
    }
}

/// The module.
pub struct EntityCaps;

impl Module for EntityCaps {
    type Config = Settings;
    const NAME: &'static str = "xep0115_caps";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0115", "Entity Capabilities", "1.6.0")];
    const NEEDS: &'static [&'static str] = &["xep0030_disco"];

    fn register(settings: Settings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let caps = Arc::new(api::Caps::new(settings.shared_bytes_max));
        let own = Arc::new(own::Own::default());
        let shown = own.clone();
        house.stream_feature(Offer::AfterLogin, move |router, _| shown.stream_feature(router));
        house.feature(&[At::Server], NS);
        house.on::<InfoAsked>(Stage::Deliver, own::OwnNode(own));
        house.on::<Departure>(Stage::Stamp, learn::Notice(caps.clone()));
        let answer_bytes_max = settings.answer_bytes_max;
        house.on::<Answer>(
            Stage::Deliver,
            learn::ListenForAnswers {
                caps: caps.clone(),
                answer_bytes_max,
            },
        );
        house.hear::<AccountErased>(Stage::Store, learn::Forget(caps.clone()));
        house.provide(caps);
        Ok(())
    }
}
