//! The server's side of SCRAM (RFC 5802, RFC 7677) with channel binding (RFC 9266, RFC 5929) and the downgrade protection of
//! XEP-0474: [`first`] reads the client's greeting, [`Greeted`] makes the challenge, [`Challenged`] checks the proof.
//!
//! Every way to fail that depends on a secret is `not-authorized`, so the answers teach nothing.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kim_core::accounts::scram::{Hash, ScramKeys};
use kim_core::jid::BareJid;
use subtle::ConstantTimeEq;

use super::ChannelBindingType;
use super::{Identity, Lookup, Offer, Pending, SaslFailure, Step, Waiting, With, account};

use SaslFailure::{MalformedRequest, NotAuthorized};

/// The client has said who it is and what it binds to; the account's keys are not known yet.
pub(super) struct Greeted {
    hash: Hash,
    client_first_bare: String,
    client_nonce: String,
    /// What `c=` must hold, decoded: the gs2 header as it came, then the channel's data.
    expected_binding: Vec<u8>,
    /// The attribute of XEP-0474 with its comma, or nothing.
    downgrade_hash: String,
}

/// The challenge is out; the proof is awaited.
pub(super) struct Challenged {
    account: BareJid,
    keys: ScramKeys,
    /// `client-first-message-bare "," server-first-message ","`: the beginning of what is proved.
    auth_message: String,
    nonce: String,
    expected_binding: Vec<u8>,
}

/// Reads the client-first-message (RFC 5802 §7).
pub(super) fn first(offer: &Offer, plus: bool, hash: Hash, message: &[u8]) -> Result<Step, SaslFailure> {
    let text = std::str::from_utf8(message).map_err(|_| MalformedRequest)?;
    let (flag, rest) = text.split_once(',').ok_or(MalformedRequest)?;
    let (authzid, bare) = rest.split_once(',').ok_or(MalformedRequest)?;
    let channel_data = channel_data(offer, plus, flag)?;
    let authzid = match authzid.strip_prefix("a=") {
        Some(name) => saslname(name)?,
        None if authzid.is_empty() => String::new(),
        None => return Err(MalformedRequest),
    };

    // `m=` announces an extension that must be understood, and there is none (RFC 5802 §5.1).
    let mut attributes = bare.split(',');
    let name = attributes
        .next()
        .and_then(|first| first.strip_prefix("n="))
        .ok_or(MalformedRequest)?;
    let name = saslname(name)?;
    let nonce = attributes
        .next()
        .and_then(|second| second.strip_prefix("r="))
        .ok_or(MalformedRequest)?;
    if nonce.is_empty()
        || !nonce.bytes().all(|b| b.is_ascii_graphic())
        || !attributes.all(is_optional_extension)
    {
        return Err(MalformedRequest);
    }

    let account = account(&offer.host, &name, &authzid)?;
    let gs2_header = text.get(..text.len() - bare.len()).unwrap_or_default();
    let greeted = Greeted {
        hash,
        client_first_bare: bare.to_owned(),
        client_nonce: nonce.to_owned(),
        expected_binding: [gs2_header.as_bytes(), channel_data].concat(),
        downgrade_hash: downgrade_hash(offer, hash),
    };
    Ok(Step::NeedKeys(Lookup {
        account,
        hash,
        with: With::Scram(Box::new(greeted)),
    }))
}

/// Judges the gs2-cbind-flag and gives the channel's data (RFC 5802 §6).
fn channel_data<'a>(offer: &'a Offer, plus: bool, flag: &str) -> Result<&'a [u8], SaslFailure> {
    match (flag, plus) {
        // "I would have bound, but you did not offer it": if we did, somebody removed the offer on its way.
        ("y", false) if offer.has_plus() => Err(NotAuthorized),
        ("y" | "n", false) => Ok(b""),
        (_, true) => {
            let name = flag.strip_prefix("p=").ok_or(MalformedRequest)?;
            let binding = ChannelBindingType::parse(name).ok_or(NotAuthorized)?;
            offer.bindings.data(binding).ok_or(NotAuthorized)
        }
        _ => Err(MalformedRequest),
    }
}

