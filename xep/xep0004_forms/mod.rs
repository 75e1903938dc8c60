//! XEP-0004 Data Forms 2.13.2: read and written in one way by all modules that ask people something or tell them something
//! in fields. What is in a form is the business of the module that has it; [`api`] is all there is here.

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::module::{Module, Registrar, Spec};

pub mod api;
#[cfg(test)]
mod tests;

/// The module.
pub struct DataForms;

impl Module for DataForms {
    type Config = NoSettings;
    const NAME: &'static str = "xep0004_forms";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0004", "Data Forms", "2.13.2")];

    fn register(_: NoSettings, _: &mut Registrar<'_>) -> Result<(), Fault> {
        Ok(())
    }
}
