//! Where clients connect: listening sockets, and the loop that accepts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use super::link::{Link, Tcp};
use super::negotiate::Start;
use super::places::Origin;
use super::socket::Socket;
use super::{Door, Security, connection, places};

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;
/// How long to wait when the machine has no descriptor or memory for one more connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(200);
/// Silence after which the kernel asks whether the other end is still there. Long, for the batteries of phones.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(600);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(60);
const KEEPALIVE_TRIES: u32 = 4;

/// A socket that listens.
pub(crate) struct Acceptor {
    tcp: TcpListener,
    address: SocketAddr,
}

impl Acceptor {
    /// Listens on an address. `[::]` means IPv4 too, unless `others` has `0.0.0.0` with the same port; on a machine
    /// without IPv6 it means IPv4 alone.
    pub fn bind(address: SocketAddr, others: &[SocketAddr]) -> io::Result<Acceptor> {
        let every_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let every_v6 = address.is_ipv6() && address.ip().is_unspecified();
        let tcp = match listen(address, every_v6 && !others.contains(&every_v4)) {
            Err(error) if every_v6 && is_no_ipv6(&error) => listen(every_v4, false),
            bound => bound,
        }?;
        Ok(Acceptor {
            address: tcp.local_addr()?,
            tcp,
        })
    }

    /// Where it listens; with the port that was given, if any would do.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until the server stops.
    pub async fn serve(self, door: &Door, each: impl Fn(TcpStream, SocketAddr)) {
        let mut exhausted = false;
        loop {
            let accepted = tokio::select! {
                accepted = self.tcp.accept() => accepted,
                () = door.stopped() => return,
            };
            match accepted {
                Ok((tcp, from)) => {
                    if std::mem::take(&mut exhausted) {
                        tracing::info!(event = "accepting_again", listener = %self.address);
                    }
                    each(tcp, from);
                }
                // One connection that was gone before it was accepted says nothing about the next.
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut exhausted, true) {
                        tracing::error!(event = "accept_failed", listener = %self.address, %error);
                    }
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }
}

/// A socket that listens for XMPP.
pub struct Listener {
    acceptor: Acceptor,
    security: Security,
}

impl Listener {
    /// Listens on an address; `[::]` means IPv4 too, unless `others` has `0.0.0.0`.
    pub fn bind(address: SocketAddr, others: &[SocketAddr], security: Security) -> io::Result<Listener> {
        Ok(Listener {
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
    pub async fn serve(self, door: Arc<Door>) {
        let security = self.security;
        self.acceptor
            .serve(&door, |tcp, from| accept(&door, tcp, from, security))
            .await;
    }
}

/// Begins to serve a connection, if its address may have one more.
fn accept(door: &Arc<Door>, tcp: TcpStream, from: SocketAddr, security: Security) {
    let Some(place) = door.places.take(Origin::of(from.ip())) else {
        door.counters.refused();
        tracing::debug!(event = "connection_refused", from = %places::short(from.ip()));
        return;
    };
    prepare(&tcp);
    let link = Tcp::new(Socket::new(tcp), BytesMut::new(), door.wire_before_login());
    tokio::spawn(connection::serve(
        door.clone(),
        Link::Tcp(link),
        from.ip(),
        place,
        Start::Fresh(security),
    ));
}

/// Sets what every connection has. Without it works too, only less well.
pub(crate) fn prepare(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TRIES);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&keepalive);
}

fn listen(address: SocketAddr, both: bool) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!both)?;
    }
    // A restarted server need not wait for the connections of the last one to be forgotten.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn is_no_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own; Linux without IPv6 addresses says EADDRNOTAVAIL.
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