/// Undoes the escapes of a `saslname`: `=2C` is a comma, `=3D` an equals sign, nothing else may follow an `=`.
fn saslname(text: &str) -> Result<String, SaslFailure> {
    let mut parts = text.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (decoded, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(MalformedRequest),
        };
        name.push(decoded);
        name.push_str(rest);
    }
    if name.is_empty() || name.contains('\0') {
        return Err(MalformedRequest);
    }
    Ok(name)
}

/// `attr-val` of RFC 5802 §7, of a kind that may be ignored.
fn is_optional_extension(attribute: &str) -> bool {
    match attribute.as_bytes() {
        [b'm', b'=', ..] => false,
        [letter, b'=', value @ ..] => {
            letter.is_ascii_alphabetic() && !value.is_empty() && !value.contains(&0)
        }
        _ => false,
    }
}

/// XEP-0474 §6.1: the hash of the mechanisms and binding types that were offered, for the client to compare.
fn downgrade_hash(offer: &Offer, hash: Hash) -> String {
    if !offer.downgrade_hash {
        return String::new();
    }
    let mut mechanisms: Vec<&str> = offer
        .mechanisms()
        .iter()
        .map(|mechanism| mechanism.name())
        .collect();
    mechanisms.sort_unstable();
    let mut list = mechanisms.join("\u{1E}");
    let mut types: Vec<&str> = offer
        .channel_binding_types()
        .iter()
        .map(|binding| binding.name())
        .collect();
    if !types.is_empty() {
        types.sort_unstable();
        list.push('\u{1F}');
        list.push_str(&types.join("\u{1E}"));
    }
    format!(",h={}", STANDARD.encode(hash.digest(list.as_bytes())))
}

impl Greeted {
    /// Makes the server-first-message. `server_nonce` is fresh and unguessable.
    pub(super) fn challenge(
        self,
        account: BareJid,
        keys: &ScramKeys,
        server_nonce: &str,
    ) -> Result<Step, SaslFailure> {
        if keys.hash() != self.hash {
            return Err(SaslFailure::TemporaryAuthFailure);
        }
        let nonce = format!("{}{server_nonce}", self.client_nonce);
        let server_first = format!(
            "r={nonce},s={},i={}{}",
            STANDARD.encode(keys.salt()),
            keys.iterations(),
            self.downgrade_hash
        );
        let challenged = Challenged {
            account,
            keys: keys.clone(),
            auth_message: format!("{},{server_first},", self.client_first_bare),
            nonce,
            expected_binding: self.expected_binding,
        };
        Ok(Step::Challenge {
            data: server_first.into_bytes(),
            then: Pending(Waiting::Proof(Box::new(challenged))),
        })
    }
}

impl Challenged {
    /// Whose proof is waited for.
    pub(super) fn account(&self) -> &BareJid {
        &self.account
    }

    /// Checks the client-final-message (RFC 5802 §7): `c=`, `r=`, extensions, and at the end the proof.
    pub(super) fn finish(self, message: &[u8]) -> Result<Step, SaslFailure> {
        let text = std::str::from_utf8(message).map_err(|_| MalformedRequest)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(MalformedRequest)?;
        let proof = STANDARD.decode(proof).map_err(|_| MalformedRequest)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes
            .next()
            .and_then(|first| first.strip_prefix("c="))
            .ok_or(MalformedRequest)?;
        let binding = STANDARD.decode(binding).map_err(|_| MalformedRequest)?;
        let nonce = attributes
            .next()
            .and_then(|second| second.strip_prefix("r="))
            .ok_or(MalformedRequest)?;
        if !attributes.all(is_optional_extension) {
            return Err(MalformedRequest);
        }

        let bound = binding.ct_eq(&self.expected_binding);
        let fresh = nonce.as_bytes().ct_eq(self.nonce.as_bytes());
        let proved = self
            .keys
            .check_proof((self.auth_message + without_proof).as_bytes(), &proof);
        match proved {
            Some(signature) if bool::from(bound & fresh) => Ok(Step::Success {
                identity: Identity::Account(self.account),
                additional_data: Some(format!("v={}", STANDARD.encode(signature)).into_bytes()),
            }),
            // The password is known, and yet this is another channel.
            Some(_) => Err(NotAuthorized),
            None => Ok(Step::Wrong),
        }
    }
}

impl fmt::Debug for Greeted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greeted")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Challenged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenged")
            .field("account", &self.account)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
