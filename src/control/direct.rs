//! The control over the accounts' tables: what the running server does when asked, and what the command line does
//! itself when no server runs.

use std::sync::Arc;

use kim_core::accounts::{AccountError, Accounts, Eraser, Tombstone};
use kim_core::config::Domain;
use kim_core::db::BoxFuture;
use kim_core::jid::BareJid;

use super::{Control, ControlError, LIST_ROWS_MAX, Secret, Sessions, User, UserFacts};

/// Works on the accounts directly.
pub struct Direct {
    accounts: Accounts,
    domains: Vec<Domain>,
    erasers: Vec<Eraser>,
    sessions: Option<Arc<dyn Sessions>>,
}

impl Direct {
    /// `erasers` are those of all modules, also of those that are switched off: they may have left something.
    pub fn new(accounts: Accounts, domains: Vec<Domain>, erasers: Vec<Eraser>) -> Direct {
        Direct {
            accounts,
            domains,
            erasers,
            sessions: None,
        }
    }

    /// With the sessions of the server that this is part of.
    pub fn with_sessions(self, sessions: Arc<dyn Sessions>) -> Direct {
        Direct {
            sessions: Some(sessions),
            ..self
        }
    }

    /// An account that could exist here.
    fn check_ours(&self, account: &BareJid) -> Result<(), ControlError> {
        if account.local().is_none() {
            return Err(ControlError::BadRequest(
                "an account needs a name before the @".to_owned(),
            ));
        }
        if self.domains.iter().any(|domain| **domain == *account.domain()) {
            return Ok(());
        }
        let served = self
            .domains
            .iter()
            .map(|domain| &**domain)
            .collect::<Vec<_>>()
            .join(", ");
        Err(ControlError::ForeignDomain {
            domain: account.domain().to_owned(),
            served,
        })
    }
}

impl Control for Direct {
    fn user_add<'a>(
        &'a self,
        account: &'a BareJid,
        password: &'a Secret,
        tombstone: Tombstone,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            self.check_ours(account)?;
            let password = prepare(password)?;
            self.accounts.create(account, &password, tombstone).await?;
            tracing::info!(event = "account_created", account = %account, by = "operator");
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
            self.accounts.set_password(account, &password).await?;
            if let Some(sessions) = &self.sessions {
                sessions.password_changed(account).await;
            }
            tracing::info!(event = "password_changed", account = %account, by = "operator");
            Ok(())
        })
    }

    fn user_list<'a>(&'a self, after: Option<&'a BareJid>) -> BoxFuture<'a, Result<Vec<User>, ControlError>> {
        Box::pin(async move {
            let page = self.accounts.list(after, LIST_ROWS_MAX).await?;
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
                .accounts
                .find(account)
                .await?
                .ok_or(ControlError::NoSuchAccount)?;
            let online = match &self.sessions {
                Some(sessions) => Some(sessions.online(account).await),
                None => None,
            };
            Ok(UserFacts {
                account: row.account,
                created_at: row.created_at,
                online,
            })
        })
    }

    fn user_delete<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            if !self.accounts.exists(account).await? {
                return Err(ControlError::NoSuchAccount);
            }
            if let Some(sessions) = &self.sessions {
                sessions.before_delete(account).await;
            }
            let result = self.accounts.delete(account, &self.erasers).await;
            if let Some(sessions) = &self.sessions {
                sessions.after_delete(account, result.is_ok()).await;
            }
            result?;
            tracing::info!(event = "account_deleted", account = %account, by = "operator");
            Ok(())
        })
    }
}

fn prepare(password: &Secret) -> Result<kim_core::accounts::scram::Password, ControlError> {
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
            AccountError::NotAnAccount => ControlError::BadRequest(error.to_string()),
            AccountError::Busy | AccountError::Db(_) => ControlError::Failed(error.to_string()),
        }
    }
}
