//! The sections every server has, but for `[limits]`: their keys, defaults, bounds and documentation.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::types::{Domain, RoomName, StorageUrl, Uri};
use super::web::{Network, ProxyHeader, UploadsUrl, WebOrigin};
use crate::jid::BareJid;
use crate::section;

section! {
    /// The server and the domains that it serves.
    pub struct Server {
        /// Domains this server is responsible for: the part after the @ in its users' addresses. The first is the
        /// main domain.
        pub domains: Vec<Domain> = Domain::parse("localhost").into_iter().collect();
        /// Directory for everything that must survive a restart: the SQLite database, keys, uploaded files and the
        /// control socket.
        pub data_dir: PathBuf = PathBuf::from("data");
        /// Accounts that may administer the server. Default: admin at the main domain.
        pub admins: Vec<BareJid> = BareJid::parse("admin@localhost").into_iter().collect();
    }
}

section! {
    /// Addresses and ports to listen on. Each setting is a list; an empty list turns that listener off.
    pub struct Listen {
        /// Client connections that start in the clear and switch to TLS (STARTTLS, RFC 6120 section 5).
        pub c2s: Vec<SocketAddr> = vec![any_address(5222)];
        /// Client connections with TLS from the first byte (direct TLS, XEP-0368).
        pub c2s_tls: Vec<SocketAddr> = vec![any_address(5223)];
        /// Other servers that start in the clear and switch to TLS (RFC 6120 section 5).
        pub s2s: Vec<SocketAddr> = vec![any_address(5269)];
        /// Other servers with TLS from the first byte (XEP-0368).
        pub s2s_tls: Vec<SocketAddr> = vec![any_address(5270)];
        /// HTTPS for browsers and for clients behind restrictive firewalls: pages, WebSocket, BOSH and uploads. An
        /// address that is also in "c2s_tls" serves both, told apart by ALPN, so port 443 is enough for everything.
        pub https: Vec<SocketAddr> = vec![any_address(5443)];
        /// The same without TLS, for a reverse proxy on this machine or in [http] trusted_proxies. Do not expose it
        /// to the internet.
        pub http: Vec<SocketAddr> = vec![SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 5280))];
        /// Monitoring: /health/live, /health/ready and /metrics without TLS or a login, and nothing else. While this
        /// list is empty, "http" serves them to the networks in [http] metrics_from.
        pub metrics: Vec<SocketAddr> = Vec::new();
        /// External components (XEP-0114). The protocol has no encryption, so do not expose it to the internet.
        /// Nothing listens here unless there is a [[component]].
        pub component: Vec<SocketAddr> = vec![SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 5347))];
        /// Public address of the web server, used in links to uploads and rooms. Default: https, the main domain and
        /// the port of "https".
        pub public_url: Option<WebOrigin> = None, example r#""https://chat.example.org""#;
    }
}

section! {
    /// TLS certificate. Without one, the server creates a self-signed certificate when it first starts.
    pub struct Tls {
        /// PEM file with the certificate and its chain.
        pub cert: Option<PathBuf> = None, example r#""/etc/kim/fullchain.pem""#;
        /// PEM file with the private key.
        pub key: Option<PathBuf> = None, example r#""/etc/kim/privkey.pem""#;
    }
}

section! {
    /// Where accounts, rosters, messages and files are stored.
    pub struct Storage {
        /// Database. Default: SQLite, in kim.db in data_dir.
        pub url: Option<StorageUrl> = None, example r#""postgres://kim:PASSWORD@localhost/kim""#;
        /// Uploaded files: a folder ("file:///srv/kim") or an S3 bucket with an optional prefix. Credentials for S3
        /// come only from the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY). Default: the folder
        /// "uploads" in data_dir.
        pub uploads: Option<UploadsUrl> = None, example r#""s3://BUCKET/kim""#;
        /// Endpoint of an S3-compatible store other than Amazon's. Default: AWS_ENDPOINT_URL_S3, if it is set.
        pub s3_endpoint: Option<WebOrigin> = None, example r#""https://s3.example.org""#;
        /// Region of the bucket. Default: AWS_REGION, otherwise us-east-1, which most S3-compatible stores accept.
        pub s3_region: Option<String> = None, example r#""eu-central-1""#;
        /// File with the key that encrypts messages before they are stored. It is created when the server first
        /// starts. Without it nobody can read stored messages again: keep a copy, away from the database backups.
        /// Default: sealing.key in data_dir.
        pub sealing_key: Option<PathBuf> = None, example r#""/etc/kim/sealing.key""#;
    }
}

