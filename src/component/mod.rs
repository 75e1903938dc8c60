//! The door for external components (XEP-0114): programs that are connected for a domain of this server and answer there,
//! such as a gateway to IRC. [`handshake`] lets a program in that knows its secret, `connection` is the life of its stream.
//! What the program says enters the house through [`kim_core::router::Router::receive`].

mod connection;
pub mod handshake;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::c2s::Door;
use crate::c2s::listener::{Acceptor, prepare};

/// Connections whose program has not shown its secret yet; more are closed at once.
const UNPROVEN_MAX: usize = 32;

/// A socket that listens for components.
pub struct ComponentListener(Acceptor);

impl ComponentListener {
    /// Listens on an address; `[::]` means IPv4 too, unless `others` has `0.0.0.0`.
    pub fn bind(address: SocketAddr, others: &[SocketAddr]) -> io::Result<ComponentListener> {
        Acceptor::bind(address, others).map(ComponentListener)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Accepts connections until the server stops.
    pub async fn serve(self, door: Arc<Door>) {
        let unproven = Arc::new(Semaphore::new(UNPROVEN_MAX));
        let accept = |tcp, _| {
            let Ok(turn) = unproven.clone().try_acquire_owned() else {
                tracing::warn!(
                    event = "component_refused",
                    "too many connections without a handshake"
                );
                return;
            };
            prepare(&tcp);
            tokio::spawn(connection::serve(door.clone(), tcp, turn));
        };
        self.0.serve(&door, accept).await;
    }
}
