//! XEP-0506 No-reply JIDs 0.1.0: says that nobody reads chat messages to the server's domain and to its services, so that
//! clients hide the input box. A message sent there anyway is answered with `service-unavailable` by the router.

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};

/// The module.
pub struct NoReply;

impl Module for NoReply {
    type Config = NoSettings;
    const NAME: &'static str = "xep0506_noreply";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0506",
        title: "No-reply JIDs",
        version: "0.1.0",
        coverage: Coverage::Complete,
    }];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.feature(&[At::Server, At::AnyService], "urn:xmpp:noreply:0");
        Ok(())
    }
}
