//! Which domains may talk to this server at all: those that `[s2s] allow` and `deny` let through, and that no server-wide block
//! keeps out.

use kim_xep::xep0191_server::api::ServerBlocks;

use super::hub::Federation;

impl Federation {
    /// Whether a domain is let in and out.
    pub(super) fn permits(&self, domain: &str) -> bool {
        self.settings().permits(domain) && !self.is_blocked(domain)
    }

    /// Whether a server-wide block keeps a domain out.
    pub(super) fn is_blocked(&self, domain: &str) -> bool {
        let blocks = self.router().fact::<ServerBlocks>();
        blocks.is_some_and(|blocks| !blocks.permits(domain))
    }
}
