//! XEP-0157 Contact Addresses for XMPP Services 1.1.1: shows the addresses of `[contact]` in the server's disco#info.
//! Without any there is no form.

use kim_core::config::{Contact, NoSettings};
use kim_core::error::Fault;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};
use kim_core::ns;
use kim_core::wire::Writer;

#[cfg(test)]
mod tests;

/// The module.
pub struct ContactAddresses;

impl Module for ContactAddresses {
    type Config = NoSettings;
    const NAME: &'static str = "xep0157_contact";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0157",
        title: "Contact Addresses for XMPP Services",
        version: "1.1.1",
        coverage: Coverage::Complete,
    }];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        if let Some(form) = form(&house.config.contact) {
            house.form(At::Server, form);
        }
        Ok(())
    }
}

/// The form of §3; roles without an address are left out.
fn form(contact: &Contact) -> Option<String> {
    let roles = [
        ("abuse-addresses", &contact.abuse),
        ("admin-addresses", &contact.admin),
        ("feedback-addresses", &contact.feedback),
        ("sales-addresses", &contact.sales),
        ("security-addresses", &contact.security),
        ("status-addresses", &contact.status),
        ("support-addresses", &contact.support),
    ];
    if roles.iter().all(|(_, addresses)| addresses.is_empty()) {
        return None;
    }
    let mut xml = Writer::new();
    xml.start("x", ns::DATA).attr("type", "result");
    xml.start("field", ns::DATA)
        .attr("var", "FORM_TYPE")
        .attr("type", "hidden");
    xml.start("value", ns::DATA)
        .text("http://jabber.org/network/serverinfo")
        .end()
        .end();
    for (role, addresses) in roles.into_iter().filter(|(_, addresses)| !addresses.is_empty()) {
        xml.start("field", ns::DATA).attr("var", role);
        for address in addresses {
            xml.start("value", ns::DATA).text(address.as_str()).end();
        }
        xml.end();
    }
    Some(xml.end().finish_string())
}
