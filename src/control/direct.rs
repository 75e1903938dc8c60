//! The control over the house itself: what the running server does when asked, and what the command line does with a
//! house without doors when no server runs. Either way the rooms take part: whoever is removed says good-bye to their
//! contacts, and nothing of theirs stays in any table.

use std::sync::Arc;

use kim_core::accounts::scram::Password;
use kim_core::accounts::{AccountError, Tombstone};
use kim_core::db::BoxFuture;
use kim_core::error::{StreamCondition, StreamError};
use kim_core::jid::BareJid;
use kim_core::router::{Destination, Router};
use kim_xep::xep0384_omemo::api::Devices;
use kim_xep::xep0401_invites::api::{InviteError, Invites, Wanted};

use crate::s2s::Federation;
use crate::s2s::status::{FederationFacts, Looked};

use super::{
    Compacted, Control, ControlError, Invite, InviteWanted, KeyDevice, KeyRotated, LIST_ROWS_MAX, Online,
    Secret, User, UserFacts,
};

/// Works on the house directly.
pub struct Direct {
    router: Arc<Router>,
    serves: bool,
    federation: Option<Arc<Federation>>,
}

impl Direct {
    /// For a house that serves clients.
    pub fn serving(router: Arc<Router>) -> Direct {
        Direct {
            router,
            serves: true,
            federation: None,
        }
    }

    /// The same for a house that other servers are reached from.
    pub fn federated(mut self, federation: Option<Arc<Federation>>) -> Direct {
        self.federation = federation;
        self
    }

    fn federation(&self) -> Result<&Arc<Federation>, ControlError> {
        let problem = "this server talks to no other ([s2s] enabled)";
        let federation = self.federation.as_ref();
        federation.ok_or_else(|| ControlError::Failed(problem.to_owned()))
    }

    /// For a house without doors: who is online is not known.
    pub fn without_doors(router: Arc<Router>) -> Direct {
        Direct {
            router,
            serves: false,
            federation: None,
        }
    }

    /// An account that could exist here.
    fn check_ours(&self, account: &BareJid) -> Result<(), ControlError> {
        if account.local().is_none() {
            return Err(ControlError::BadRequest(
                "an account needs a name before the @".to_owned(),
            ));
        }
        if self.router.destination(account.domain()) == Destination::Users {
            return Ok(());
        }
        let served = self.router.config().server.domains.iter().map(|domain| &**domain);
        let served = served.collect::<Vec<_>>().join(", ");
        Err(ControlError::ForeignDomain {
            domain: account.domain().to_owned(),
            served,
        })
    }

    async fn devices(&self, account: &BareJid) -> Result<Vec<KeyDevice>, ControlError> {
        let Some(devices) = self.router.fact::<Devices>() else {
            return Ok(Vec::new());
        };
        let devices = devices.of(&self.router, account).await;
        let devices = devices.map_err(|fault| ControlError::Failed(format!("{account}: {fault:?}")))?;
        let shown = devices.into_iter().map(|device| KeyDevice {
            id: device.id,
            versions: device.versions.into_iter().map(str::to_owned).collect(),
            fingerprint: device.fingerprint,
            prekeys: device.prekeys,
            since: device.since.map(|since| since.0),
        });
        Ok(shown.collect())
    }

    async fn check_exists(&self, account: &BareJid) -> Result<(), ControlError> {
        match self.router.accounts().exists(account).await? {
            true => Ok(()),
            false => Err(ControlError::NoSuchAccount),
        }
    }
}

