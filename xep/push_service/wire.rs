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
    /// Firebase Cloud Messaging: the address is an app's registration token. Google reads what is sent.
    Fcm,
    /// Apple's push notification service: the address is a device token. Apple reads what is sent.
    Apns {
        /// The app, by its bundle id.
        topic: String,
    },
}

/// Where somebody is woken.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address or token at the push service. Whoever knows it can wake: it is a secret.
    pub address: String,
    /// How it is used.
    pub wire: Wire,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What a client says of where it is to be woken, before anybody has looked at it.
#[derive(Clone, Copy, Default)]
pub struct PushWish<'a> {
    /// `webpush`, `unifiedpush`, `fcm` or `apns`. Not said: Web Push if there are keys, or else UnifiedPush.
    pub kind: Option<&'a str>,
    /// The address at a push service (Web Push, UnifiedPush).
    pub endpoint: Option<&'a str>,
    /// The client's public key in base64url (Web Push).
    pub p256dh: Option<&'a str>,
    /// Its authentication secret in base64url (Web Push).
    pub auth: Option<&'a str>,
    /// The token that the app got from Firebase or Apple.
    pub token: Option<&'a str>,
    /// The app, by its bundle id (APNs).
    pub topic: Option<&'a str>,
}

/// Why a wish cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WishRefused {
    /// The field that is wrong, as [`PushWish`] calls it.
    pub field: &'static str,
    /// What is required of it; the field's name in front of it makes a sentence.
    pub why: String,
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
