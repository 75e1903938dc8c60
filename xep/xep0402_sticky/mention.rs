//! Whom a message mentions (XEP-0372).

use std::collections::HashSet;

use kim_core::jid::{BareJid, Jid};
use kim_core::stanza::Stanza;

/// XEP-0372
const REFERENCE: &str = "urn:xmpp:reference:0";
/// References of one message that are looked at.
const REFERENCES_MAX: usize = 50;

/// Whom the message mentions.
pub fn mentioned(stanza: &Stanza) -> HashSet<BareJid> {
    stanza
        .children()
        .filter(|child| child.is("reference", REFERENCE) && child.attr("type").as_deref() == Some("mention"))
        .take(REFERENCES_MAX)
        .filter_map(|reference| {
            let uri = reference.attr("uri")?;
            let address = uri.strip_prefix("xmpp:")?;
            let address = address.split('?').next().unwrap_or(address);
            Jid::parse(address).ok().map(|jid| jid.bare())
        })
        .collect()
}
