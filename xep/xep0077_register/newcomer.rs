//! Registration before login (§3.1.1): only when open, a few an hour from one address, and never a name that means
//! something to others.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kim_core::accounts::scram::Password;
use kim_core::accounts::{AccountError, Tombstone};
use kim_core::config::Config;
use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::events::BeforeLogin;
use kim_core::hook::{Flow, On};
use kim_core::jid::BareJid;
use kim_core::router::Host;
use kim_core::stanza::{IqType, Kind};
use kim_core::wire::{El, Writer};

use super::{NS, field};

/// Names that people take for the operator (RFC 2142 and common sense). The command line may still make them.
const RESERVED: [&str; 12] = [
    "abuse",
    "admin",
    "administrator",
    "hostmaster",
    "info",
    "kim",
    "postmaster",
    "root",
    "security",
    "support",
    "webmaster",
    "xmpp",
];

/// After so many registrations the limiter forgets addresses that have been quiet.
const TIDY_EVERY: usize = 256;

/// Answers registration requests on streams that have not signed in.
pub(super) struct Newcomer {
    open: bool,
    reserved: HashSet<String>,
    /// `None` where the limits are switched off.
    limiter: Option<DefaultKeyedRateLimiter<IpAddr>>,
    since_tidied: AtomicUsize,
}

impl Newcomer {
    pub(super) fn new(config: &Config) -> Newcomer {
        let admins = config.server.admins.iter().map(|admin| admin.to_string());
        let per_hour = NonZeroU32::new(config.limits.registrations_per_address_per_hour);
        let limiter = per_hour
            .filter(|_| config.limits.enabled)
            .map(|hour| RateLimiter::keyed(Quota::per_hour(hour)));
        Newcomer {
            open: config.registration.open,
            reserved: RESERVED.map(str::to_owned).into_iter().chain(admins).collect(),
            limiter,
            since_tidied: AtomicUsize::new(0),
        }
    }

    async fn register(&self, query: El<'_>, event: &BeforeLogin, cx: &mut Cx) -> Result<(), Fault> {
        let name = field(query, "username").filter(|name| !name.is_empty());
        let password = field(query, "password").filter(|password| !password.is_empty());
        let (Some(name), Some(password)) = (name, password) else {
            return Err(refusal("a username and a password are needed"));
        };
        let account = BareJid::new(Some(&name), &event.domain)
            .map_err(|_| refusal("this username has characters that an address cannot have"))?;
        let password = Password::prepare(&password)
            .map_err(|_| refusal("this password has characters that cannot be typed everywhere"))?;
        if self.reserved.contains(account.as_str())
            || account.local().is_some_and(|name| self.reserved.contains(name))
        {
            return Err(StanzaError::new(Condition::Conflict)
                .text("this username is reserved")
                .into());
        }
        self.admit(event.address)?;
        match cx
            .router()
            .accounts()
            .create(&account, &password, Tombstone::Respect)
            .await
        {
            Ok(()) => {
                tracing::info!(event = "account_registered", %account);
                Ok(())
            }
            Err(AccountError::Exists | AccountError::Removed { .. }) => {
                Err(StanzaError::new(Condition::Conflict)
                    .text("this username is taken")
                    .into())
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Takes one of the registrations an address has in an hour. Asked last, so that a slip of the pen costs none.
    fn admit(&self, address: IpAddr) -> Result<(), Fault> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        if self.since_tidied.fetch_add(1, Ordering::Relaxed) >= TIDY_EVERY {
            self.since_tidied.store(0, Ordering::Relaxed);
            limiter.retain_recent();
        }
        limiter.check_key(&network(address)).map_err(|_| {
            let error = StanzaError::new(Condition::ResourceConstraint).kind(ErrorType::Wait);
            error
                .text("too many accounts were registered from your network; try again later")
                .into()
        })
    }
}

impl On<BeforeLogin> for Newcomer {
    async fn on(&self, event: &mut BeforeLogin, cx: &mut Cx) -> Result<Flow, Fault> {
        let Kind::Iq(kind) = event.stanza.kind else {
            return Ok(Flow::Next);
        };
        let Some(query) = event.stanza.child("query", NS) else {
            return Ok(Flow::Next);
        };
        if !self.open || cx.router().host(&event.domain) != Some(Host::Users) {
            let error = StanzaError::new(Condition::NotAllowed).text("registration is closed on this server");
            return Err(error.into());
        }
        let payload = match kind {
            IqType::Get => fields(),
            // There is no account yet that could be removed (§3.2).
            IqType::Set if query.child("remove", NS).is_some() => {
                return Err(Condition::UnexpectedRequest.into());
            }
            IqType::Set => {
                self.register(query, event, cx).await?;
                String::new()
            }
            IqType::Result | IqType::Error => return Ok(Flow::Next),
        };
        event.reply = Some(event.stanza.reply(Kind::Iq(IqType::Result), &payload));
        Ok(Flow::Done)
    }
}

/// What has to be filled in.
fn fields() -> String {
    let mut xml = Writer::new();
    xml.start("query", NS);
    xml.start("instructions", NS)
        .text("Choose a username and a password for this server.")
        .end();
    xml.start("username", NS).end();
    xml.start("password", NS).end();
    xml.end();
    xml.finish_string()
}

fn refusal(why: &'static str) -> Fault {
    StanzaError::new(Condition::NotAcceptable).text(why).into()
}

/// The network an address counts for: itself, or the /64 that one IPv6 subscriber has to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}
