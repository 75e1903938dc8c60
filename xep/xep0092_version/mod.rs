//! XEP-0092 Software Version 1.1: tells which version of kIM this is, and the operating system only if the operator
//! wants it told (§5).

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::module::{At, HandleIq, Module, Registrar, Reply, Request, Spec};
use kim_core::stanza::IqType;
use kim_core::wire::Writer;

#[cfg(test)]
mod tests;

const NS: &str = "jabber:iq:version";

kim_core::section! {
    /// Software version (XEP-0092).
    pub struct Settings {
        /// Also reveal the name of the operating system.
        pub tell_os: bool = false;
    }
}

/// The module.
pub struct Version(Settings);

impl Module for Version {
    type Config = Settings;
    const NAME: &'static str = "xep0092_version";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0092", "Software Version", "1.1")];

    fn register(settings: Settings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.iq(&[At::Server], IqType::Get, "query", NS, Version(settings));
        Ok(())
    }
}

impl HandleIq for Version {
    async fn handle(&self, _: &Request<'_>, _: &mut Cx) -> Result<Reply, Fault> {
        let mut xml = Writer::new();
        xml.start("query", NS);
        xml.start("name", NS).text("kIM").end();
        xml.start("version", NS).text(env!("CARGO_PKG_VERSION")).end();
        if self.0.tell_os {
            xml.start("os", NS).text(std::env::consts::OS).end();
        }
        xml.end();
        Ok(xml.into())
    }
}
