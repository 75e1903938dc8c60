//! XEP-0084 User Avatar 1.1.4: pictures at nodes of the account. With XEP-0398 User Avatar to vCard-Based Avatars Conversion
//! 1.0.0: the same picture in the vCard, whichever of the two a client sets. The hash in presence, broadcast and directed
//! (XEP-0398 §4), is put there by `xep0054_vcard`.

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};

use crate::xep0054_vcard::api::PhotoChanged;
use crate::xep0060_pubsub::api::{Published, Publishing, Retracted};

mod convert;
mod metadata;
#[cfg(test)]
mod tests;

/// The node with the pictures themselves; the id of an item is the hash of its picture.
const DATA: &str = "urn:xmpp:avatar:data";
/// The node that says which pictures there are.
const METADATA: &str = "urn:xmpp:avatar:metadata";
/// XEP-0398 §2
const CONVERSION: &str = "urn:xmpp:pep-vcard-conversion:0";

/// The module.
pub struct Avatars;

impl Module for Avatars {
    type Config = NoSettings;
    const NAME: &'static str = "xep0084_avatar";
    const SPECS: &'static [Spec] = &[
        Spec::complete("XEP-0084", "User Avatar", "1.1.4"),
        Spec::complete(
            "XEP-0398",
            "User Avatar to vCard-Based Avatars Conversion",
            "1.0.0",
        ),
    ];
    const NEEDS: &'static [&'static str] = &["xep0060_pubsub", "xep0163_pep"];
    const USES: &'static [&'static str] = &["xep0054_vcard"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.on::<Publishing>(Stage::Admit, metadata::Honest);
        // Without vCards there is nothing to convert.
        let Some(cards) = house.wanted() else {
            return Ok(());
        };
        let pubsub = house.needed()?;
        let converter = Arc::new(convert::Converter { pubsub, cards });
        house.feature(&[At::Own, At::Account], CONVERSION);
        house.hear::<Published>(Stage::Store, convert::ToCard(converter.clone()));
        house.hear::<Retracted>(Stage::Store, convert::ToCard(converter.clone()));
        house.hear::<PhotoChanged>(Stage::Store, convert::FromCard(converter));
        Ok(())
    }
}
