//! Where browsers and proxies connect, and the life of one HTTP connection. A port that XMPP has too is shared by ALPN.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router as Routes;
use bytes::BytesMut;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;

use super::client::Peer;
use super::io::HttpIo;
use super::{Web, proxy};
use crate::c2s::listener::Acceptor;
use crate::c2s::{self, Link, Origin, Place, Socket, Start, Tcp};

/// Bytes that hyper reads ahead of what a page takes.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// How long requests under way may take when the server stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP without TLS.
    Http,
    /// HTTPS.
    Https,
    /// HTTPS, and XMPP for those who say so by ALPN (XEP-0368) or by their first byte.
    Both,
    /// HTTP without TLS, for monitoring alone.
    Monitoring,
}

impl Speaks {
    /// What is offered by ALPN.
    fn protocols(self) -> &'static [&'static str] {
        match self {
            Speaks::Http | Speaks::Monitoring => &[],
            Speaks::Https => &["http/1.1"],
            Speaks::Both => &["xmpp-client", "http/1.1"],
        }
    }
}

/// A socket that listens for HTTP.
pub struct HttpListener {
    acceptor: Acceptor,
    speaks: Speaks,
}

impl HttpListener {
    /// Listens on an address, like the doors of clients do.
    pub fn bind(address: SocketAddr, others: &[SocketAddr], speaks: Speaks) -> io::Result<HttpListener> {
        Ok(HttpListener {
            acceptor: Acceptor::bind(address, others)?,
            speaks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// What it speaks.
    pub fn speaks(&self) -> Speaks {
        self.speaks
    }

    /// Accepts connections until the server stops.
    pub async fn serve(self, web: Arc<Web>) {
        let speaks = self.speaks;
        let routes = match speaks {
            Speaks::Monitoring => web.monitoring(),
            Speaks::Http | Speaks::Https | Speaks::Both => web.routes(),
        };
        let door = web.door.clone();
        self.acceptor
            .serve(&door, |tcp, from| accept(&web, &routes, tcp, from.ip(), speaks))
            .await;
    }
}

/// Begins to serve a connection, if its address may have one more.
fn accept(web: &Arc<Web>, routes: &Routes, tcp: TcpStream, from: IpAddr, speaks: Speaks) {
    let is_proxy = web.trusted_proxies().iter().any(|network| network.contains(from));
    let place = web.places.take(Origin::of(from));
    // The proxies' own connections are as many as they like; their clients are told apart later.
    if place.is_none() && !is_proxy {
        web.door.counters.refused();
        return;
    }
    c2s::listener::prepare(&tcp);
    let arriving = Arriving {
        web: web.clone(),
        routes: routes.clone(),
        place: place.filter(|_| !is_proxy),
        is_proxy,
        speaks,
    };
    tokio::spawn(async move {
        if let Err(error) = Box::pin(arriving.begin(tcp, from)).await {
            tracing::debug!(event = "http_connection_lost", %error);
        }
    });
}

/// A connection that has said nothing yet.
struct Arriving {
    web: Arc<Web>,
    routes: Routes,
    place: Option<Place>,
    is_proxy: bool,
    speaks: Speaks,
}

impl Arriving {
    async fn begin(mut self, mut tcp: TcpStream, mut address: IpAddr) -> io::Result<()> {
        let mut is_relayed = false;
        if self.is_proxy
            && self.speaks != Speaks::Monitoring
            && self.web.router().config().http.proxy_protocol
            && let Some(client) = proxy::read(&mut tcp).await?
        {
            address = client;
            // From here on it is nearly as if the client had connected itself.
            self.is_proxy = false;
            is_relayed = true;
            self.place = self.web.places.take(Origin::of(address));
            if self.place.is_none() {
                self.web.door.counters.refused();
                return Ok(());
            }
        }
        let mut socket = Socket::new(tcp);
        let mut input = BytesMut::new();
        let mut peer = Peer {
            address,
            is_loopback: socket.is_loopback(),
            is_tls: false,
            is_certified: false,
            is_proxy: self.is_proxy,
            is_relayed,
            speaks: self.speaks,
        };
        if matches!(self.speaks, Speaks::Http | Speaks::Monitoring) {
            return self.serve_http(socket, input, peer).await;
        }
        let witness =
            c2s::handshake(&self.web.door, &mut socket, &mut input, self.speaks.protocols()).await?;
        if self.speaks == Speaks::Both && is_xmpp(&self.web, &mut socket, &mut input).await? {
            let start = Start::Secured(Box::new(witness.bindings()));
            return self.serve_xmpp(socket, input, address, start);
        }
        peer.is_tls = true;
        peer.is_certified = witness.is_certified();
        drop(witness);
        self.serve_http(socket, input, peer).await
    }

    /// An XMPP stream, whose task is its own: what was needed to get here is no part of it.
    fn serve_xmpp(self, socket: Socket, input: BytesMut, address: IpAddr, start: Start) -> io::Result<()> {
        let door = self.web.door.clone();
        let Some(place) = door.place(address) else {
            door.counters.refused();
            return Ok(());
        };
        let link = Tcp::new(socket, input, door.wire_before_login());
        tokio::spawn(c2s::serve(door, Link::Tcp(link), address, place, start));
        Ok(())
    }

    async fn serve_http(self, socket: Socket, input: BytesMut, peer: Peer) -> io::Result<()> {
        let limits = self.web.router().limits();
        let io = HttpIo::new(socket, input, Duration::from_secs(limits.http_stall_seconds_max));
        let routes = self.routes.layer(axum::Extension(peer));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(limits.http_header_seconds_max))
            .max_header_size(limits.http_header_bytes_max)
            .max_headers(limits.http_headers_max)
            .max_buf_size(BUFFER_BYTES_MAX.max(limits.http_header_bytes_max))
            .serve_connection(io, TowerToHyperService::new(routes))
            .with_upgrades();
        let _counted = Counted::new(&self.web);
        let mut connection = pin!(connection);
        tokio::select! {
            served = connection.as_mut() => return served.map_err(io::Error::other),
            () = self.web.door.stopped() => {}
        }
        connection.as_mut().graceful_shutdown();
        match tokio::time::timeout(FAREWELL, connection).await {
            Ok(served) => served.map_err(io::Error::other),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Whether a connection of a shared port speaks XMPP: by ALPN, or, where nothing was agreed on, by its first byte.
async fn is_xmpp(web: &Web, socket: &mut Socket, input: &mut BytesMut) -> io::Result<bool> {
    match socket.protocol() {
        Some(protocol) => Ok(protocol == b"xmpp-client"),
        None => {
            let seconds = web.router().limits().http_header_seconds_max;
            while input.is_empty() {
                let read = socket.read(input);
                let Ok(read) = tokio::time::timeout(Duration::from_secs(seconds), read).await else {
                    return Err(io::ErrorKind::TimedOut.into());
                };
                if !read? {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(input.first() == Some(&b'<'))
        }
    }
}

/// One HTTP connection, as long as it is there.
struct Counted(Arc<Web>);

impl Counted {
    fn new(web: &Arc<Web>) -> Counted {
        web.connections.fetch_add(1, Ordering::Relaxed);
        Counted(web.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
