//! The lines that go over the control socket.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kim_core::accounts::scram::{Password, PasswordError};
use kim_core::jid::BareJid;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::{
    AbuseAnswer, AbuseRequest, Compacted, ControlError, Invite, InviteRow, InviteWanted, KeyRotated,
    PushAnswer, PushRequest, User, UserFacts,
};
use crate::s2s::status::{FederationFacts, Looked};

/// The longest request, in bytes with its line end.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// The longest response, in bytes with its line end: a full list of the longest addresses.
pub const RESPONSE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Make an account.
    UserAdd {
        /// Its address.
        account: BareJid,
        /// Its password.
        password: Secret,
        /// Also if the name belonged to a removed account.
        #[serde(default)]
        reuse_name: bool,
    },
    /// Say whether an account could be made.
    UserMayAdd {
        /// Its address.
        account: BareJid,
        /// Also if the name belonged to a removed account.
        #[serde(default)]
        reuse_name: bool,
    },
    /// Replace a password.
    UserPasswd {
        /// Whose.
        account: BareJid,
        /// The new one.
        password: Secret,
    },
    /// List accounts.
    UserList {
        /// The last one of the page before.
        after: Option<BareJid>,
    },
    /// Show an account.
    UserShow {
        /// Which.
        account: BareJid,
    },
    /// Remove an account.
    UserDelete {
        /// Which.
        account: BareJid,
    },
    /// Make an invitation.
    Invite(InviteWanted),
    /// List invitations.
    InviteList {
        /// The last one of the page before.
        after: Option<InviteRow>,
    },
    /// Revoke an invitation.
    InviteRevoke {
        /// Its id, its token or a link with its token.
        which: String,
    },
    /// Replace the sealing key.
    KeyRotate {},
    /// Rewrite the database.
    StorageCompact {},
    /// List the streams to and from other servers.
    S2sList {},
    /// Reports and blocks.
    Abuse(AbuseRequest),
    /// Push registrations.
    Push(PushRequest),
    /// Look at another domain.
    S2sCheck {
        /// Which.
        domain: String,
    },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// It is done.
    Done,
    /// A page of accounts.
    Users(Vec<User>),
    /// One account.
    User(UserFacts),
    /// The new invitation.
    Invite(Invite),
    /// A page of invitations.
    Invites(Vec<InviteRow>),
    /// The new sealing key.
    KeyRotated(KeyRotated),
    /// The database was rewritten.
    Compacted(Compacted),
    /// The streams to and from other servers.
    Federation(FederationFacts),
    /// What was seen of another domain.
    Looked(Vec<Looked>),
    /// About reports and blocks.
    Abuse(AbuseAnswer),
    /// About push registrations.
    Push(PushAnswer),
    /// It was not done.
    Error(ControlError),
}

/// A password in transit: overwritten when dropped, never printed. In JSON it is Base64 of its UTF-8: escaping a character would
/// copy it to a buffer that is not overwritten.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a password as it was typed.
    pub fn new(text: Zeroizing<String>) -> Secret {
        Secret(text)
    }

    /// Prepares it for use (RFC 4013).
    pub fn prepare(&self) -> Result<Password, PasswordError> {
        Password::prepare(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let encoded = Zeroizing::new(STANDARD.encode(self.0.as_bytes()));
        serializer.serialize_str(&encoded)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        struct Decoder;

        impl de::Visitor<'_> for Decoder {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Base64 of UTF-8 text")
            }

            // The error must not repeat what was given, as serde's own would.
            fn visit_str<E: de::Error>(self, encoded: &str) -> Result<Secret, E> {
                let wrong = || E::custom("the password is not Base64 of UTF-8 text");
                let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| wrong())?);
                let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
                Ok(Secret(Zeroizing::new(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Decoder)
    }
}
