//! Where other servers connect.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;

use super::hub::{Federation, Phase};
use super::incoming;
use super::life::Unverified;
use crate::c2s::Security;
use crate::c2s::listener::{Acceptor, prepare};

/// A socket that listens for other servers.
pub struct S2sListener {
    acceptor: Acceptor,
    security: Security,
}

impl S2sListener {
    /// Listens on an address; `[::]` means IPv4 too, unless `others` has `0.0.0.0`.
    pub fn bind(address: SocketAddr, others: &[SocketAddr], security: Security) -> io::Result<S2sListener> {
        Ok(S2sListener {
            acceptor: Acceptor::bind(address, others)?,
            security,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// How its connections become secure.
    pub fn security(&self) -> Security {
        self.security
    }

    /// Accepts connections until the server stops.
    pub async fn serve(self, hub: Arc<Federation>) {
        let security = self.security;
        let door = hub.door().clone();
        self.acceptor
            .serve(&door, |tcp, from| accept(&hub, tcp, from, security))
            .await;
    }
}

/// Begins to serve a connection, if there may be one more.
fn accept(hub: &Arc<Federation>, tcp: TcpStream, from: SocketAddr, security: Security) {
    let limits = hub.router().limits();
    let is_full = hub.stream_count() >= limits.s2s_streams_max || hub.phase() != Phase::Open;
    let unverified = Unverified::take(&hub.unverified, limits.s2s_streams_unverified_max);
    let (false, Some(unverified), Some(place)) = (is_full, unverified, hub.door().place(from.ip())) else {
        hub.counters.refused.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(event = "s2s_connection_refused");
        return;
    };
    prepare(&tcp);
    tokio::spawn(incoming::serve(
        hub.clone(),
        tcp,
        from,
        security,
        place,
        unverified,
    ));
}