impl Control for Direct {
    fn s2s_list(&self) -> BoxFuture<'_, Result<FederationFacts, ControlError>> {
        Box::pin(async move { Ok(self.federation()?.facts()) })
    }

    fn s2s_check<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Result<Vec<Looked>, ControlError>> {
        Box::pin(async move { Ok(self.federation()?.look_at(domain).await) })
    }

    fn user_add<'a>(
        &'a self,
        account: &'a BareJid,
        password: &'a Secret,
        tombstone: Tombstone,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            self.check_ours(account)?;
            let password = prepare(password)?;
            self.router
                .accounts()
                .create(account, &password, tombstone)
                .await?;
            tracing::info!(event = "account_created", %account, by = "operator");
            Ok(())
        })
    }

    fn user_passwd<'a>(
        &'a self,
        account: &'a BareJid,
        password: &'a Secret,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let password = prepare(password)?;
            self.router.change_password(account, &password, None).await?;
            tracing::info!(event = "password_changed", %account, by = "operator");
            Ok(())
        })
    }

    fn user_list<'a>(&'a self, after: Option<&'a BareJid>) -> BoxFuture<'a, Result<Vec<User>, ControlError>> {
        Box::pin(async move {
            let page = self.router.accounts().list(after, LIST_ROWS_MAX).await?;
            Ok(page
                .into_iter()
                .map(|row| User {
                    account: row.account,
                    created_at: row.created_at,
                })
                .collect())
        })
    }

    fn user_show<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Result<UserFacts, ControlError>> {
        Box::pin(async move {
            let row = self
                .router
                .accounts()
                .find(account)
                .await?
                .ok_or(ControlError::NoSuchAccount)?;
            let mut online = None;
            if self.serves {
                let sessions = self.router.sessions_of(account).await;
                let shown = sessions.iter().map(|session| Online {
                    resource: session.jid.resource().unwrap_or_default().to_owned(),
                    since: session.since,
                    address: session.address,
                    priority: session.priority(),
                });
                online = Some(shown.collect());
            }
            Ok(UserFacts {
                account: row.account,
                created_at: row.created_at,
                online,
                devices: self.devices(account).await?,
            })
        })
    }

    fn user_delete<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            self.check_exists(account).await?;
            let erased = self.router.erase_account(account).await;
            let ended = erased.map_err(|fault| ControlError::Failed(format!("{account}: {fault:?}")))?;
            for session in ended {
                // XEP-0077 §3.2 names this condition for an account that is no more.
                session.close(
                    StreamError::new(StreamCondition::NotAuthorized).text("this account has been removed"),
                );
            }
            tracing::info!(event = "account_removed", %account, by = "operator");
            Ok(())
        })
    }

    fn invite<'a>(&'a self, wanted: &'a InviteWanted) -> BoxFuture<'a, Result<Invite, ControlError>> {
        Box::pin(async move {
            let invites = self.router.fact::<Invites>().ok_or_else(|| {
                ControlError::BadRequest("invitations are switched off ([xep0401_invites])".to_owned())
            })?;
            if let Some(account) = &wanted.account {
                self.check_ours(account)?;
            }
            let domain = match &wanted.account {
                Some(account) => account.domain(),
                None => self.router.config().main_domain(),
            };
            let made = invites.create(
                &self.router,
                Wanted {
                    account: wanted.account.clone(),
                    room: wanted.room.clone(),
                    uses: wanted.uses,
                    seconds: wanted.seconds,
                    ..Wanted::by_operator(domain)
                },
            );
            let made = made.await.map_err(|error| match error {
                InviteError::Taken => ControlError::AccountExists,
                InviteError::Fault(_) => ControlError::Failed(error.to_string()),
                _ => ControlError::BadRequest(error.to_string()),
            })?;
            Ok(Invite {
                expires: made.invitation.expires(),
                uses: made.invitation.uses_left,
                uri: made.links.uri,
                landing: made.links.landing,
                room: made.links.room,
            })
        })
    }

    fn storage_compact(&self) -> BoxFuture<'_, Result<Compacted, ControlError>> {
        Box::pin(async move {
            let db = self.router.db();
            let freed = db.compact().await;
            let freed = freed.map_err(|error| ControlError::Failed(error.to_string()))?;
            tracing::info!(event = "storage_compacted", freed_bytes = freed);
            Ok(Compacted {
                freed_bytes: (!db.is_postgres()).then_some(freed),
            })
        })
    }

    fn key_rotate(&self) -> BoxFuture<'_, Result<KeyRotated, ControlError>> {
        Box::pin(async move {
            let rotation = self.router.seals().rotate().await;
            let rotation = rotation.map_err(|error| ControlError::Failed(error.to_string()))?;
            Ok(KeyRotated {
                key: rotation.key,
                rewrapped: rotation.rewrapped,
            })
        })
    }
}

fn prepare(password: &Secret) -> Result<Password, ControlError> {
    password
        .prepare()
        .map_err(|error| ControlError::BadRequest(error.to_string()))
}

impl From<AccountError> for ControlError {
    fn from(error: AccountError) -> ControlError {
        match error {
            AccountError::Exists => ControlError::AccountExists,
            AccountError::Removed { .. } => ControlError::NameHeldBack,
            AccountError::NotFound => ControlError::NoSuchAccount,
            AccountError::Lookalike => ControlError::BadRequest(error.to_string()),
            AccountError::NotAnAccount => ControlError::BadRequest(error.to_string()),
            AccountError::NotMet(_) | AccountError::Outdated | AccountError::Busy | AccountError::Db(_) => {
                ControlError::Failed(error.to_string())
            }
        }
    }
}
