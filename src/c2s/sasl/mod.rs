//! The login exchange (RFC 6120 §6, RFC 4422): which mechanisms a stream offers, and each mechanism as a value that is given
//! the client's message and answers with the next [`Step`].
//!
//! Nothing here waits or touches a socket or the database. An [`Offer`] is made once for a stream, when it is known what
//! secures it; every try begins with [`Offer::start`]. A value that waits for something is consumed by the answer, so no
//! message can be fed to an exchange that is over.

mod anonymous;
mod plain;
mod scram;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kim_core::accounts::scram::{Hash, ScramKeys};
use kim_core::jid::BareJid;
use zeroize::Zeroizing;

pub use crate::tls::{ChannelBindingType, ChannelBindings, EXPORTER_LABEL, server_end_point_hash};

/// The most bytes one message of a client may have, decoded. The longest honest one, a login name and a password or nonce,
/// is far below.
pub const MESSAGE_BYTES_MAX: usize = 4096;

/// The mechanisms kIM speaks, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 7677, bound to the TLS channel.
    ScramSha256Plus,
    /// RFC 5802, bound to the TLS channel.
    ScramSha1Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802.
    ScramSha1,
    /// RFC 4616.
    Plain,
    /// RFC 4505, XEP-0175.
    Anonymous,
}

impl Mechanism {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Mechanism; 6] = [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha1Plus,
        Mechanism::ScramSha256,
        Mechanism::ScramSha1,
        Mechanism::Plain,
        Mechanism::Anonymous,
    ];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::Plain => "PLAIN",
            Mechanism::Anonymous => "ANONYMOUS",
        }
    }

    /// The reverse of [`Mechanism::name`].
    pub fn parse(name: &str) -> Option<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// Whether the exchange is bound to the channel (RFC 5801 §4).
    pub fn is_plus(self) -> bool {
        matches!(self, Mechanism::ScramSha256Plus | Mechanism::ScramSha1Plus)
    }

    /// The hash of a SCRAM mechanism.
    pub fn scram_hash(self) -> Option<Hash> {
        match self {
            Mechanism::ScramSha256Plus | Mechanism::ScramSha256 => Some(Hash::Sha256),
            Mechanism::ScramSha1Plus | Mechanism::ScramSha1 => Some(Hash::Sha1),
            Mechanism::Plain | Mechanism::Anonymous => None,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a login failed: the conditions of RFC 6120 §6.5, which XEP-0388 uses too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SaslFailure {
    /// The client gave up.
    Aborted,
    /// The account is suspended. Said only to who proved to own it.
    AccountDisabled,
    /// The password must be changed. Said only to who proved to know it.
    CredentialsExpired,
    /// The mechanism needs TLS first.
    EncryptionRequired,
    /// Not base64.
    IncorrectEncoding,
    /// The authorisation identity is not the account's own.
    InvalidAuthzid,
    /// A mechanism that was not offered.
    InvalidMechanism,
    /// A message the mechanism's grammar does not know.
    MalformedRequest,
    /// The account asks for a better mechanism.
    MechanismTooWeak,
    /// Wrong password, unknown account, wrong channel: which of them is not told.
    NotAuthorized,
    /// Our own fault, e.g. the database does not answer.
    TemporaryAuthFailure,
}

impl SaslFailure {
    /// The name of the element in `<failure/>`.
    pub fn condition(self) -> &'static str {
        match self {
            SaslFailure::Aborted => "aborted",
            SaslFailure::AccountDisabled => "account-disabled",
            SaslFailure::CredentialsExpired => "credentials-expired",
            SaslFailure::EncryptionRequired => "encryption-required",
            SaslFailure::IncorrectEncoding => "incorrect-encoding",
            SaslFailure::InvalidAuthzid => "invalid-authzid",
            SaslFailure::InvalidMechanism => "invalid-mechanism",
            SaslFailure::MalformedRequest => "malformed-request",
            SaslFailure::MechanismTooWeak => "mechanism-too-weak",
            SaslFailure::NotAuthorized => "not-authorized",
            SaslFailure::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

impl fmt::Display for SaslFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition())
    }
}

impl std::error::Error for SaslFailure {}

/// What decides which mechanisms a stream offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// TLS is up.
    pub encrypted: bool,
    /// The stream's host is one for guests: it has no accounts, and ANONYMOUS is all it offers.
    pub guests: bool,
    /// The operator allows PLAIN (still under TLS only).
    pub plain: bool,
    /// The operator allows the SHA-1 mechanisms, for old clients.
    pub sha1: bool,
    /// Send the hash of what was offered (XEP-0474). To be switched off for clients that cannot stand an attribute they do
    /// not know, such as those with Strophe.js 1.6.
    pub downgrade_hash: bool,
}

