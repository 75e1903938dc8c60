//! Which domains may talk to this server at all: those that `[s2s] allow` and `deny` let through, and that no server-wide block
//! keeps out. Both change while the server runs; then the streams end of those that are kept out from now on.

use std::sync::PoisonError;

use kim_core::config::S2s;
use kim_core::error::{StreamCondition, StreamError};
use kim_xep::xep0191_server::api::ServerBlocks;

use super::hub::Federation;

impl Federation {
    /// Whether a domain is let in and out.
    pub(super) fn permits(&self, domain: &str) -> bool {
        self.lists(domain) && !self.is_blocked(domain)
    }

    /// What a server is told whose domain is not let in.
    pub(super) fn not_let_in(&self, domain: &str) -> Option<StreamError> {
        (!self.permits(domain)).then(unwelcome)
    }

    /// Whether `[s2s] allow` and `deny` let a domain in and out.
    pub(super) fn lists(&self, domain: &str) -> bool {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        listed.permits(domain)
    }

    /// Whether a server-wide block keeps a domain out.
    pub(super) fn is_blocked(&self, domain: &str) -> bool {
        let blocks = self.router().fact::<ServerBlocks>();
        blocks.is_some_and(|blocks| !blocks.permits(domain))
    }

    /// From now on `allow` and `deny` of these settings hold.
    pub fn go_by(&self, settings: &S2s) {
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        *listed = settings.clone();
        drop(listed);
        self.show_out();
    }

    /// Ends the streams of domains that are blocked while the server runs.
    pub async fn keep_out(&self) {
        let Some(blocks) = self.router().fact::<ServerBlocks>() else {
            return;
        };
        let mut grown = blocks.grown();
        while grown.changed().await.is_ok() {
            self.show_out();
        }
    }

    /// Ends the streams on which a domain that is kept out has a say. Others that it carries open one of their own.
    fn show_out(&self) {
        for life in self.streams() {
            let domains: Vec<_> = {
                let state = life.state();
                let proved = state.proved.iter().map(|(domain, _)| domain.clone());
                proved.chain(state.remote.clone()).collect()
            };
            let Some(domain) = domains.iter().find(|domain| !self.permits(domain)) else {
                continue;
            };
            tracing::info!(event = "s2s_shown_out", stream = life.id, domain = &**domain);
            life.end(unwelcome());
        }
    }
}

fn unwelcome() -> StreamError {
    StreamError::new(StreamCondition::PolicyViolation).text("this server does not talk to yours")
}
