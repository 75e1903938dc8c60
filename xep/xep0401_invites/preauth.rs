//! Registration with a token (XEP-0445 §4): the stream first shows its token, then registers as anybody does where
//! registration is open. The token's time is judged once, its use counted when the account is made.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use kim_core::accounts::scram::Password;
use kim_core::cx::Cx;
use kim_core::db::BoxFuture;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::events::BeforeLogin;
use kim_core::hook::{Flow, On};
use kim_core::jid::BareJid;
use kim_core::router::{Destination, Router};
use kim_core::stanza::{IqType, Kind};

use super::PARS;
use super::api::{Invitation, InviteError, Invites};
use super::token::{self, Hash};
use crate::xep0077_register::api::{self, Admission};

/// After so many tries the limiter forgets addresses that have been quiet.
const TIDY_EVERY: usize = 256;

/// Takes tokens.
pub(super) struct Preauth {
    invites: Arc<Invites>,
    /// `None` where the limits are switched off.
    limiter: Option<DefaultKeyedRateLimiter<IpAddr>>,
    since_tidied: AtomicUsize,
}

impl Preauth {
    pub fn new(invites: Arc<Invites>, per_minute: Option<u32>) -> Preauth {
        let limiter = per_minute
            .and_then(NonZeroU32::new)
            .map(|minute| RateLimiter::keyed(Quota::per_minute(minute)));
        Preauth {
            invites,
            limiter,
            since_tidied: AtomicUsize::new(0),
        }
    }

    fn admit(&self, address: IpAddr) -> Result<(), Fault> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        if self.since_tidied.fetch_add(1, Ordering::Relaxed) >= TIDY_EVERY {
            self.since_tidied.store(0, Ordering::Relaxed);
            limiter.retain_recent();
        }
        limiter.check_key(&api::network(address)).map_err(|_| {
            StanzaError::new(Condition::ResourceConstraint)
                .kind(ErrorType::Wait)
                .text("too many tokens were tried from your network; try again later")
                .into()
        })
    }
}

impl On<BeforeLogin> for Preauth {
    async fn on(&self, event: &mut BeforeLogin, cx: &mut Cx) -> Result<Flow, Fault> {
        let Some(preauth) = event.stanza.child("preauth", PARS) else {
            return Ok(Flow::Next);
        };
        if event.stanza.kind != Kind::Iq(IqType::Set)
            || cx.router().destination(&event.domain) != Destination::Users
        {
            return Ok(Flow::Next);
        }
        self.admit(event.address)?;
        let token = preauth.attr("token").unwrap_or_default();
        let void = || InviteError::Void.into_fault();
        let hash = token::hash(&token).ok_or_else(void)?;
        let found = self.invites.store.find(hash, cx.received).await?;
        let invitation = found.filter(|found| found.registers && found.domain == event.domain);
        let pass = Pass {
            hash,
            invitation: invitation.ok_or_else(void)?,
            invites: self.invites.clone(),
        };
        event.facts.leave(Shown(Arc::new(pass)));
        event.reply = Some(event.stanza.reply(Kind::Iq(IqType::Result), ""));
        Ok(Flow::Done)
    }
}

/// The token that a stream has shown; a later one replaces it.
struct Shown(Arc<Pass>);

/// What it lets its bearer do.
struct Pass {
    hash: Hash,
    invitation: Invitation,
    invites: Arc<Invites>,
}

impl api::RegistrationPass for Pass {
    fn account(&self) -> Option<&BareJid> {
        self.invitation.account.as_ref()
    }

    fn register<'a>(
        &'a self,
        router: &'a Arc<Router>,
        account: &'a BareJid,
        password: &'a Password,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            self.invites
                .register(router, self.hash, &self.invitation, account, password)
                .await
                .map_err(InviteError::into_fault)
        })
    }
}

/// Lets the bearers of tokens in, and keeps the names back that were promised to others (XEP-0401 §6.2).
pub(super) struct Invited(pub Arc<Invites>);

impl On<Admission> for Invited {
    async fn on(&self, event: &mut Admission, cx: &mut Cx) -> Result<Flow, Fault> {
        let shown = event.facts.known::<Shown>();
        let shown = shown.as_deref().map(|shown| &shown.0);
        if let Some(account) = &event.account
            && self
                .0
                .store
                .is_held(account, shown.map(|pass| pass.hash), cx.received)
                .await?
        {
            return Err(InviteError::Taken.into_fault());
        }
        // A stream may be reopened to another domain; the token is for one.
        if let Some(pass) = shown.filter(|pass| pass.invitation.domain == event.domain) {
            event.invitation = Some(pass.clone());
        }
        Ok(Flow::Next)
    }
}
