//! Voluntary application server identification (RFC 8292): with each request goes a token that shows whose it is, so that a
//! push service can take requests only from the server that the subscription was made for.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quick_cache::sync::Cache;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::Serialize;
use zeroize::Zeroizing;

use super::jwt::{self, JwtHeader};

/// RFC 8292 §2: at most a day.
const VALID: Duration = Duration::from_secs(12 * 3_600);
const HEADER: JwtHeader<'_> = JwtHeader {
    alg: "ES256",
    typ: Some("JWT"),
    kid: None,
};

/// A token is used for so long: signing is a third of what a notification costs.
const USED: Duration = Duration::from_secs(3_600);
/// Push services whose tokens are kept.
const SERVICES_MAX: usize = 1_000;

/// The server's key.
pub struct Vapid {
    pair: EcdsaKeyPair,
    /// Whom a push service can write to: a `mailto:` or `https:` address.
    subject: String,
    /// The header for a push service, and until when it is used.
    signed: Cache<String, (Duration, Arc<str>)>,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
    sub: &'a str,
}

impl Vapid {
    /// A new key, PKCS #8.
    pub fn make() -> Option<Zeroizing<Vec<u8>>> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Some(Zeroizing::new(made.ok()?.as_ref().to_vec()))
    }

    /// Reads a key. `None` if it is none.
    pub fn read(pkcs8: &[u8], subject: String) -> Option<Vapid> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new()).ok()?;
        Some(Vapid {
            pair,
            subject,
            signed: Cache::new(SERVICES_MAX),
        })
    }

    /// The public key as browsers want it when they subscribe (`applicationServerKey`).
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key())
    }

    /// The header `Authorization` for a push service with this origin (§3).
    pub fn authorization(&self, audience: &str) -> Option<Arc<str>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        if let Some((until, header)) = self.signed.get(audience)
            && now < until
        {
            return Some(header);
        }
        let header = self.sign(audience, now)?;
        self.signed
            .insert(audience.to_owned(), (now + USED, header.clone()));
        Some(header)
    }

    fn sign(&self, audience: &str, now: Duration) -> Option<Arc<str>> {
        let claims = Claims {
            aud: audience,
            exp: (now + VALID).as_secs(),
            sub: &self.subject,
        };
        let token = jwt::signed(&self.pair, &HEADER, &claims)?;
        Some(format!("vapid t={token}, k={}", self.public()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    #[test]
    fn a_push_service_can_check_whose_request_it_is() {
        let key = Vapid::make().unwrap();
        let vapid = Vapid::read(&key, "mailto:admin@example.org".to_owned()).unwrap();
        let header = vapid.authorization("https://push.example").unwrap();
        let (token, public) = header
            .strip_prefix("vapid t=")
            .unwrap()
            .split_once(", k=")
            .unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes(public))
            .verify(signed.as_bytes(), &bytes(signature))
            .unwrap();
        let claims: serde_json::Value =
            serde_json::from_slice(&bytes(signed.split_once('.').unwrap().1)).unwrap();
        assert_eq!(claims["aud"], "https://push.example");
        assert_eq!(claims["sub"], "mailto:admin@example.org");
        assert_eq!(
            vapid.authorization("https://push.example"),
            Some(header.clone()),
            "it is used again"
        );
        assert_ne!(vapid.authorization("https://other.example"), Some(header.clone()));
        let again = Vapid::read(&key, String::new()).unwrap();
        assert_eq!(again.public(), vapid.public(), "one key, one identity");
    }
}