section! {
    /// Who can create accounts.
    pub struct Registration {
        /// Anybody can create an account from a client (XEP-0077).
        pub open: bool = false;
        /// People with an invitation can create an account, even if registration is closed (XEP-0401). If false,
        /// invitations only add contacts.
        pub invites: bool = true;
        /// Anybody can sign in without an account (SASL ANONYMOUS). Guests live on guest.DOMAIN and are gone when
        /// they disconnect.
        pub guests: bool = true;
    }
}

section! {
    /// Group chat.
    pub struct Rooms {
        /// Public rooms to create when the server first starts, by the name before @conference.DOMAIN. The
        /// administrators own them.
        pub default: Vec<RoomName> = RoomName::parse("lobby").into_iter().collect();
        /// Days until a message is deleted from a room's archive. 0: as long as [xep0313_mam] retention_days says.
        pub retention_days: u32 = 0, in 0..=36_500;
        /// The same for rooms that guests may enter; their pages tell visitors. 0: as in other rooms.
        pub guest_retention_days: u32 = 0, in 0..=36_500;
    }
}

section! {
    /// Client connections.
    pub struct C2s {
        /// Require TLS before anything else is offered. false takes effect on loopback addresses only.
        pub require_tls: bool = true;
        /// Also offer SASL PLAIN, for old clients without SCRAM. The password itself is then sent to the server,
        /// inside TLS.
        pub plain: bool = false;
    }
}

section! {
    /// HTTP: WebSocket (RFC 7395), BOSH (XEP-0124) and uploads.
    pub struct Http {
        /// Addresses and networks of reverse proxies whose word is taken for the client's address (see proxy_header
        /// and proxy_protocol). These headers are ignored if anybody else sends them. The proxies must pass on the
        /// Host header unchanged.
        pub trusted_proxies: Vec<Network> = Vec::new();
        /// Header in which trusted proxies name the client. "x-forwarded-for": the address in X-Forwarded-For and the
        /// scheme in X-Forwarded-Proto. "forwarded": both in Forwarded (RFC 7239). Choose the one that your proxy
        /// sets; the other one is ignored, because clients could send it.
        pub proxy_header: ProxyHeader = ProxyHeader::XForwardedFor;
        /// Connections from trusted proxies to "http" and "https" start with the PROXY protocol (version 1 or 2).
        pub proxy_protocol: bool = false;
        /// Origins of web pages other than our own that may connect (WebSocket, BOSH), sign in and register, such as
        /// "https://chat.example.org". ["*"] allows every page. What needs a token or an unguessable address (the
        /// rest of the API, files) is always open to every page.
        pub origins: Vec<String> = Vec::new();
        /// Networks that may read /health/live, /health/ready and /metrics on "http", unless [listen] metrics is set.
        /// Requests from a trusted proxy, with a proxy's headers, or for a host name other than localhost or an IP
        /// address are always refused. Empty: nobody may.
        pub metrics_from: Vec<Network> = Network::loopback();
        /// Seconds of silence after which a WebSocket is pinged. It is closed after the same time without an answer.
        pub websocket_ping_seconds: u64 = 50, in 5..=3_600;
        /// Longest time that a BOSH request is held open, in seconds.
        pub bosh_wait_seconds: u64 = 60, in 1..=300;
        /// Seconds without an open BOSH request after which the connection counts as lost.
        pub bosh_inactivity_seconds: u64 = 60, in 5..=600;
    }
}

section! {
    /// Contact addresses that the server publishes (XEP-0157). Each is a list of URIs such as
    /// "mailto:abuse@example.org" or "xmpp:admin@example.org".
    pub struct Contact {
        /// To report abuse.
        pub abuse: Vec<Uri> = Vec::new();
        /// For questions about the operation of the server.
        pub admin: Vec<Uri> = Vec::new();
        /// For feedback.
        pub feedback: Vec<Uri> = Vec::new();
        /// For sales.
        pub sales: Vec<Uri> = Vec::new();
        /// To report a security problem.
        pub security: Vec<Uri> = Vec::new();
        /// Status page.
        pub status: Vec<Uri> = Vec::new();
        /// For help.
        pub support: Vec<Uri> = Vec::new();
    }
}

fn any_address(port: u16) -> SocketAddr {
    SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port))
}
