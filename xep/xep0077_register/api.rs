//! Who lets newcomers in where registration is closed, and who keeps names back: invitations (XEP-0445).

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
    /// What lets them in.
    pub invitation: Option<Arc<dyn RegistrationPass>>,
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