/// What one stream offers, and to which host its clients log in.
#[derive(Clone)]
pub struct Offer {
    host: String,
    mechanisms: Vec<Mechanism>,
    bindings: ChannelBindings,
    encrypted: bool,
    downgrade_hash: bool,
}

impl Offer {
    /// Chooses the mechanisms. `host` is the served domain as [`BareJid::domain`] has it; the bindings are those of the TLS
    /// session, none if there is no TLS.
    pub fn new(host: &str, conditions: Conditions, bindings: ChannelBindings) -> Offer {
        let mechanisms = offered(conditions, &bindings);
        Offer {
            host: host.to_owned(),
            mechanisms,
            bindings,
            encrypted: conditions.encrypted,
            downgrade_hash: conditions.downgrade_hash,
        }
    }

    /// The mechanisms, the best first. The same list must stand in the stream features, or clients that check the hash of
    /// XEP-0474 refuse to log in.
    pub fn mechanisms(&self) -> &[Mechanism] {
        &self.mechanisms
    }

    /// The binding types to be told by XEP-0440; empty when no mechanism can use them.
    pub fn channel_binding_types(&self) -> Vec<ChannelBindingType> {
        if self.has_plus() {
            self.bindings.types()
        } else {
            Vec::new()
        }
    }

    /// Begins an exchange. `initial` is the decoded initial response, `None` if the client sent none.
    pub fn start(&self, mechanism: &str, initial: Option<&[u8]>) -> Step {
        let Some(mechanism) = Mechanism::parse(mechanism) else {
            return Step::Failure(SaslFailure::InvalidMechanism);
        };
        if !self.mechanisms.contains(&mechanism) {
            let bare_plain = mechanism == Mechanism::Plain && !self.encrypted;
            return Step::Failure(if bare_plain {
                SaslFailure::EncryptionRequired
            } else {
                SaslFailure::InvalidMechanism
            });
        }
        match initial {
            Some(message) => self.first(mechanism, message),
            // Clients send nothing at all and want to be let in (XEP-0175 §4), though RFC 4505 §2 has them speak first.
            None if mechanism == Mechanism::Anonymous => self.first(mechanism, b""),
            None => Step::Challenge {
                data: Vec::new(),
                then: Pending(Waiting::First(mechanism, Box::new(self.clone()))),
            },
        }
    }

    fn first(&self, mechanism: Mechanism, message: &[u8]) -> Step {
        if message.len() > MESSAGE_BYTES_MAX {
            return Step::Failure(SaslFailure::MalformedRequest);
        }
        let step = match (mechanism, mechanism.scram_hash()) {
            (Mechanism::Anonymous, _) => anonymous::answer(message),
            (_, Some(hash)) => scram::first(self, mechanism.is_plus(), hash, message),
            (_, None) => plain::answer(&self.host, message),
        };
        step.unwrap_or_else(Step::Failure)
    }

    fn has_plus(&self) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism.is_plus())
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("host", &self.host)
            .field("mechanisms", &self.mechanisms)
            .finish_non_exhaustive()
    }
}

/// The mechanisms under given conditions: -PLUS only where there is something to bind to, PLAIN only under TLS.
fn offered(conditions: Conditions, bindings: &ChannelBindings) -> Vec<Mechanism> {
    let bound = conditions.encrypted && !bindings.types().is_empty();
    let fits = |mechanism: &Mechanism| match mechanism {
        Mechanism::Anonymous => conditions.guests,
        _ if conditions.guests => false,
        Mechanism::Plain => conditions.plain && conditions.encrypted,
        _ if mechanism.is_plus() && !bound => false,
        _ => conditions.sha1 || mechanism.scram_hash() != Some(Hash::Sha1),
    };
    Mechanism::ALL.into_iter().filter(fits).collect()
}

/// What the exchange needs next.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// Send this challenge and give the client's response to [`Pending::respond`].
    Challenge {
        /// Not yet encoded; may be empty.
        data: Vec<u8>,
        /// What waits for the response.
        then: Pending,
    },
    /// Find the keys of an account and give them to [`Lookup::supply`].
    NeedKeys(Lookup),
    /// The client is who it says. It is the caller who then asks whether that account may log in.
    Success {
        /// Who it is.
        identity: Identity,
        /// What goes into `<success/>` (RFC 6120 §6.4.6), not yet encoded.
        additional_data: Option<Vec<u8>>,
    },
    /// The try is over, and nothing was proved: no password was looked at.
    Failure(SaslFailure),
    /// The try is over with `not-authorized`: a proof or a password was checked, and it is wrong. Only this is a guess.
    Wrong,
}

