//! Who lets newcomers in where registration is closed, and who keeps names back: invitations (XEP-0445). Who asks something of
//! newcomers where it is open: challenges (XEP-0158).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use kim_core::accounts::scram::Password;
use kim_core::db::BoxFuture;
use kim_core::error::Fault;
use kim_core::facts::Facts;
use kim_core::hook::Event;
use kim_core::jid::BareJid;
use kim_core::router::Router;

/// Somebody without an account asks for one. A hook that fails keeps them out; one that knows of an invitation for them
/// sets it, and then neither closed registration nor the limits on strangers stand in their way.
pub struct Admission {
    /// The domain.
    pub domain: String,
    /// What is known about the stream.
    pub facts: Arc<Facts>,
    /// The account they want; nothing while they only ask what to fill in.
    pub account: Option<BareJid>,
    /// Where they are.
    pub address: IpAddr,
    /// The fields of the form that they have filled in (XEP-0077 §4), the password apart.
    pub form: Vec<(String, String)>,
    /// What lets them in.
    pub invitation: Option<Arc<dyn RegistrationPass>>,
    /// What else they have to fill in; set by the hook that asks for it, while they only ask.
    pub demand: Option<Demand>,
    /// What they have paid; set by the hook that asked for it.
    pub toll: Option<Toll>,
}

impl Admission {
    /// The value of a field of the form.
    pub fn filled(&self, name: &str) -> Option<&str> {
        let found = self.form.iter().find(|(its, _)| its == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A SHA-256 challenge (XEP-0158 §6.2).
pub struct Demand {
    /// Its id, for the field `challenge`.
    pub id: String,
    /// What the answer has to begin with.
    pub from: String,
    /// The end of the hash, in hexadecimal.
    pub label: String,
    /// Where people register whose client cannot answer.
    pub page: Option<String>,
    /// Whether the client is shown the challenge, rather than the page alone.
    pub is_shown: bool,
}

/// A fact of a stream: whoever is behind it can answer challenges.
pub struct AnswersChallenges;

/// What somebody has paid for an account. It is used up unless it is given back: also if the client goes away while the account
/// is being made.
pub struct Toll {
    keep: Box<dyn FnOnce() + Send>,
    give_back: Box<dyn FnOnce() + Send>,
}

impl Toll {
    /// `keep` is called once the account is made, `give_back` if it is not.
    pub fn new(keep: impl FnOnce() + Send + 'static, give_back: impl FnOnce() + Send + 'static) -> Toll {
        Toll {
            keep: Box::new(keep),
            give_back: Box::new(give_back),
        }
    }

    pub(super) fn settle(self, is_made: bool) {
        match is_made {
            true => (self.keep)(),
            false => (self.give_back)(),
        }
    }
}

impl Event for Admission {
    const NAME: &'static str = "admission";
}

/// What lets somebody in.
pub trait RegistrationPass: Send + Sync {
    /// The account it is for, if not for any: nobody else's, and one that may be reserved.
    fn account(&self) -> Option<&BareJid>;

    /// Makes the account, and is used up by it: both or neither.
    fn register<'a>(
        &'a self,
        router: &'a Arc<Router>,
        account: &'a BareJid,
        password: &'a Password,
    ) -> BoxFuture<'a, Result<(), Fault>>;
}

/// Names that strangers cannot have, because people take them for the operator.
pub use super::newcomer::Reserved;

/// The network an address counts for in limits: itself, or the /64 that one IPv6 subscriber has to itself.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}
