//! What an operator can ask of a server: one trait, implemented by the house in this process ([`Direct`]) and by the control
//! socket of the running server ([`Remote`]).
//!
//! `DATA_DIR/kim.sock` is a Unix socket that only the server's own user can open. A connection carries one request and
//! its response, each a line of JSON.

mod abuse;
mod direct;
mod protocol;
mod push;
mod remote;
mod socket;
#[cfg(test)]
mod tests;

pub use abuse::{ABUSE_ROWS_MAX, AbuseAnswer, AbuseRequest, ReportFacts};
pub use direct::Direct;
pub use protocol::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX, Request, Response, Secret};
pub use push::{PushAnswer, PushFacts, PushRequest};
pub use remote::Remote;
pub use socket::{ControlSocket, SocketError};

use std::net::IpAddr;
use std::sync::Arc;

use kim_core::accounts::Tombstone;
use kim_core::config::Config;
use kim_core::db::BoxFuture;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use serde::{Deserialize, Serialize};

use crate::s2s::status::{FederationFacts, Looked};

/// The control socket's name in the data directory.
pub const SOCKET_NAME: &str = "kim.sock";

/// Accounts in one page of [`Control::user_list`].
pub const LIST_ROWS_MAX: u32 = 500;

/// Invitations in one page of [`Control::invite_list`].
pub const INVITES_ROWS_MAX: u32 = 100;

/// What an operator can ask of a server.
pub trait Control: Send + Sync {
    /// Makes an account. With [`Tombstone::Override`] also one whose name belonged to a removed account.
    fn user_add<'a>(
        &'a self,
        account: &'a BareJid,
        password: &'a Secret,
        tombstone: Tombstone,
    ) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Whether [`Control::user_add`] would make this account; makes nothing.
    fn user_may_add<'a>(
        &'a self,
        account: &'a BareJid,
        tombstone: Tombstone,
    ) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Replaces an account's password and ends its sessions, which have to sign in with the new one.
    fn user_passwd<'a>(
        &'a self,
        account: &'a BareJid,
        password: &'a Secret,
    ) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Up to [`LIST_ROWS_MAX`] accounts in the order of their addresses, beginning after `after`.
    fn user_list<'a>(&'a self, after: Option<&'a BareJid>) -> BoxFuture<'a, Result<Vec<User>, ControlError>>;

    /// One account, and who is connected to it.
    fn user_show<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Result<UserFacts, ControlError>>;

    /// Removes an account with all that belongs to it and ends its sessions.
    fn user_delete<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Makes an invitation of the operator's.
    fn invite<'a>(&'a self, wanted: &'a InviteWanted) -> BoxFuture<'a, Result<Invite, ControlError>>;

    /// Up to [`INVITES_ROWS_MAX`] invitations that can still be used, by the time they expire, beginning after one.
    fn invite_list<'a>(
        &'a self,
        after: Option<&'a InviteRow>,
    ) -> BoxFuture<'a, Result<Vec<InviteRow>, ControlError>>;

    /// Revokes an invitation by its id, its token or a link with its token.
    fn invite_revoke<'a>(&'a self, which: &'a str) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Replaces the sealing key; what is sealed stays as it is.
    fn key_rotate(&self) -> BoxFuture<'_, Result<KeyRotated, ControlError>>;

    /// The streams to and from other servers, and what waits for them.
    fn s2s_list(&self) -> BoxFuture<'_, Result<FederationFacts, ControlError>>;

    /// Looks at another domain: DNS, its certificate, what it offers, and a ping.
    fn s2s_check<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Vec<Looked>, ControlError>>;

    /// Reports of abuse, and blocks for the whole server.
    fn abuse<'a>(&'a self, request: &'a AbuseRequest) -> BoxFuture<'a, Result<AbuseAnswer, ControlError>>;

    /// Push registrations.
    fn push<'a>(&'a self, request: &'a PushRequest) -> BoxFuture<'a, Result<PushAnswer, ControlError>>;

    /// Rewrites the database without the space of deleted rows.
    fn storage_compact(&self) -> BoxFuture<'_, Result<Compacted, ControlError>>;
}

/// What is said of an answer that a server of this version does not give.
pub const ODD_ANSWER: &str = "the server sent an unexpected answer; is it another version of kIM?";

/// What went wrong, in words for the operator.
fn failed(what: &'static str, fault: Fault) -> ControlError {
    match fault {
        Fault::Stanza(_) => ControlError::BadRequest(fault.to_string()),
        fault => {
            tracing::error!(event = "control_failed", what, ?fault);
            ControlError::Failed(format!("the server could not do it: {fault}; see the log"))
        }
    }
}

