//! Registration before login (§3.1.1): only when open, a few an hour from one address, and never a name that means
//! something to others.

use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kim_core::accounts::names;
use kim_core::accounts::scram::Password;
use kim_core::config::{Config, LimitsInForce};
use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::events::BeforeLogin;
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, skeleton};
use kim_core::router::Destination;
use kim_core::stanza::{IqType, Kind};
use kim_core::wire::{El, Writer};

use super::api::{self, Admission, Demand};
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

/// Fields of a form that are looked at.
const FIELDS_MAX: usize = 16;
/// After so many registrations the limiter forgets addresses that have been quiet.
const TIDY_EVERY: usize = 256;

/// Names that strangers cannot have: those that people take for the operator, and the administrators'. Kept as skeletons, so
/// that names which look like them are reserved too.
pub struct Reserved(HashSet<String>);

impl Reserved {
    pub(super) fn new(config: &Config) -> Reserved {
        let admins = config.server.admins.iter().map(|admin| skeleton(admin.as_str()));
        Reserved(RESERVED.map(skeleton).into_iter().chain(admins).collect())
    }

    /// Whether an account has such a name, or one that looks like it.
    pub fn has(&self, account: &BareJid) -> bool {
        self.0.contains(&skeleton(account.as_str()))
            || account
                .local()
                .is_some_and(|name| self.0.contains(&skeleton(name)))
    }
}

fn limiter(per_hour: u32) -> Arc<DefaultKeyedRateLimiter<IpAddr>> {
    let per_hour = NonZeroU32::new(per_hour).unwrap_or(NonZeroU32::MIN);
    Arc::new(RateLimiter::keyed(Quota::per_hour(per_hour)))
}

/// Answers registration requests on streams that have not signed in.
pub(super) struct Newcomer {
    open: bool,
    reserved: Arc<Reserved>,
    limits: LimitsInForce,
    /// With how many an hour it was made.
    limiter: Mutex<(u32, Arc<DefaultKeyedRateLimiter<IpAddr>>)>,
    since_tidied: AtomicUsize,
}

impl Newcomer {
    pub(super) fn new(config: &Config, limits: &LimitsInForce, reserved: Arc<Reserved>) -> Newcomer {
        let per_hour = limits.now().registrations_per_address_per_hour;
        Newcomer {
            open: config.registration.open,
            reserved,
            limits: limits.clone(),
            limiter: Mutex::new((per_hour, limiter(per_hour))),
            since_tidied: AtomicUsize::new(0),
        }
    }

    async fn register(&self, query: El<'_>, event: &BeforeLogin, cx: &mut Cx) -> Result<(), Fault> {
        let name = field(query, "username").unwrap_or_default();
        let password = field(query, "password").unwrap_or_default();
        let account = names::account(&name, &event.domain)?;
        let password = Password::prepare(&password)?;
        let mut admission = self.admission(event, query, Some(account.clone()), cx).await?;
        let toll = admission.toll.take();
        let made = self.make(admission, event.address, &account, &password, cx).await;
        if let Some(toll) = toll {
            toll.settle(made.is_ok());
        }
        made
    }

    async fn make(
        &self,
        admission: Admission,
        address: IpAddr,
        account: &BareJid,
        password: &Password,
        cx: &Cx,
    ) -> Result<(), Fault> {
        let (router, invitation) = (cx.router().clone(), admission.invitation);
        match invitation.as_ref().and_then(|invitation| invitation.account()) {
            Some(meant) if meant != account => {
                return Err(refusal("this invitation is for another username"));
            }
            None if self.reserved.has(account) => {
                return Err(StanzaError::new(Condition::Conflict)
                    .text("this username is reserved")
                    .into());
            }
            _ => {}
        }
        if let Some(invitation) = invitation {
            return invitation.register(&router, account, password).await;
        }
        self.admit(address)?;
        router.accounts().register(account, password).await?;
        tracing::info!(event = "account_registered", %account);
        Ok(())
    }

