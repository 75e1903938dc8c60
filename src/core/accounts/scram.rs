//! What is kept instead of a password: the SCRAM keys of RFC 5802 §3, and the keys that stand in for an account that does
//! not exist. The messages of the exchange are spoken by the doors; here is only what touches secrets.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use precis_core::profile::PrecisFastInvocation;
use precis_profiles::OpaqueString;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::jid::BareJid;
use crate::random;

/// How often the hash is applied for new keys. RFC 7677 §4 asks for at least 4096.
pub const ITERATIONS_DEFAULT: u32 = 10_000;

/// The length of a salt. All accounts have the same, or the length would tell the invented ones apart.
pub const SALT_BYTES: usize = 16;

/// The longest password that is prepared.
pub const PASSWORD_BYTES_MAX: usize = 1023;

/// The hash functions for which keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hash {
    /// For old clients (RFC 5802).
    Sha1,
    /// RFC 7677.
    Sha256,
}

impl Hash {
    /// The name in the database and in mechanism names.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Sha1 => "SHA-1",
            Hash::Sha256 => "SHA-256",
        }
    }

    /// The reverse of [`Hash::name`].
    pub fn parse(name: &str) -> Option<Hash> {
        [Hash::Sha1, Hash::Sha256]
            .into_iter()
            .find(|hash| hash.name() == name)
    }

    /// The length of a digest, and so of each key.
    pub fn bytes(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
        }
    }

    /// `H(data)` of RFC 5802 §2.2.
    pub fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => Sha1::digest(data).to_vec(),
            Hash::Sha256 => Sha256::digest(data).to_vec(),
        }
    }

    /// `HMAC(key, data)` of RFC 5802 §2.2.
    pub fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => hmac::<Hmac<Sha1>>(key, data),
            Hash::Sha256 => hmac::<Hmac<Sha256>>(key, data),
        }
    }

    /// `Hi(password, salt, iterations)` of RFC 5802 §2.2, which is PBKDF2.
    fn stretch(self, password: &Password, salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
        let mut salted = Zeroizing::new(vec![0; self.bytes()]);
        let password = password.0.as_bytes();
        match self {
            Hash::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut salted),
            Hash::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
        }
        salted
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    // HMAC takes keys of every length (RFC 2104 §3), so the empty answer never happens.
    <M as KeyInit>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mac| mac.chain_update(data).finalize().into_bytes().to_vec(),
    )
}

/// Why a text cannot be a password. Each is a sentence for the person who chose it; every door says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing, or nothing after preparation.
    #[error("the password is empty")]
    Empty,
    /// More than [`PASSWORD_BYTES_MAX`].
    #[error("the password is too long; it can have {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// Control characters and the like.
    #[error("the password contains unsupported characters, such as control characters")]
    Forbidden,
}

impl PasswordError {
    /// A word for programs, which say it in the language of their people.
    pub fn reason(self) -> &'static str {
        match self {
            PasswordError::Empty => "password-empty",
            PasswordError::TooLong => "password-long",
            PasswordError::Forbidden => "password-unsupported",
        }
    }
}

/// A password, prepared. It lives as short as can be, is overwritten when dropped, and is never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Password(String);

