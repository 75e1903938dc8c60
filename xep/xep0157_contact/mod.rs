//! XEP-0157 Contact Addresses for XMPP Services 1.1.1: shows the addresses of `[contact]` in the server's disco#info.
//! Without any there is no form.

use kim_core::config::{Contact, NoSettings};
use kim_core::error::Fault;
use kim_core::module::{At, Module, Registrar, Spec};

use crate::xep0004_forms::api::{FormKind, Sheet};

#[cfg(test)]
mod tests;

/// The module.
pub struct ContactAddresses;

impl Module for ContactAddresses {
    type Config = NoSettings;
    const NAME: &'static str = "xep0157_contact";
    const SPECS: &'static [Spec] = &[Spec::complete(
        "XEP-0157",
        "Contact Addresses for XMPP Services",
        "1.1.1",
    )];

    const NEEDS: &'static [&'static str] = &["xep0004_forms"];

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
    let mut form = Sheet::new(FormKind::Result, "http://jabber.org/network/serverinfo");
    for (role, addresses) in roles.into_iter().filter(|(_, addresses)| !addresses.is_empty()) {
        let addresses: Vec<&str> = addresses.iter().map(|address| address.as_str()).collect();
        form = form.field(role, "list-multi", "", &addresses);
    }
    Some(form.xml())
}
