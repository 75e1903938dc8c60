//! The sections every server has, but for `[limits]`: their keys, defaults, bounds and documentation.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::types::{Domain, RoomName, StorageUrl, Uri};
use super::web::{Network, ProxyHeader, UploadsUrl, WebOrigin};
use crate::jid::BareJid;
use crate::section;

section! {
    /// Who this server is.
    pub struct Server {
        /// The domains it serves: the part after the @ in its users' addresses. The first is the main one.
        pub domains: Vec<Domain> = Domain::parse("localhost").into_iter().collect();
        /// Where it keeps what it must not lose: the database of SQLite, keys, the control socket.
        pub data_dir: PathBuf = PathBuf::from("data");
        /// The accounts that may administer it. Not set: admin at the main domain.
        pub admins: Vec<BareJid> = BareJid::parse("admin@localhost").into_iter().collect();
    }
}

section! {
    /// Addresses and ports, each a list; an empty list closes the door.
    pub struct Listen {
        /// For clients, who ask for TLS after connecting (STARTTLS, RFC 6120 section 5).
        pub c2s: Vec<SocketAddr> = vec![any_address(5222)];
        /// For clients, TLS from the first byte (XEP-0368).
        pub c2s_tls: Vec<SocketAddr> = vec![any_address(5223)];
        /// For other servers, which ask for TLS after connecting (RFC 6120 section 5).
        pub s2s: Vec<SocketAddr> = vec![any_address(5269)];
        /// For other servers, TLS from the first byte (XEP-0368).
        pub s2s_tls: Vec<SocketAddr> = vec![any_address(5270)];
        /// For browsers, and clients that get nothing else through: HTTPS with WebSocket, BOSH and uploads. An address that
        /// "c2s_tls" has too serves both, told apart by ALPN: port 443 is enough for everything.
        pub https: Vec<SocketAddr> = vec![any_address(5443)];
        /// The same without TLS, for a reverse proxy on this machine or in [http] trusted_proxies. It should not face the
        /// world.
        pub http: Vec<SocketAddr> = vec![SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 5280))];
        /// For monitoring: /health/live, /health/ready and /metrics without TLS, and nothing else, for anybody who can
        /// connect. While it is empty, "http" answers them to the networks in [http] metrics_from.
        pub metrics: Vec<SocketAddr> = Vec::new();
        /// For external components (XEP-0114). The protocol has no encryption, so this should not face the world. Nothing
        /// listens there while there is no [[component]].
        pub component: Vec<SocketAddr> = vec![SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 5347))];
        /// Where the web part is reached from outside: what links to uploads and rooms begin with. Not set: https, the main
        /// domain and the port of "https".
        pub public_url: Option<WebOrigin> = None, example r#""https://chat.example.org""#;
    }
}

section! {
    /// The certificate. Without one the server makes a self-signed one at its first start.
    pub struct Tls {
        /// File with the certificate and its chain, PEM.
        pub cert: Option<PathBuf> = None, example r#""/etc/kim/fullchain.pem""#;
        /// File with its private key, PEM.
        pub key: Option<PathBuf> = None, example r#""/etc/kim/privkey.pem""#;
    }
}

section! {
    /// Where accounts, rosters and messages are kept.
    pub struct Storage {
        /// The database. Not set: SQLite, as kim.db in data_dir.
        pub url: Option<StorageUrl> = None, example r#""postgres://kim:PASSWORD@localhost/kim""#;
        /// Where uploaded files are kept: a folder ("file:///srv/kim"), or a bucket of S3 and what every name in it begins
        /// with. Who we are there is said by the environment alone: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Not set:
        /// the folder uploads in data_dir.
        pub uploads: Option<UploadsUrl> = None, example r#""s3://BUCKET/kim""#;
        /// Where that bucket is, if not at Amazon. Not set: what AWS_ENDPOINT_URL_S3 says, if anything.
        pub s3_endpoint: Option<WebOrigin> = None, example r#""https://s3.example.org""#;
        /// The region it is in. Not set: what AWS_REGION says, else us-east-1, which others than Amazon mostly take.
        pub s3_region: Option<String> = None, example r#""eu-central-1""#;
        /// File with the key that seals what people write before it goes to the database; made at the first start. Without it
        /// nobody can read their messages again: keep a copy, apart from those of the database. Not set: sealing.key in
        /// data_dir.
        pub sealing_key: Option<PathBuf> = None, example r#""/etc/kim/sealing.key""#;
    }
}

