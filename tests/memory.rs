//! What an idle session costs (DESIGN: at most 10 kB for each over TLS). The server is a process of its own, and what
//! the kernel counts for it is divided by the number of its sessions.

mod common;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use common::{Client, TlsOptions};

/// Enough for what the server needs once to vanish in the figure.
const SESSIONS: usize = 2_000;
/// The promise.
const BYTES_PER_SESSION_MAX: usize = 10 * 1024;

/// A server process, killed when dropped.
struct Process {
    child: Child,
    direct: SocketAddr,
    home: std::path::PathBuf,
}

impl Process {
    fn start() -> Process {
        let home = std::env::temp_dir().join(format!("kim-test-{}", kim_core::random::token()));
        std::fs::create_dir_all(&home).expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_kim"))
            .arg("serve")
            .arg("--data-dir")
            .arg(home.join("data"))
            .current_dir(&home)
            .env("KIM__LISTEN__C2S", "")
            .env("KIM__LISTEN__C2S_TLS", "127.0.0.1:0")
            .env("KIM__LIMITS__ENABLED", "false")
            .env("KIM_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut said = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = said.find_map(|line| line.ok().filter(|line| line.contains("(TLS)"))).expect("an address");
        let address = line.split_whitespace().nth(1).expect("an address").parse().expect("an address");
        Process { child, direct: address, home }
    }

    /// Bytes of memory that are really there.
    fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a figure");
        line.trim().trim_end_matches("kB").trim().parse::<usize>().expect("a number") * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

async fn session(address: SocketAddr) -> Client {
    let mut client = Client::connect(address).await;
    client.handshake(&TlsOptions::direct()).await.expect("a handshake");
    client.open("guest.localhost").await;
    client.login_anonymous().await;
    client.open("guest.localhost").await;
    client.bind(None).await;
    client.send("<iq type='get' id='1' to='guest.localhost'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    client.next().await;
    client
}

#[tokio::test]
async fn an_idle_session_takes_at_most_ten_kilobytes() {
    let server = Process::start();
    let mut sessions = Vec::new();
    for _ in 0..100 {
        sessions.push(session(server.direct).await);
    }
    let before = server.resident();
    for _ in 0..SESSIONS {
        sessions.push(session(server.direct).await);
    }
    let each = (server.resident() - before) / SESSIONS;
    eprintln!("{each} bytes for each idle TLS session, the process in all {}", server.resident());
    assert!(each <= BYTES_PER_SESSION_MAX, "{each} bytes");
}