    /// Asks the other modules whether they know this newcomer, and whether the name is to be had.
    async fn admission(
        &self,
        event: &BeforeLogin,
        query: El<'_>,
        account: Option<BareJid>,
        cx: &mut Cx,
    ) -> Result<Admission, Fault> {
        let mut admission = Admission {
            domain: event.domain.clone(),
            facts: event.facts.clone(),
            account,
            address: event.address,
            form: filled(query),
            invitation: None,
            demand: None,
            toll: None,
        };
        if cx.router().destination(&event.domain) != Destination::Users {
            return Err(closed());
        }
        let router = cx.router().clone();
        router.raise(&mut admission, cx).await?;
        match self.open || admission.invitation.is_some() {
            true => Ok(admission),
            false => Err(closed()),
        }
    }

    /// Takes one of the registrations an address has in an hour. Asked last, so that a slip of the pen costs none.
    fn admit(&self, address: IpAddr) -> Result<(), Fault> {
        let limits = self.limits.now();
        if !limits.enabled {
            return Ok(());
        }
        let limiter = {
            let mut held = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
            let per_hour = limits.registrations_per_address_per_hour;
            if held.0 != per_hour {
                *held = (per_hour, limiter(per_hour));
            }
            held.1.clone()
        };
        if self.since_tidied.fetch_add(1, Ordering::Relaxed) >= TIDY_EVERY {
            self.since_tidied.store(0, Ordering::Relaxed);
            limiter.retain_recent();
        }
        limiter.check_key(&api::network(address)).map_err(|_| {
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
        let known = self.admission(event, query, None, cx).await?;
        let payload = match kind {
            IqType::Get => {
                let invitation = known.invitation.as_ref();
                let meant = invitation.and_then(|invitation| invitation.account());
                fields(meant, known.demand.as_ref(), event.stanza.id.as_deref())
            }
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

fn closed() -> Fault {
    StanzaError::new(Condition::NotAllowed)
        .text("registration is closed on this server; ask for an invitation")
        .into()
}

/// What a client has filled into the form, apart from the password.
fn filled(query: El<'_>) -> Vec<(String, String)> {
    let form = query.child("x", kim_core::ns::DATA);
    let fields = form.iter().flat_map(|form| form.children());
    let read = fields.filter_map(|field| {
        let name = field.attr("var").filter(|name| name != "password")?;
        let value = field.child("value", kim_core::ns::DATA)?;
        Some((name.into_owned(), value.text().into_owned()))
    });
    read.take(FIELDS_MAX).collect()
}

/// What has to be filled in; the username is there already where only one will do. Where more is asked for, there are no plain
/// fields, which would not be enough: there is a form (XEP-0158 §4), or the address of a page alone (§5).
fn fields(meant: Option<&BareJid>, demand: Option<&Demand>, sid: Option<&str>) -> String {
    const OOB: &str = "jabber:x:oob";
    let page = demand.and_then(|demand| demand.page.as_deref());
    let mut xml = Writer::new();
    xml.start("query", NS);
    xml.start("instructions", NS);
    match page {
        Some(page) => xml.text("Register in a browser: ").text(page),
        None => xml.text("Choose a username and a password for this server."),
    };
    xml.end();
    match demand {
        Some(demand) if demand.is_shown => form(&mut xml, demand, sid),
        Some(_) => {}
        None => {
            xml.start("username", NS);
            if let Some(name) = meant.and_then(|account| account.local()) {
                xml.text(name);
            }
            xml.end();
            xml.start("password", NS).end();
        }
    }
    if let Some(page) = page {
        xml.start("x", OOB).start("url", OOB).text(page).end().end();
    }
    xml.end();
    xml.finish_string()
}

fn form(xml: &mut Writer, demand: &Demand, sid: Option<&str>) {
    use kim_core::ns::DATA;
    xml.start("x", DATA).attr("type", "form");
    for (name, value) in [
        ("FORM_TYPE", NS),
        ("from", &demand.from),
        ("challenge", &demand.id),
        ("sid", sid.unwrap_or_default()),
    ] {
        xml.start("field", DATA).attr("type", "hidden").attr("var", name);
        xml.start("value", DATA).text(value).end();
        xml.end();
    }
    for (kind, name, label) in [
        ("text-single", "username", "Username"),
        ("text-private", "password", "Password"),
        ("text-single", "SHA-256", demand.label.as_str()),
    ] {
        xml.start("field", DATA).attr("type", kind).attr("var", name);
        xml.attr("label", label);
        xml.start("required", DATA).end();
        xml.end();
    }
    xml.end();
}

fn refusal(why: &'static str) -> Fault {
    StanzaError::new(Condition::NotAcceptable).text(why).into()
}