/// What a module provides, if it is switched on.
fn enabled<T>(fact: Option<Arc<T>>, module: &str) -> Result<Arc<T>, ControlError> {
    fact.ok_or_else(|| ControlError::BadRequest(format!("this is switched off ([{module}] enabled)")))
}

/// An account in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its address.
    pub account: BareJid,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
}

/// What is known about an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFacts {
    /// Its address.
    pub account: BareJid,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// The connected clients; `None` if no server is running that could know.
    pub online: Option<Vec<Online>>,
    /// The devices for which others encrypt (XEP-0384); none where that module is disabled.
    #[serde(default)]
    pub devices: Vec<KeyDevice>,
}

/// A device that an account has announced for OMEMO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDevice {
    /// Its id.
    pub id: u32,
    /// The versions of OMEMO it announces: `0.3`, `2`.
    pub versions: Vec<String>,
    /// Its identity key as people compare it; `None` if its keys are not there or broken.
    pub fingerprint: Option<String>,
    /// How many prekeys wait to be used.
    pub prekeys: usize,
    /// When it was first seen with this key, in microseconds since 1970.
    pub since: Option<i64>,
}

/// A connected client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Online {
    /// Its resource.
    pub resource: String,
    /// Since when it is signed in, in microseconds since 1970.
    pub since: i64,
    /// Where it connects from.
    pub address: Option<IpAddr>,
    /// The priority of its presence; `None` while it is not available (RFC 6121 §4.2).
    pub priority: Option<i8>,
    /// Since when it has no connection and may be resumed (XEP-0198), in microseconds since 1970.
    #[serde(default)]
    pub parked_since: Option<i64>,
}

/// An invitation that the operator wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteWanted {
    /// The only account it is for; otherwise it makes any of the main domain.
    pub account: Option<BareJid>,
    /// A room that it leads to. On this server it must exist, unless `create_room` is set.
    pub room: Option<BareJid>,
    /// Create the room if it does not exist.
    #[serde(default)]
    pub create_room: bool,
    /// Who owns a room that is created; not set, the first administrator who has an account.
    #[serde(default)]
    pub owner: Option<BareJid>,
    /// The account may take the name of one that was removed.
    #[serde(default)]
    pub reuse_name: bool,
    /// How many people it lets in.
    pub uses: u32,
    /// For how long, in seconds; not set, as long as the configuration says.
    pub seconds: Option<u64>,
}

/// An invitation in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteRow {
    /// Identifies it; not a secret.
    pub id: String,
    /// When it expires, in microseconds since 1970.
    pub expires_at: i64,
    /// How many more people it lets in.
    pub uses: u32,
    /// Who made it; `None`: the operator.
    pub inviter: Option<BareJid>,
    /// The only account it is for.
    pub account: Option<BareJid>,
    /// The room that it leads to.
    pub room: Option<BareJid>,
}

/// An invitation that was made. Anybody with its links can use them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Identifies it in the list; not a secret.
    #[serde(default)]
    pub id: String,
    /// For clients.
    pub uri: String,
    /// For browsers, where the server has a site.
    pub landing: Option<String>,
    /// The room, for clients of people who have an account.
    pub room: Option<String>,
    /// Until when it is good (XEP-0082).
    pub expires: String,
    /// How many people it lets in.
    pub uses: u32,
}

impl std::fmt::Debug for Invite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Invite(***)")
    }
}

/// A sealing key that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The fingerprint of the new one.
    pub key: String,
    /// Data keys that are wrapped by it now.
    pub rewrapped: u64,
}

/// A database that was rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// By how many bytes its file became smaller; `None` where the database keeps its files to itself (PostgreSQL).
    pub freed_bytes: Option<u64>,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum ControlError {
    /// There is no account with this address.
    #[error("there is no such account")]
    NoSuchAccount,
    /// Somebody has this address.
    #[error("the account exists already")]
    AccountExists,
    /// Somebody had this address.
    #[error(
        "an account with this name was removed, and the name is reserved; to assign it again, add --reuse-name"
    )]
    NameHeldBack,
    /// The address is on a domain that this server does not serve.
    #[error("{domain} is not a domain of this server; it serves {served}")]
    ForeignDomain {
        /// The address's domain.
        domain: String,
        /// Those that are served, with commas between.
        served: String,
    },
    /// The request itself is wrong.
    #[error("{0}")]
    BadRequest(String),
    /// The server could not do it.
    #[error("{0}")]
    Failed(String),
}

impl ControlError {
    /// The address is on none of the domains in a configuration.
    pub fn foreign(account: &BareJid, config: &Config) -> ControlError {
        let served = config.server.domains.iter().map(|domain| &**domain);
        ControlError::ForeignDomain {
            domain: account.domain().to_owned(),
            served: served.collect::<Vec<_>>().join(", "),
        }
    }
}
