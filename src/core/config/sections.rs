//! The sections every server has, but for `[limits]`: their keys, defaults, bounds and documentation.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::types::{Domain, RoomName, StorageUrl, Uri, WebUrl};
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
        /// Where browsers find this server, without a slash at the end. Links for people (invitations) begin with it. Not set:
        /// invitations are xmpp: links only.
        pub public_url: Option<WebUrl> = None, example r#""https://localhost:5443""#;
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
