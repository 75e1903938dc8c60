//! The operator's requests, done by the house itself: removing an account tells its contacts and all modules, and
//! changes reach the sessions they concern.

use std::sync::Arc;

use kim_core::accounts::Tombstone;
use kim_core::db::BoxFuture;
use kim_core::error::{Fault, StreamCondition, StreamError};
use kim_core::jid::BareJid;
use kim_core::router::Router;

use crate::control::{Control, ControlError, Direct, Online, Secret, Sessions, User, UserFacts};
use crate::server::House;

/// [`Control`] over a house, with or without doors.
pub struct HouseControl {
    direct: Direct,
    router: Arc<Router>,
}

impl HouseControl {
    /// Control over this house.
    pub fn new(house: &House) -> HouseControl {
        let router = house.router.clone();
        let direct = Direct::new(
            router.accounts().clone(),
            router.config().server.domains.clone(),
            Vec::new(),
        );
        HouseControl {
            direct: direct.with_sessions(Arc::new(OfHouse(router.clone()))),
            router,
        }
    }
}

impl Control for HouseControl {
    fn user_add<'a>(
        &'a self,
        account: &'a BareJid,
        password: &'a Secret,
        tombstone: Tombstone,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        self.direct.user_add(account, password, tombstone)
    }

    fn user_passwd<'a>(
        &'a self,
        account: &'a BareJid,
        password: &'a Secret,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        self.direct.user_passwd(account, password)
    }

    fn user_list<'a>(&'a self, after: Option<&'a BareJid>) -> BoxFuture<'a, Result<Vec<User>, ControlError>> {
        self.direct.user_list(after)
    }

    fn user_show<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Result<UserFacts, ControlError>> {
        self.direct.user_show(account)
    }

    fn user_delete<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            if !self.router.accounts().exists(account).await? {
                return Err(ControlError::NoSuchAccount);
            }
            let ended = self.router.erase_account(account).await.map_err(failed)?;
            for session in ended {
                // RFC 6120 §4.9.3.12, as XEP-0077 §3.2 shows it for an account that was cancelled.
                session.close(StreamCondition::NotAuthorized);
            }
            tracing::info!(event = "account_deleted", account = %account, by = "operator");
            Ok(())
        })
    }
}

fn failed(fault: Fault) -> ControlError {
    let cause = match fault {
        Fault::Us(error) => error.to_string(),
        Fault::Stanza(error) => error.condition().as_str().to_owned(),
        Fault::Stream(error) => error.condition.as_str().to_owned(),
    };
    ControlError::Failed(cause)
}

/// The sessions of a house.
struct OfHouse(Arc<Router>);

impl Sessions for OfHouse {
    fn online<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Vec<Online>> {
        Box::pin(async move {
            let sessions = self.0.sessions_of(account).await;
            let online = sessions.iter().map(|session| Online {
                resource: session.jid.resource().unwrap_or_default().to_owned(),
                since: session.since,
            });
            online.collect()
        })
    }

    // Removing an account does not come here: the house does it as a whole.
    fn before_delete<'a>(&'a self, _: &'a BareJid) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    fn after_delete<'a>(&'a self, _: &'a BareJid, _: bool) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whoever was in with the old password has to show the new one.
    fn password_changed<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for session in self.0.sessions().of(account) {
                let error = StreamError::new(StreamCondition::NotAuthorized);
                session.close(error.text("the password was changed"));
            }
        })
    }
}
