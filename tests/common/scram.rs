//! The client's half of SCRAM (RFC 5802), written against the text and not against the server, with knobs to lie.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// One exchange.
pub struct Scram {
    name: String,
    password: String,
    sha1: bool,
    /// `n`, `y` or `p=TYPE`.
    gs2: String,
    /// The data that goes with `p=TYPE`.
    binding: Vec<u8>,
    /// Offers -PLUS in the mechanism's name.
    plus: bool,
    /// An authorisation identity.
    pub authzid: String,
    nonce: String,
    first_bare: String,
    server_signature: Vec<u8>,
}

impl Scram {
    /// SCRAM-SHA-256 without channel binding.
    pub fn new(name: &str, password: &str) -> Scram {
        Scram {
            name: name.into(),
            password: password.into(),
            sha1: false,
            gs2: "n".into(),
            binding: Vec::new(),
            plus: false,
            authzid: String::new(),
            nonce: kim_core::random::token(),
            first_bare: String::new(),
            server_signature: Vec::new(),
        }
    }

    /// With SHA-1 instead.
    pub fn sha1(self) -> Scram {
        Scram { sha1: true, ..self }
    }

    /// Bound to the channel.
    pub fn plus(self, kind: &str, data: &[u8]) -> Scram {
        Scram {
            plus: true,
            gs2: format!("p={kind}"),
            binding: data.to_vec(),
            ..self
        }
    }

    /// With another GS2 flag than `n`.
    pub fn flag(self, gs2: &str) -> Scram {
        Scram {
            gs2: gs2.into(),
            ..self
        }
    }

    /// The mechanism's name.
    pub fn mechanism(&self) -> String {
        let hash = if self.sha1 { "SHA-1" } else { "SHA-256" };
        format!("SCRAM-{hash}{}", if self.plus { "-PLUS" } else { "" })
    }

    fn gs2_header(&self) -> String {
        let authzid = if self.authzid.is_empty() {
            String::new()
        } else {
            format!("a={}", self.authzid)
        };
        format!("{},{authzid},", self.gs2)
    }

    /// The client's first message.
    pub fn first(&mut self) -> String {
        self.first_bare = format!("n={},r={}", self.name, self.nonce);
        format!("{}{}", self.gs2_header(), self.first_bare)
    }

    /// The client's final message.
    pub fn answer(&mut self, server_first: &str) -> String {
        let value = |key: &str| {
            server_first
                .split(',')
                .find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
                .unwrap_or_else(|| panic!("no {key} in {server_first}"))
        };
        let nonce = value("r");
        assert!(nonce.starts_with(&self.nonce), "the server keeps our nonce");
        let salt = STANDARD.decode(value("s")).expect("a salt");
        let iterations: u32 = value("i").parse().expect("a number");
        let mut binding = self.gs2_header().into_bytes();
        binding.extend_from_slice(&self.binding);
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(binding));
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);
        let salted = self.stretch(&salt, iterations);
        let client_key = self.hmac(&salted, b"Client Key");
        let signature = self.hmac(&self.hash(&client_key), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.server_signature = self.hmac(&self.hmac(&salted, b"Server Key"), auth_message.as_bytes());
        format!("{without_proof},p={}", STANDARD.encode(proof))
    }

    /// The server has to prove itself too.
    pub fn check_server(&self, last: &str) {
        assert_eq!(
            last,
            format!("v={}", STANDARD.encode(&self.server_signature)),
            "the server's proof"
        );
    }

    fn stretch(&self, salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut block = salt.to_vec();
        block.extend_from_slice(&[0, 0, 0, 1]);
        let mut u = self.hmac(self.password.as_bytes(), &block);
        let mut out = u.clone();
        for _ in 1..iterations {
            u = self.hmac(self.password.as_bytes(), &u);
            out.iter_mut().zip(&u).for_each(|(out, u)| *out ^= u);
        }
        out
    }

    fn hash(&self, data: &[u8]) -> Vec<u8> {
        if self.sha1 {
            Sha1::digest(data).to_vec()
        } else {
            Sha256::digest(data).to_vec()
        }
    }

    fn hmac(&self, key: &[u8], data: &[u8]) -> Vec<u8> {
        if self.sha1 {
            let mac = Hmac::<Sha1>::new_from_slice(key).expect("any key");
            mac.chain_update(data).finalize().into_bytes().to_vec()
        } else {
            let mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
            mac.chain_update(data).finalize().into_bytes().to_vec()
        }
    }
}
