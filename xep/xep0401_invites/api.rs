//! Invitations for other modules, the web page, REST and the command line: make one, look at one, redeem one.

use std::sync::Arc;

use kim_core::accounts::scram::Password;
use kim_core::accounts::{AccountError, Enrolment, Tombstone, names};
use kim_core::clock::Timestamp;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::router::{Destination, Router};

pub use super::links::Links;
use super::store::{InviteRefusal, InviteStore};
use super::token::{self, Hash};
use crate::rfc6121_im::api::Subscriptions;
use crate::xep0077_register::api::Reserved;

/// The longest life of an invitation, in seconds.
pub const SECONDS_MAX: u64 = 366 * 86_400;
/// The most people that one invitation lets in.
pub const USES_MAX: u32 = 10_000;
/// After so long an account that registered itself can let others have accounts.
const SETTLED_SECONDS: u64 = 7 * 86_400;

/// What an invitation is to be.
#[derive(Clone, Debug)]
pub struct WantedInvitation {
    /// The domain on which it makes an account.
    pub domain: String,
    /// Who invites; nobody is the operator.
    pub inviter: Option<BareJid>,
    /// It asks to become a contact of the inviter, and makes an account for that where there is none (XEP-0401 §5.1).
    /// Otherwise it is there to make an account (§5.4).
    pub contact: bool,
    /// Inviter and invited become contacts.
    pub befriends: bool,
    /// Whether whoever is invited may make an account, should the server allow it at all.
    pub registers: bool,
    /// The only account it is for. The name is held back for it.
    pub account: Option<BareJid>,
    /// A room that it leads to.
    pub room: Option<BareJid>,
    /// The account may take the name of one that was removed. Only for invitations of the operator.
    pub reuse_name: bool,
    /// How many people it lets in.
    pub uses: u32,
    /// For how long, in seconds; not set, as long as the configuration says.
    pub seconds: Option<u64>,
}

impl WantedInvitation {
    /// One of the operator's: an account of any name, once.
    pub fn by_operator(domain: &str) -> WantedInvitation {
        WantedInvitation {
            domain: domain.to_owned(),
            inviter: None,
            contact: false,
            befriends: false,
            registers: true,
            account: None,
            room: None,
            reuse_name: false,
            uses: 1,
            seconds: None,
        }
    }

    /// An account's own: become my contact (XEP-0401 §5.1), once.
    pub fn by_account(inviter: &BareJid) -> WantedInvitation {
        WantedInvitation {
            inviter: Some(inviter.clone()),
            contact: true,
            befriends: true,
            ..WantedInvitation::by_operator(inviter.domain())
        }
    }
}

/// An invitation that can be redeemed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Where it makes an account.
    pub domain: String,
    /// Who invited; nobody is the operator.
    pub inviter: Option<BareJid>,
    /// The only account it is for.
    pub account: Option<BareJid>,
    /// A room that it leads to.
    pub room: Option<BareJid>,
    /// It asks to become a contact.
    pub contact: bool,
    /// It makes an account.
    pub registers: bool,
    /// Inviter and invited become contacts.
    pub befriends: bool,
    /// How many more it lets in.
    pub uses_left: u32,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Invitation {
    /// Until when, to the second (XEP-0082).
    pub fn expires(&self) -> String {
        let text = self.expires_at.to_string();
        text.split_once('.')
            .map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
    }
}

/// An invitation in a list. Its token is not known to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedInvitation {
    /// Names it, and is no secret.
    pub id: String,
    /// What it is.
    pub invitation: Invitation,
}

/// An invitation as it was made. Nobody but whoever gets it knows the links from here on.
#[derive(Clone, Debug)]
pub struct Made {
    /// Identifies it in the list, and is no secret.
    pub id: String,
    /// What it is.
    pub invitation: Invitation,
    /// How it is passed on.
    pub links: Links,
}

/// Why an invitation was not made, or not redeemed.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// A limit of the inviter's.
    #[error("too many invitations today; try again tomorrow")]
    TooMany,
    /// The account it should be for exists, or its name is promised to somebody else.
    #[error("this username is already taken")]
    Taken,
    /// The account it should be for was removed, and its name is held back.
    #[error("this username is already taken")]
    HeldBack,
    /// It makes no sense.
    #[error("{0}")]
    Wrong(&'static str),
    /// There is no such invitation (any more). Whether there ever was one is not told.
    #[error("the provided token is invalid or expired")]
    Void,
    /// Something else.
    #[error("{0}")]
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for InviteError {
    fn from(error: E) -> InviteError {
        InviteError::Fault(error.into())
    }
}

impl InviteError {
    /// As a client is told.
    pub fn into_fault(self) -> Fault {
        let (condition, text) = match self {
            InviteError::TooMany => (Condition::ResourceConstraint, self.to_string()),
            InviteError::Taken | InviteError::HeldBack => (Condition::Conflict, self.to_string()),
            InviteError::Wrong(why) => (Condition::NotAcceptable, why.to_owned()),
            // XEP-0445 §4.
            InviteError::Void => {
                let text = "The provided token is invalid or expired".to_owned();
                (Condition::ItemNotFound, text)
            }
            InviteError::Fault(fault) => return fault,
        };
        StanzaError::new(condition).text(text).into()
    }
}

/// The invitations of this server.
pub struct Invites {
    pub(super) store: InviteStore,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) reserved: Arc<Reserved>,
    pub(super) public_url: Option<String>,
    pub(super) registers: bool,
    pub(super) per_day_max: Option<u32>,
    pub(super) seconds_default: u64,
}