section! {
    /// How people get in.
    pub struct Registration {
        /// Anybody may make an account from a client (XEP-0077).
        pub open: bool = false;
        /// Who was invited may make an account, open or not (XEP-0401). false: invitations only make contacts.
        pub invites: bool = true;
        /// Anybody may come without an account (SASL ANONYMOUS), on guest.DOMAIN and for as long as they are connected.
        pub guests: bool = true;
    }
}

section! {
    /// Group chat.
    pub struct Rooms {
        /// Public rooms that are made at the first start, by the name before conference.DOMAIN; the administrators own them.
        pub default: Vec<RoomName> = RoomName::parse("lobby").into_iter().collect();
    }
}

section! {
    /// Client connections.
    pub struct C2s {
        /// Nothing but TLS is offered until the connection is encrypted. false is honoured on loopback addresses only.
        pub require_tls: bool = true;
        /// Offer SASL PLAIN too: the password itself travels, inside TLS. Only for clients without SCRAM.
        pub plain: bool = false;
    }
}

section! {
    /// HTTP: WebSocket (RFC 7395), BOSH (XEP-0124), uploads.
    pub struct Http {
        /// Proxies that are believed when they name their client (see proxy_header and proxy_protocol): addresses and
        /// networks. From anybody else such headers are ignored. They must pass the Host header on unchanged.
        pub trusted_proxies: Vec<Network> = Vec::new();
        /// The header in which trusted proxies name their client. "x-forwarded-for": the address in X-Forwarded-For, the
        /// scheme in X-Forwarded-Proto. "forwarded": both in Forwarded (RFC 7239). Clients can send the other one too, so it
        /// is ignored: choose the one that your proxy sets.
        pub proxy_header: ProxyHeader = ProxyHeader::XForwardedFor;
        /// Connections of trusted proxies begin with the PROXY protocol (version 1 or 2), on "http" and "https".
        pub proxy_protocol: bool = false;
        /// Web pages that may connect (WebSocket, BOSH), sign in and register here beside our own: their origins, such as
        /// "https://chat.example.org". ["*"] allows every page. What needs a token or a secret address (the rest of the API,
        /// files) is open to every page.
        pub origins: Vec<String> = Vec::new();
        /// Networks that may read /health/live, /health/ready and /metrics on "http", unless [listen] metrics is set. A trusted
        /// proxy never may, nor may a request that shows signs of a proxy or that asks for a host by another name than
        /// localhost or an IP address. Empty: nobody may.
        pub metrics_from: Vec<Network> = Network::loopback();
        /// Seconds after which a silent WebSocket is asked whether it is still there; after as many again without an answer it
        /// is closed.
        pub websocket_ping_seconds: u64 = 50, in 5..=3_600;
        /// Seconds a request of BOSH is held at most.
        pub bosh_wait_seconds: u64 = 60, in 1..=300;
        /// Seconds a client of BOSH may have no request here before its connection counts as lost.
        pub bosh_inactivity_seconds: u64 = 60, in 5..=600;
    }
}

section! {
    /// Whom to write to, each a list of URIs such as "mailto:abuse@example.org" or "xmpp:admin@example.org" (XEP-0157).
    pub struct Contact {
        /// About abuse.
        pub abuse: Vec<Uri> = Vec::new();
        /// About the server's operation.
        pub admin: Vec<Uri> = Vec::new();
        /// With an opinion.
        pub feedback: Vec<Uri> = Vec::new();
        /// About buying.
        pub sales: Vec<Uri> = Vec::new();
        /// About a hole in its security.
        pub security: Vec<Uri> = Vec::new();
        /// Where it says how it is.
        pub status: Vec<Uri> = Vec::new();
        /// For help.
        pub support: Vec<Uri> = Vec::new();
    }
}

fn any_address(port: u16) -> SocketAddr {
    SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port))
}