/// Who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The owner of an account.
    Account(BareJid),
    /// Somebody without one, who is to be given a name.
    Guest,
}

/// An exchange that waits for the client's response.
#[derive(Debug)]
pub struct Pending(Waiting);

#[derive(Debug)]
enum Waiting {
    /// The client named a mechanism without an initial response (RFC 6120 §6.4.2).
    First(Mechanism, Box<Offer>),
    /// SCRAM's second step.
    Proof(Box<scram::Challenged>),
}

impl Pending {
    /// Whose password the response is to prove, if it is to prove one.
    pub fn account(&self) -> Option<&BareJid> {
        match &self.0 {
            Waiting::First(..) => None,
            Waiting::Proof(challenged) => Some(challenged.account()),
        }
    }

    /// Goes on with the decoded response.
    pub fn respond(self, message: &[u8]) -> Step {
        if message.len() > MESSAGE_BYTES_MAX {
            return Step::Failure(SaslFailure::MalformedRequest);
        }
        match self.0 {
            Waiting::First(mechanism, offer) => offer.first(mechanism, message),
            Waiting::Proof(challenged) => challenged.finish(message).unwrap_or_else(Step::Failure),
        }
    }
}

/// An exchange that waits for an account's keys.
///
/// For an account that does not exist (or has no keys of that hash) the caller supplies [`ScramKeys::fake`], with the
/// iterations new accounts get: the exchange then takes the same steps and the same time, and fails the same way.
#[derive(Debug)]
pub struct Lookup {
    account: BareJid,
    hash: Hash,
    with: With,
}

#[derive(Debug)]
enum With {
    Scram(Box<scram::Greeted>),
    Plain(kim_core::accounts::scram::Password),
}

impl Lookup {
    /// Whose keys are wanted.
    pub fn account(&self) -> &BareJid {
        &self.account
    }

    /// Of which hash. PLAIN takes those of another hash too, if there are no better ones.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Whether [`Lookup::supply`] takes milliseconds of CPU (PLAIN), so that it belongs on a thread for such work.
    pub fn is_heavy(&self) -> bool {
        matches!(self.with, With::Plain(_))
    }

    /// Goes on with the account's keys, or with invented ones.
    pub fn supply(self, keys: &ScramKeys) -> Step {
        match self.with {
            With::Scram(greeted) => greeted
                .challenge(self.account, keys, &kim_core::random::token())
                .unwrap_or_else(Step::Failure),
            With::Plain(password) => plain::judge(self.account, &password, keys),
        }
    }
}

/// The account a message speaks of, if its authorisation identity is that account's own (RFC 6120 §6.3.8).
///
/// This is the one place where a login name becomes an address.
fn account(host: &str, name: &str, authzid: &str) -> Result<BareJid, SaslFailure> {
    // A name no account can have is refused in the words that an unknown one gets.
    let account = BareJid::new(Some(name), host).map_err(|_| SaslFailure::NotAuthorized)?;
    if authzid.is_empty() || BareJid::parse(authzid).is_ok_and(|other| other == account) {
        Ok(account)
    } else {
        Err(SaslFailure::InvalidAuthzid)
    }
}

/// Decodes the text of an initial response (RFC 6120 §6.4.2): no text is no response, `=` is an empty one.
///
/// An empty `<initial-response/>` of XEP-0388 is an empty one too; the caller who sees that element need not ask here.
pub fn decode_initial(text: &str) -> Result<Option<Zeroizing<Vec<u8>>>, SaslFailure> {
    if text.is_empty() {
        Ok(None)
    } else {
        decode(text).map(Some)
    }
}

/// Decodes the text of a response (RFC 6120 §6.4.4); both no text and `=` are an empty one.
///
/// With PLAIN the bytes hold a password, so they are overwritten when dropped.
pub fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, SaslFailure> {
    if text.is_empty() || text == "=" {
        return Ok(Zeroizing::default());
    }
    if text.len() > MESSAGE_BYTES_MAX.div_ceil(3) * 4 {
        return Err(SaslFailure::MalformedRequest);
    }
    STANDARD
        .decode(text)
        .map(Zeroizing::new)
        .map_err(|_| SaslFailure::IncorrectEncoding)
}

/// Encodes a challenge or additional data.
pub fn encode(data: &[u8]) -> String {
    STANDARD.encode(data)
}
