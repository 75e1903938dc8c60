//! XEP-0202 Entity Time 2.0: tells the server's time, in UTC and as if it stood there: where it stands is nobody's
//! business (§6).

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::module::{At, HandleIq, Module, Registrar, Reply, Request, Spec};
use kim_core::stanza::IqType;
use kim_core::wire::Writer;

const NS: &str = "urn:xmpp:time";

/// The module.
pub struct Time;

impl Module for Time {
    type Config = NoSettings;
    const NAME: &'static str = "xep0202_time";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0202", "Entity Time", "2.0")];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.iq(&[At::Server], IqType::Get, "time", NS, Time);
        Ok(())
    }
}

impl HandleIq for Time {
    async fn handle(&self, _: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let mut xml = Writer::new();
        xml.start("time", NS);
        xml.start("tzo", NS).text("+00:00").end();
        xml.start("utc", NS)
            .text(&cx.router().clock().now().to_string())
            .end();
        xml.end();
        Ok(xml.into())
    }
}