impl Password {
    /// Prepares a password for [`ScramKeys::derive`].
    ///
    /// SASLprep (RFC 4013) is what RFC 5802 §5.1 and RFC 7677 ask for and what clients of all ages do. It knows only Unicode
    /// 3.2 and refuses every newer character; clients of today send those as OpaqueString (RFC 8265 §4.2) leaves them, so
    /// that is taken for the texts which SASLprep has no answer to.
    pub fn prepare(text: &str) -> Result<Password, PasswordError> {
        if text.is_empty() {
            return Err(PasswordError::Empty);
        }
        if text.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        let prepared = match stringprep::saslprep(text) {
            Ok(prepared) => prepared,
            Err(_) => OpaqueString::enforce(text).map_err(|_| PasswordError::Forbidden)?,
        };
        if prepared.is_empty() {
            return Err(PasswordError::Empty);
        }
        Ok(Password(prepared.into_owned()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a server keeps of a password (RFC 5802 §3): enough to check a proof and to prove itself, not enough to log in.
#[derive(Clone, ZeroizeOnDrop)]
pub struct ScramKeys {
    #[zeroize(skip)]
    hash: Hash,
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl ScramKeys {
    /// Makes keys of a password with a fresh salt. Takes milliseconds of CPU: not for the thread of a connection.
    pub fn derive(password: &Password, hash: Hash, iterations: u32) -> ScramKeys {
        ScramKeys::derive_salted(password, hash, iterations, random::bytes::<SALT_BYTES>().to_vec())
    }

    fn derive_salted(password: &Password, hash: Hash, iterations: u32, salt: Vec<u8>) -> ScramKeys {
        let iterations = iterations.max(1);
        let salted = hash.stretch(password, &salt, iterations);
        let client_key = Zeroizing::new(hash.hmac(&salted, b"Client Key"));
        let stored_key = hash.digest(&client_key);
        let server_key = hash.hmac(&salted, b"Server Key");
        ScramKeys {
            hash,
            iterations,
            salt,
            stored_key,
            server_key,
        }
    }

    /// Keys as they were stored or imported. `None` if a key has not the length of its hash, or the count is zero.
    pub fn from_parts(
        hash: Hash,
        iterations: u32,
        salt: Vec<u8>,
        stored_key: Vec<u8>,
        server_key: Vec<u8>,
    ) -> Option<ScramKeys> {
        let sound = iterations > 0
            && !salt.is_empty()
            && stored_key.len() == hash.bytes()
            && server_key.len() == hash.bytes();
        sound.then_some(ScramKeys {
            hash,
            iterations,
            salt,
            stored_key,
            server_key,
        })
    }

    /// Keys for an account that does not exist, so that a stranger's first step looks like a real one's.
    ///
    /// The same name gets the same salt for as long as the secret lives. No password and no proof match them: `stored_key`
    /// is the image of no `ClientKey` anybody could find.
    pub fn fake(server_secret: &[u8], account: &BareJid, hash: Hash, iterations: u32) -> ScramKeys {
        let name = account.as_str();
        // The colon cannot stand in what precedes it, so the three texts of one name differ from those of every other.
        let keyed = |what: &str| {
            Hash::Sha256.hmac(server_secret, format!("{what} {}:{name}", hash.name()).as_bytes())
        };
        let shorten = |mut bytes: Vec<u8>, length: usize| {
            bytes.truncate(length);
            bytes
        };
        ScramKeys {
            hash,
            iterations: iterations.max(1),
            salt: shorten(keyed("salt"), SALT_BYTES),
            stored_key: shorten(keyed("stored key"), hash.bytes()),
            server_key: shorten(keyed("server key"), hash.bytes()),
        }
    }

    /// The hash function.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// How often the hash was applied.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt, which every client is told.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// For the store alone.
    pub fn stored_key(&self) -> &[u8] {
        &self.stored_key
    }

    /// For the store alone.
    pub fn server_key(&self) -> &[u8] {
        &self.server_key
    }

    /// Whether this is the password (SASL PLAIN, the admin's API). Takes milliseconds of CPU, whatever the answer.
    pub fn verify(&self, password: &Password) -> bool {
        let given = ScramKeys::derive_salted(password, self.hash, self.iterations, self.salt.clone());
        bool::from(given.stored_key.ct_eq(&self.stored_key))
    }

    /// Checks a client's proof (RFC 5802 §3) in constant time, and gives the `ServerSignature` if it holds.
    pub fn check_proof(&self, auth_message: &[u8], proof: &[u8]) -> Option<Vec<u8>> {
        let client_signature = self.hash.hmac(&self.stored_key, auth_message);
        if proof.len() != client_signature.len() {
            return None;
        }
        let client_key: Zeroizing<Vec<u8>> =
            Zeroizing::new(client_signature.iter().zip(proof).map(|(a, b)| a ^ b).collect());
        let stored_key = self.hash.digest(&client_key);
        let server_signature = self.hash.hmac(&self.server_key, auth_message);
        bool::from(stored_key.ct_eq(&self.stored_key)).then_some(server_signature)
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .field("keys", &format_args!("***"))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    fn password(text: &str) -> Password {
        Password::prepare(text).unwrap()
    }

    fn bytes(base64: &str) -> Vec<u8> {
        BASE64.decode(base64.as_bytes()).unwrap()
    }

    /// Derives the keys of "pencil" and checks both signatures of a published exchange.
    fn published(hash: Hash, salt: &str, auth_message: &str, proof: &str, server_signature: &str) {
        let keys = ScramKeys::derive_salted(&password("pencil"), hash, 4096, bytes(salt));
        assert_eq!(
            keys.check_proof(auth_message.as_bytes(), &bytes(proof)),
            Some(bytes(server_signature))
        );
        assert!(keys.verify(&password("pencil")));
        assert!(!keys.verify(&password("Pencil")));
    }

    #[test]
    fn the_exchange_of_rfc_5802_section_5() {
        published(
            Hash::Sha1,
            "QSXCR+Q6sek8bf92",
            "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,\
             i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        );
    }

    #[test]
    fn the_exchange_of_rfc_7677_section_3() {
        published(
            Hash::Sha256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        );
    }

    #[test]
    fn a_proof_of_the_wrong_length_or_bit_is_none() {
        let keys = ScramKeys::derive(&password("pencil"), Hash::Sha256, 1);
        assert_eq!(keys.check_proof(b"x", b""), None);
        assert_eq!(keys.check_proof(b"x", &[0; 31]), None);
        assert_eq!(keys.check_proof(b"x", &[0; 32]), None);
        assert_eq!(keys.check_proof(b"x", &[0; 33]), None);
    }

    #[test]
    fn two_accounts_with_one_password_have_nothing_in_common() {
        let [a, b] =
            [1, 1].map(|iterations| ScramKeys::derive(&password("pencil"), Hash::Sha256, iterations));
        assert_ne!(a.salt(), b.salt());
        assert_ne!(a.stored_key(), b.stored_key());
        assert_eq!(a.salt().len(), SALT_BYTES);
    }

    #[test]
    fn invented_keys_are_stable_and_fit_nobody() {
        let account = |text: &str| BareJid::parse(text).unwrap();
        let fake = |secret: &[u8], name: &str, hash| ScramKeys::fake(secret, &account(name), hash, 4096);
        let eve = fake(b"secret", "eve@example.org", Hash::Sha256);
        assert_eq!(
            eve.salt(),
            fake(b"secret", "eve@example.org", Hash::Sha256).salt()
        );
        assert_ne!(
            eve.salt(),
            fake(b"secret", "eva@example.org", Hash::Sha256).salt()
        );
        assert_ne!(eve.salt(), fake(b"other", "eve@example.org", Hash::Sha256).salt());
        // Real accounts have a salt of their own for each hash.
        assert_ne!(eve.salt(), fake(b"secret", "eve@example.org", Hash::Sha1).salt());
        for hash in [Hash::Sha1, Hash::Sha256] {
            let keys = fake(b"secret", "eve@example.org", hash);
            let real = ScramKeys::derive(&password("pencil"), hash, 4096);
            assert_eq!(
                (keys.salt().len(), keys.iterations()),
                (real.salt().len(), real.iterations())
            );
            assert_eq!(keys.stored_key().len(), real.stored_key().len());
            assert!(!keys.verify(&password("pencil")));
        }
    }

    #[test]
    fn stored_keys_come_back_and_broken_rows_do_not() {
        let made = ScramKeys::derive(&password("pencil"), Hash::Sha1, 2);
        let parts = |iterations, stored: &[u8]| {
            let (salt, server) = (made.salt().to_vec(), made.server_key().to_vec());
            ScramKeys::from_parts(made.hash(), iterations, salt, stored.to_vec(), server)
        };
        assert!(parts(2, made.stored_key()).unwrap().verify(&password("pencil")));
        assert!(parts(0, made.stored_key()).is_none());
        assert!(parts(2, b"short").is_none());
        assert_eq!(Hash::parse(Hash::Sha1.name()), Some(Hash::Sha1));
        assert_eq!(Hash::parse("MD5"), None);
    }

    #[test]
    fn passwords_are_prepared_as_clients_do() {
        // RFC 4013 §3: the soft hyphen vanishes, compatibility characters are folded, case stays.
        assert_eq!(password("I\u{AD}X").0, "IX");
        assert_eq!(password("\u{2168}").0, "IX");
        assert_eq!(password("\u{AA}").0, "a");
        assert_eq!(password("USER").0, "USER");
        assert_eq!(password("a\u{A0}b").0, "a b");
        // Newer than Unicode 3.2, and a text that mixes directions: left as OpaqueString leaves them.
        assert_eq!(password("p😀").0, "p😀");
        assert_eq!(password("\u{627}1").0, "\u{627}1");
        for (text, error) in [
            ("", PasswordError::Empty),
            ("\u{AD}", PasswordError::Empty),
            ("\u{7}", PasswordError::Forbidden),
            (&"x".repeat(PASSWORD_BYTES_MAX + 1), PasswordError::TooLong),
        ] {
            assert_eq!(Password::prepare(text).err(), Some(error), "{text:?}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let keys = ScramKeys::derive(&password("pencil"), Hash::Sha1, 2);
        assert_eq!(
            format!("{keys:?}"),
            "ScramKeys { hash: Sha1, iterations: 2, keys: *** }"
        );
        assert_eq!(format!("{:?}", password("pencil")), "***");
    }
}
