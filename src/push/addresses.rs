//! Names of push services become addresses here, and those that are not of the whole internet are left out: somebody who names
//! a push service must not learn of, or reach, the server's own network.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::s2s::dns::is_public;

/// The system's resolver, and what it may find.
pub(super) struct Resolver {
    pub allows_private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allows_private = self.allows_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| allows_private || is_public(address.ip()))
                .collect();
            match allowed.is_empty() {
                true => Err("it has no address that this server may connect to".into()),
                false => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}
