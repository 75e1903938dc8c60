//! What stands in an address: who registered, for which app, and until when. It is sealed with a key of this server, so nobody
//! else makes one or reads it.

use data_encoding::BASE64URL_NOPAD;
use kim_core::clock::Timestamp;
use kim_core::jid::Jid;
use kim_core::seal::Key;

/// Bytes of the hashes by which a client calls an app and one of its registrations (SHA-256).
pub(super) const HASH_BYTES: usize = 32;
/// Characters of the longest address: with a JID of 3,071 bytes (RFC 7622 §3.1).
const TOKEN_CHARS_MAX: usize = 4_400;
const PLACE: [&[u8]; 1] = [b"unified push address"];

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppEndpoint {
    /// The session that registered.
    pub client: Jid,
    /// The app, in the client's words: a salted hash.
    pub application: [u8; HASH_BYTES],
    /// One of the app's registrations, likewise.
    pub instance: [u8; HASH_BYTES],
    /// When the address expires.
    pub expires: Timestamp,
}

impl AppEndpoint {
    /// The last part of the address.
    pub fn seal(&self, key: &Key) -> String {
        let text = [
            &self.expires.0.to_be_bytes()[..],
            &self.application,
            &self.instance,
            self.client.as_str().as_bytes(),
        ]
        .concat();
        BASE64URL_NOPAD.encode(&key.seal(&PLACE, &text))
    }

    /// Reads the last part of an address, if it was made with this key.
    pub fn open(key: &Key, token: &str) -> Option<AppEndpoint> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let sealed = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        let text = key.open(&PLACE, &sealed).ok()?;
        let (expires, rest) = text.split_first_chunk()?;
        let (application, rest) = rest.split_first_chunk()?;
        let (instance, client) = rest.split_first_chunk()?;
        Some(AppEndpoint {
            client: Jid::parse(std::str::from_utf8(client).ok()?).ok()?,
            application: *application,
            instance: *instance,
            expires: Timestamp(i64::from_be_bytes(*expires)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_by_whoever_made_it_and_by_nobody_else() {
        let endpoint = AppEndpoint {
            client: Jid::parse("alice@localhost/phone").unwrap(),
            application: [1; HASH_BYTES],
            instance: [2; HASH_BYTES],
            expires: Timestamp(1_000_000),
        };
        let key = Key::random();
        let token = endpoint.seal(&key);
        assert_eq!(AppEndpoint::open(&key, &token), Some(endpoint));
        assert_eq!(AppEndpoint::open(&Key::random(), &token), None);
        for end in 0..token.len() {
            assert_eq!(AppEndpoint::open(&key, &token[..end]), None);
        }
        assert_eq!(AppEndpoint::open(&key, "not base64!"), None);
    }

    #[test]
    fn the_longest_address_is_read() {
        let part = "a".repeat(1_023);
        let labels = ["b".repeat(63), "c".repeat(63), "d".repeat(63), "e".repeat(61)];
        let client = format!("{part}@{}/{part}", labels.join("."));
        let endpoint = AppEndpoint {
            client: Jid::parse(&client).unwrap(),
            application: [1; HASH_BYTES],
            instance: [2; HASH_BYTES],
            expires: Timestamp(0),
        };
        let key = Key::random();
        assert_eq!(AppEndpoint::open(&key, &endpoint.seal(&key)), Some(endpoint));
    }
}
