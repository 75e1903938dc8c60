//! Push registrations, as an operator asks for them.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_xep::xep0357_push::api::{PushRegistration, PushRegistrations};
use serde::{Deserialize, Serialize};

use super::{ControlError, enabled, failed};

/// What is asked about push registrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PushRequest {
    /// Those of an account.
    List {
        /// Whose.
        account: BareJid,
    },
    /// Wake the device of one, and wait until its app server has answered.
    Test {
        /// Whose.
        account: BareJid,
        /// Which.
        id: i64,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushAnswer {
    /// The registrations, oldest first.
    List(Vec<PushFacts>),
    /// Why the device was not woken; `None`: the app server took the notification.
    Tested(Option<String>),
}

/// A registration as an operator sees it. Times are in microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushFacts {
    /// Names it among those of the account.
    pub id: i64,
    /// The app server.
    pub service: String,
    /// The resource of the device; empty for one that never has a session.
    pub resource: String,
    /// When it was made.
    pub since: i64,
    /// When the app server last took a notification.
    pub taken_at: Option<i64>,
    /// When it last did not, and why.
    pub failed: Option<(i64, String)>,
    /// When the next attempt is made, if one is owed.
    pub due_at: Option<i64>,
}

impl From<PushRegistration> for PushFacts {
    fn from(registration: PushRegistration) -> PushFacts {
        PushFacts {
            id: registration.id,
            service: registration.service.to_string(),
            resource: registration.resource,
            since: registration.since.0,
            taken_at: registration.taken_at.map(|at| at.0),
            failed: registration.failed.map(|(at, why)| (at.0, why)),
            due_at: registration.due_at.map(|at| at.0),
        }
    }
}

impl PushRequest {
    /// Whose registrations are meant.
    pub fn account(&self) -> &BareJid {
        match self {
            PushRequest::List { account } | PushRequest::Test { account, .. } => account,
        }
    }
}

/// Does what is asked in the house itself, for an account that exists. `serves` says whether app servers can be reached.
pub(super) async fn perform(
    router: &Arc<Router>,
    serves: bool,
    request: &PushRequest,
) -> Result<PushAnswer, ControlError> {
    let registrations = enabled(router.fact::<PushRegistrations>(), "xep0357_push")?;
    let failed = |fault: Fault| failed("push registrations", fault);
    match request {
        PushRequest::List { account } => {
            let all = registrations.of(account).await.map_err(failed)?;
            Ok(PushAnswer::List(all.into_iter().map(PushFacts::from).collect()))
        }
        PushRequest::Test { .. } if !serves => Err(ControlError::BadRequest(
            "no server is running that could reach app servers; start it with: kim serve".to_owned(),
        )),
        PushRequest::Test { account, id } => {
            let tested = registrations.test(account, *id, router).await.map_err(failed)?;
            let tested = tested.ok_or_else(|| {
                let text = format!(
                    "{account} has no push registration {id}; list them with: kim push list {account}"
                );
                ControlError::BadRequest(text)
            })?;
            Ok(PushAnswer::Tested(tested.err().map(|why| why.why().to_owned())))
        }
    }
}
