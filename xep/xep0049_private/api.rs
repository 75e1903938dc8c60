//! What other modules may do: keep an entry of private XML elsewhere, where other clients of the account find it too.

use kim_core::hook::Event;
use kim_core::jid::BareJid;

/// A client asks for an entry. `Done` means that a module has said what there is.
pub struct Reading {
    /// Whose.
    pub account: BareJid,
    /// The namespace of the element.
    pub ns: String,
    /// The name of the element.
    pub name: String,
    /// The elements, canonical XML; set by the module that keeps them.
    pub xml: Option<String>,
}

impl Event for Reading {
    const NAME: &'static str = "private-reading";
}

/// A client replaces an entry. `Done` means that a module has taken it; it is committed then, and not kept here.
pub struct Writing {
    /// Whose.
    pub account: BareJid,
    /// The namespace of the element.
    pub ns: String,
    /// The name of the element.
    pub name: String,
    /// The elements, canonical XML; nothing where the entry is erased.
    pub xml: String,
}

impl Event for Writing {
    const NAME: &'static str = "private-writing";
}
