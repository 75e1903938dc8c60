//! Dialback keys (XEP-0185): what this server gives out as proof of a domain, and recognises when it is asked about it. The
//! secret is made at each start, so nothing has to be kept: a key is only asked about while its stream exists.

use hmac::{Hmac, KeyInit, Mac};
use kim_core::random;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The secret behind all keys of this server.
pub struct DialbackSecret(Zeroizing<String>);

impl DialbackSecret {
    /// A new one that nobody can guess.
    pub fn random() -> DialbackSecret {
        let hash = Sha256::digest(random::bytes::<32>());
        DialbackSecret(Zeroizing::new(hex(&hash)))
    }

    /// The secret that an administrator chose (XEP-0185 §2).
    #[cfg(test)]
    pub fn of(text: &str) -> DialbackSecret {
        DialbackSecret(Zeroizing::new(hex(&Sha256::digest(text))))
    }

    /// The key for a stream: `receiving` gave it its id, `originating` is the domain to be proved.
    pub fn key(&self, receiving: &str, originating: &str, stream_id: &str) -> String {
        // HMAC takes keys of any length, so this cannot fail.
        let Ok(mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.as_bytes()) else {
            return String::new();
        };
        let parts = [receiving, " ", originating, " ", stream_id];
        let mac = parts
            .iter()
            .fold(mac, |mac, part| mac.chain_update(part.as_bytes()));
        hex(&mac.finalize().into_bytes())
    }

    /// Whether a key is the one for a stream; takes the same time for every wrong one.
    pub fn is_key(&self, shown: &str, receiving: &str, originating: &str, stream_id: &str) -> bool {
        let expected = self.key(receiving, originating, stream_id);
        !expected.is_empty() && bool::from(expected.as_bytes().ct_eq(shown.trim().as_bytes()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of XEP-0185 §3 and XEP-0220 §2.1.1 and §2.2.2.
    #[test]
    fn keys_are_those_of_the_specification() {
        let secret = DialbackSecret::of("s3cr3tf0rd14lb4ck");
        assert_eq!(
            secret.key("xmpp.example.com", "example.org", "D60000229F"),
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"
        );
        assert_eq!(
            secret.key("montague.example", "capulet.example", "D60000229F"),
            "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3"
        );
        let montague = DialbackSecret::of("d14lb4ck43v3r");
        let key = "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d";
        assert!(montague.is_key(key, "capulet.example", "montague.example", "417GAF25"));
        assert!(!montague.is_key(key, "montague.example", "capulet.example", "417GAF25"));
        assert!(!montague.is_key(key, "capulet.example", "montague.example", "417GAF26"));
        assert!(!secret.is_key(key, "capulet.example", "montague.example", "417GAF25"));
        assert!(!montague.is_key("", "capulet.example", "montague.example", "417GAF25"));
    }

    #[test]
    fn each_start_has_its_own() {
        let id = ("a.example", "b.example", "1");
        assert_ne!(
            DialbackSecret::random().key(id.0, id.1, id.2),
            DialbackSecret::random().key(id.0, id.1, id.2)
        );
    }
}
