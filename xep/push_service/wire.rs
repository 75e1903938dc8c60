//! Where somebody is woken, and how.

use kim_core::clock::Timestamp;

/// How a push service is spoken to.
#[derive(Clone, PartialEq, Eq)]
pub enum Wire {
    /// Web Push: encrypted for the subscriber (RFC 8291).
    Encrypted {
        /// Their public key, a point on P-256 that is not compressed (§3.1).
        p256dh: [u8; 65],
        /// Their authentication secret (§3.2).
        auth: [u8; 16],
    },
    /// UnifiedPush without keys: the address is all there is, so nothing is said but that there is something.
    Plain,
    /// Firebase Cloud Messaging; the address is a registration token.
    Fcm,
    /// The Apple Push Notification service; the address is a device token.
    Apns {
        /// The app's bundle id, or the one for its calls.
        topic: String,
    },
}

/// What somebody says who wants to be woken, as it came.
pub enum PushWish<'a> {
    /// A browser's subscription (Web Push).
    WebPush {
        /// The address at the push service.
        endpoint: &'a str,
        /// The public key, base64url.
        p256dh: &'a str,
        /// The authentication secret, base64url.
        auth: &'a str,
    },
    /// An address that takes what is posted there.
    UnifiedPush {
        /// The address.
        endpoint: &'a str,
    },
    /// An Android app.
    Fcm {
        /// Its registration token.
        token: &'a str,
    },
    /// An app for iOS or macOS.
    Apns {
        /// The device token, hexadecimal.
        token: &'a str,
        /// The bundle id.
        topic: &'a str,
    },
}

/// Where somebody is woken.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address at the push service: a URL or a token. Whoever knows it can wake: it is a secret.
    pub address: String,
    /// How it is used.
    pub wire: Wire,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A subscription of an account.
#[derive(Clone, Debug)]
pub struct PushSubscription {
    /// What it is called by in the account.
    pub tag: i64,
    /// Where its client is woken.
    pub endpoint: Endpoint,
    /// The resource of the client's session; empty for a client without one, which is woken for everything.
    pub resource: String,
    /// When it was made.
    pub since: Timestamp,
    /// When its push service last took something.
    pub taken_at: Option<Timestamp>,
    /// When it last did not, and why. A success clears it.
    pub failed: Option<(Timestamp, String)>,
}
