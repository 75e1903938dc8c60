//! XEP-0059 Result Set Management 1.0: pages of long answers. The modules that have long answers read and write them with
//! [`api`], which is all there is here.

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};

pub mod api;
#[cfg(test)]
mod tests;

/// The module.
pub struct ResultSets;

impl Module for ResultSets {
    type Config = NoSettings;
    const NAME: &'static str = "xep0059_rsm";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0059",
        title: "Result Set Management",
        version: "1.0",
        coverage: Coverage::Partial("no page retrieval by index"),
    }];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.feature(&[At::Server], api::NS);
        Ok(())
    }
}