impl Invites {
    /// Whether invitations make accounts here (`[registration] invites`).
    pub fn makes_accounts(&self) -> bool {
        self.registers
    }

    /// Makes an invitation; when it returns, it is stored.
    pub async fn create(&self, router: &Router, wanted: WantedInvitation) -> Result<Made, InviteError> {
        if router.destination(&wanted.domain) != Destination::Users {
            return Err(InviteError::Wrong("this server does not serve this domain"));
        }
        let seconds = wanted.seconds.unwrap_or(self.seconds_default);
        if !(60..=SECONDS_MAX).contains(&seconds) {
            return Err(InviteError::Wrong(
                "an invitation must be valid for 1 minute to 366 days",
            ));
        }
        if !(1..=USES_MAX).contains(&wanted.uses) {
            return Err(InviteError::Wrong("an invitation must admit 1 to 10000 people"));
        }
        if let Some(account) = &wanted.account {
            if account.domain() != wanted.domain || account.local().is_none() || wanted.uses != 1 {
                return Err(InviteError::Wrong(
                    "an invitation for a username must name an account of its domain and admit one person",
                ));
            }
            let accounts = router.accounts();
            if accounts.exists(account).await? {
                return Err(InviteError::Taken);
            }
            let may_reuse = wanted.reuse_name && wanted.inviter.is_none();
            if !may_reuse && accounts.removed_at(account).await?.is_some() {
                return Err(InviteError::HeldBack);
            }
        }
        let is_settled = is_settled(router, wanted.inviter.as_ref()).await?;
        let registers = self.registers && wanted.registers && is_settled;
        if self.registers && wanted.registers && !is_settled && !wanted.contact {
            return Err(InviteError::Wrong(
                "an account that registered itself can invite others to create accounts after 7 days",
            ));
        }
        if !registers && !wanted.contact && wanted.room.is_none() {
            return Err(InviteError::Wrong(
                "invitations cannot create accounts on this server",
            ));
        }
        let now = router.clock().now();
        let lifetime = i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000);
        let invitation = Invitation {
            registers,
            befriends: wanted.befriends && wanted.inviter.is_some(),
            contact: wanted.contact && wanted.inviter.is_some(),
            domain: wanted.domain,
            inviter: wanted.inviter,
            account: wanted.account,
            room: wanted.room,
            uses_left: wanted.uses,
            expires_at: Timestamp(now.0 + lifetime),
        };
        let token = token::new();
        let hash = token::hash(&token).ok_or(InviteError::Void)?;
        let id = token::id(&hash);
        // Neither the operator nor administrators have to be slowed down.
        let admins = &router.config().server.admins;
        let is_limited = invitation.inviter.as_ref().is_some_and(|by| !admins.contains(by));
        let per_day_max = self.per_day_max.filter(|_| is_limited);
        let added = self.store.add(hash, &invitation, now, per_day_max).await?;
        added.map_err(|refusal| match refusal {
            InviteRefusal::TooMany => InviteError::TooMany,
            InviteRefusal::Held => InviteError::Taken,
        })?;
        tracing::info!(
            event = "invitation_made",
            by = invitation.inviter.as_ref().map(|by| by.as_str())
        );
        let links = Links::of(&invitation, &token, self.public_url.as_deref());
        Ok(Made {
            id,
            invitation,
            links,
        })
    }

    /// The invitation of a token, if it can be redeemed.
    pub async fn look_up(&self, router: &Router, token: &str) -> Result<Option<Invitation>, InviteError> {
        let Some(hash) = token::hash(token) else {
            return Ok(None);
        };
        Ok(self.store.find(hash, router.clock().now()).await?)
    }

    /// Invitations that can be redeemed, by the time they expire: a page of at most `rows_max`, behind the one that expires at
    /// this time and has this id.
    pub async fn list(
        &self,
        router: &Router,
        after: Option<(Timestamp, &str)>,
        rows_max: u32,
    ) -> Result<Vec<ListedInvitation>, InviteError> {
        Ok(self.store.list(router.clock().now(), after, rows_max).await?)
    }

    /// Revokes an invitation by its id; `false` if there is none. A name that it held back is free again.
    pub async fn revoke(&self, id: &str) -> Result<bool, InviteError> {
        let is_revoked = self.store.revoke(id).await?;
        if is_revoked {
            tracing::info!(event = "invitation_revoked", id, by = "operator");
        }
        Ok(is_revoked)
    }

    /// The id of the invitation with this token; `None` for what cannot be a token.
    pub fn id_of(token: &str) -> Option<String> {
        token::hash(token).map(|hash| token::id(&hash))
    }

    /// The links of an invitation that was looked up.
    pub fn links(&self, invitation: &Invitation, token: &str) -> Links {
        Links::of(invitation, token, self.public_url.as_deref())
    }

    /// Makes an account with a token: what a web page does. The token is used up by it or, on any error, it is not.
    pub async fn redeem(
        &self,
        router: &Arc<Router>,
        token: &str,
        username: &str,
        password: &Password,
    ) -> Result<BareJid, InviteError> {
        let hash = token::hash(token).ok_or(InviteError::Void)?;
        let now = router.clock().now();
        let found = self.store.find(hash, now).await?;
        let invitation = found
            .filter(|found| found.registers && self.registers)
            .ok_or(InviteError::Void)?;
        let account = names::account(username, &invitation.domain)?;
        match &invitation.account {
            Some(meant) if *meant != account => {
                return Err(InviteError::Wrong("this invitation is for another username"));
            }
            None if self.reserved.has(&account) => return Err(InviteError::Taken),
            _ => {}
        }
        if self.store.is_held(&account, Some(hash), now).await? {
            return Err(InviteError::Taken);
        }
        self.register(router, hash, &invitation, &account, password)
            .await?;
        Ok(account)
    }

    /// Makes the account, uses the invitation up by it, and makes inviter and invited contacts.
    pub(super) async fn register(
        &self,
        router: &Arc<Router>,
        hash: Hash,
        invitation: &Invitation,
        account: &BareJid,
        password: &Password,
    ) -> Result<(), InviteError> {
        let proviso = InviteStore::proviso(hash);
        let accounts = router.accounts();
        // The operator has named this account, and was told if its name was held back. A removal erases such invitations.
        let is_named_by_operator = invitation.inviter.is_none() && invitation.account.is_some();
        let tombstone = match is_named_by_operator {
            true => Tombstone::Override,
            false => Tombstone::Respect,
        };
        let enrolment = match speaks_for_others(router, invitation.inviter.as_ref()).await? {
            true => Enrolment::Invited,
            false => Enrolment::Registered,
        };
        let created = accounts.create_invited(account, password, tombstone, enrolment, proviso);
        created.await.map_err(|error| match error {
            AccountError::Exists | AccountError::Removed { .. } => InviteError::Taken,
            AccountError::NotMet(_) => InviteError::Void,
            other => other.into(),
        })?;
        tracing::info!(event = "account_registered", %account, by = "invitation");
        let Some(inviter) = invitation.inviter.as_ref().filter(|_| invitation.befriends) else {
            return Ok(());
        };
        if !accounts.exists(inviter).await? {
            return Ok(());
        }
        let Some(mut cx) = router.cx() else { return Ok(()) };
        // The account is there, whatever becomes of this: a full roster, say.
        if let Err(fault) = self
            .subscriptions
            .befriend(router, inviter, account, &mut cx)
            .await
        {
            tracing::warn!(event = "invited_without_contact", %account, ?fault);
        }
        router.finish(cx).await;
        Ok(())
    }
}

/// Whether an inviter's word counts: the operator's, and that of accounts for which somebody has spoken. One that nobody knows
/// cannot make others known.
async fn speaks_for_others(router: &Router, inviter: Option<&BareJid>) -> Result<bool, InviteError> {
    let Some(inviter) = inviter.filter(|inviter| !router.config().server.admins.contains(inviter)) else {
        return Ok(true);
    };
    let enrolled = router.accounts().enrolled(inviter).await?;
    Ok(enrolled.is_some_and(|enrolled| enrolled.by != Enrolment::Registered))
}

/// Whether an account may let others have accounts: one that nobody knows after a while only, so that nobody gets many accounts
/// out of one at once.
async fn is_settled(router: &Router, inviter: Option<&BareJid>) -> Result<bool, InviteError> {
    if speaks_for_others(router, inviter).await? {
        return Ok(true);
    }
    let Some(inviter) = inviter else { return Ok(true) };
    let enrolled = router.accounts().enrolled(inviter).await?;
    let age = enrolled.map(|enrolled| router.clock().now().seconds_since(Timestamp(enrolled.at)));
    Ok(age.is_some_and(|age| age >= SETTLED_SECONDS))
}
