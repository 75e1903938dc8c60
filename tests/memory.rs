//! What an idle session costs (DESIGN: at most 10 kB for each over TLS). The server is a process of its own, and what
//! the kernel counts for it is divided by the number of its sessions.

mod common;

use std::net::SocketAddr;

use common::process::Process;
use common::{Client, TlsOptions};

/// Enough for what the server needs once to vanish in the figure.
const SESSIONS: usize = 2_000;
/// The promise.
const BYTES_PER_SESSION_MAX: usize = 10 * 1024;

async fn session(address: SocketAddr) -> Client {
    let mut client = Client::connect(address).await;
    client
        .handshake(&TlsOptions::direct())
        .await
        .expect("a handshake");
    client.open("guest.localhost").await;
    client.login_anonymous().await;
    client.open("guest.localhost").await;
    client.bind(None).await;
    client
        .send("<iq type='get' id='1' to='guest.localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    client.next().await;
    client
}

#[tokio::test]
async fn an_idle_session_takes_at_most_ten_kilobytes() {
    let server = Process::start(&[("KIM__LIMITS__ENABLED", "false")]);
    let mut sessions = Vec::new();
    for _ in 0..100 {
        sessions.push(session(server.direct).await);
    }
    let before = server.resident_bytes();
    for _ in 0..SESSIONS {
        sessions.push(session(server.direct).await);
    }
    let each = (server.resident_bytes() - before) / SESSIONS;
    eprintln!(
        "{each} bytes for each idle TLS session, {} for the process",
        server.resident_bytes()
    );
    assert!(each <= BYTES_PER_SESSION_MAX, "{each} bytes");
}
