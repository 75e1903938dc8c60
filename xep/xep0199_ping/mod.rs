//! XEP-0199 XMPP Ping 2.0.1: answers pings sent to the server, to its services and to one's own account. Pings between clients
//! pass like any other request.

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::module::{At, HandleIq, Module, Registrar, Reply, Request, Spec};
use kim_core::stanza::IqType;

/// The module.
pub struct Ping;

impl Module for Ping {
    type Config = NoSettings;
    const NAME: &'static str = "xep0199_ping";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0199", "XMPP Ping", "2.0.1")];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let places = &[At::Server, At::Own, At::AnyService];
        house.iq(places, IqType::Get, "ping", "urn:xmpp:ping", Ping);
        Ok(())
    }
}

impl HandleIq for Ping {
    async fn handle(&self, _: &Request<'_>, _: &mut Cx) -> Result<Reply, Fault> {
        Ok(Reply::Empty)
    }
}
