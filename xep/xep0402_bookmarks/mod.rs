//! XEP-0402 PEP Native Bookmarks 1.2.0: one item for each room. With the older ways to keep bookmarks held in step, so that old
//! and new clients of an account see the same: XEP-0048 Bookmarks 1.2 in one item of a private node (`#compat-pep`), and in
//! private XML (`#compat`, XEP-0411).
//!
//! There are two stores and not three: what a client asks of private XML is answered from the private node, and what it puts
//! there goes to the node.

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};

use crate::xep0049_private::api::{Reading, Writing};
use crate::xep0060_pubsub::api::{NodeDeleted, Published, Publishing, Retracted};

mod bookmark;
mod private;
mod step;
#[cfg(test)]
mod tests;

/// The node of this specification, and the namespace of its payloads.
const NATIVE: &str = "urn:xmpp:bookmarks:1";
/// The node of XEP-0048, and the namespace of its payloads.
const STORAGE: &str = "storage:bookmarks";
/// The id of the one item of that node (XEP-0048 §3.1).
const CURRENT: &str = "current";

/// What the server takes on (§6, XEP-0411 §2).
const FEATURES: &[&str] = &[
    "urn:xmpp:bookmarks:1#compat",
    "urn:xmpp:bookmarks:1#compat-pep",
    "urn:xmpp:bookmarks-conversion:0",
];

/// The module.
pub struct Bookmarks;

impl Module for Bookmarks {
    type Config = NoSettings;
    const NAME: &'static str = "xep0402_bookmarks";
    const SPECS: &'static [Spec] = &[
        Spec::complete("XEP-0402", "PEP Native Bookmarks", "1.2.0"),
        Spec::complete("XEP-0048", "Bookmarks", "1.2"),
        Spec::complete("XEP-0411", "Bookmarks Conversion", "1.1.0"),
    ];
    const NEEDS: &'static [&'static str] = &["xep0060_pubsub", "xep0163_pep"];
    const USES: &'static [&'static str] = &["xep0049_private"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let keeper = Arc::new(step::BookmarkKeeper::new(house.needed()?));
        for feature in FEATURES {
            house.feature(&[At::Own], feature);
        }
        house.on::<Publishing>(Stage::Admit, bookmark::Sound);
        house.hear::<Published>(Stage::Store, step::InStep(keeper.clone()));
        house.hear::<Retracted>(Stage::Store, step::InStep(keeper.clone()));
        house.hear::<NodeDeleted>(Stage::Store, step::InStep(keeper.clone()));
        house.on::<Reading>(Stage::Store, private::PrivateBookmarks(keeper.clone()));
        house.on::<Writing>(Stage::Store, private::PrivateBookmarks(keeper));
        Ok(())
    }
}
