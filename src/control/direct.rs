//! The control over the house itself: used by the running server when it is asked, and by the command line on a house without
//! doors when no server runs. Either way all modules take part: the contacts of a removed account are told, and none of its
//! rows stay in any table.

use std::sync::Arc;

use kim_core::accounts::scram::Password;
use kim_core::accounts::{AccountError, Tombstone};
use kim_core::clock::Timestamp;
use kim_core::db::BoxFuture;
use kim_core::error::{Fault, StreamCondition, StreamError};
use kim_core::jid::BareJid;
use kim_core::router::{Destination, Router};
use kim_xep::xep0045_muc::api::{Rooms, SERVICE};
use kim_xep::xep0384_omemo::api::Devices;
use kim_xep::xep0401_invites::api::{InviteError, Invites, ListedInvitation, WantedInvitation};

use crate::s2s::Federation;
use crate::s2s::status::{FederationFacts, Looked};

use super::{
    AbuseAnswer, AbuseRequest, Compacted, Control, ControlError, INVITES_ROWS_MAX, Invite, InviteRow,
    InviteWanted, KeyDevice, KeyRotated, LIST_ROWS_MAX, Online, PushAnswer, PushRequest, Secret, User,
    UserFacts,
};
use super::{abuse, push};

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
        let problem = "federation is switched off: [s2s] enabled is false";
        let federation = self.federation.as_ref();
        federation.ok_or_else(|| ControlError::Failed(problem.to_owned()))
    }

    /// For a house without doors, which does not know who is online.
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
                "the address of an account needs a name before the @, such as alice@example.org".to_owned(),
            ));
        }
        if self.router.destination(account.domain()) == Destination::Users {
            return Ok(());
        }
        Err(ControlError::foreign(account, self.router.config()))
    }

    async fn devices(&self, account: &BareJid) -> Result<Vec<KeyDevice>, ControlError> {
        let Some(devices) = self.router.fact::<Devices>() else {
            return Ok(Vec::new());
        };
        let devices = devices.of(&self.router, account).await;
        let devices = devices.map_err(|fault| failed(account, "reading the devices", &fault))?;
        let shown = devices.into_iter().map(|device| KeyDevice {
            id: device.id,
            versions: device.versions.into_iter().map(str::to_owned).collect(),
            fingerprint: device.fingerprint,
            prekeys: device.prekeys,
            since: device.since.map(|since| since.0),
        });
        Ok(shown.collect())
    }

    fn invites(&self) -> Result<Arc<Invites>, ControlError> {
        let invites = self.router.fact::<Invites>();
        invites.ok_or_else(|| {
            ControlError::BadRequest("invitations are switched off ([xep0401_invites] enabled)".to_owned())
        })
    }

    /// Refuses a room of this server that does not exist, or creates it if that is wanted.
    async fn check_room(&self, room: &BareJid, wanted: &InviteWanted) -> Result<(), ControlError> {
        let bad = |text: String| Err(ControlError::BadRequest(text));
        match self.router.destination(room.domain()) {
            Destination::Service(name) if name == SERVICE => {}
            // What exists elsewhere is not for this server to know.
            Destination::Component | Destination::Remote if !wanted.create_room => return Ok(()),
            Destination::Component | Destination::Remote => {
                return bad(format!(
                    "{room} is not on this server; create the room there first"
                ));
            }
            _ => {
                let main = self.router.config().main_domain();
                return bad(format!(
                    "there are no rooms at {}; try {SERVICE}.{main}",
                    room.domain()
                ));
            }
        }
        let (Some(rooms), Some(mut cx)) = (self.router.fact::<Rooms>(), self.router.cx()) else {
            return bad("rooms are switched off ([xep0045_muc] enabled)".to_owned());
        };
        let found = rooms.view(room, &cx).await;
        if found
            .map_err(|fault| failed(room, "reading the room", &fault))?
            .is_some()
        {
            return Ok(());
        }
        if !wanted.create_room {
            return bad(format!(
                "the room {room} does not exist; add --create-room to create it"
            ));
        }
        let owner = self.owner(wanted).await?;
        let created = rooms.create(room, &owner, &mut cx).await;
        created.map_err(|fault| failed(room, "creating the room", &fault))?;
        self.router.finish(cx).await;
        Ok(())
    }

    /// The owner of a room that is created for an invitation.
    async fn owner(&self, wanted: &InviteWanted) -> Result<BareJid, ControlError> {
        if let Some(owner) = &wanted.owner {
            self.check_ours(owner)?;
            return match self.router.accounts().exists(owner).await? {
                true => Ok(owner.clone()),
                false => Err(ControlError::BadRequest(format!(
                    "the owner {owner} has no account"
                ))),
            };
        }
        for admin in &self.router.config().server.admins {
            if self.router.accounts().exists(admin).await? {
                return Ok(admin.clone());
            }
        }
        Err(ControlError::BadRequest(
            "a new room needs an owner, and no administrator has an account yet; name one with --owner"
                .to_owned(),
        ))
    }

    async fn check_exists(&self, account: &BareJid) -> Result<(), ControlError> {
        match self.router.accounts().exists(account).await? {
            true => Ok(()),
            false => Err(self.absent(account)),
        }
    }

    /// What is said of an account that does not exist. Those of a domain that is served no more may still exist.
    fn absent(&self, account: &BareJid) -> ControlError {
        self.check_ours(account)
            .err()
            .unwrap_or(ControlError::NoSuchAccount)
    }
}

impl Control for Direct {
    fn abuse<'a>(&'a self, request: &'a AbuseRequest) -> BoxFuture<'a, Result<AbuseAnswer, ControlError>> {
        Box::pin(abuse::perform(&self.router, self.serves, request))
    }

    fn push<'a>(&'a self, request: &'a PushRequest) -> BoxFuture<'a, Result<PushAnswer, ControlError>> {
        Box::pin(async move {
            self.check_exists(request.account()).await?;
            push::perform(&self.router, self.serves, request).await
        })
    }

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

    fn user_may_add<'a>(
        &'a self,
        account: &'a BareJid,
        tombstone: Tombstone,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            self.check_ours(account)?;
            Ok(self.router.accounts().may_create(account, tombstone).await?)
        })
    }

    fn user_passwd<'a>(
        &'a self,
        account: &'a BareJid,
        password: &'a Secret,
    ) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let password = prepare(password)?;
            self.check_exists(account).await?;
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
                .ok_or_else(|| self.absent(account))?;
            let mut online = None;
            if self.serves {
                let sessions = self.router.sessions_of(account).await;
                let shown = sessions.iter().map(|session| Online {
                    resource: session.jid.resource().unwrap_or_default().to_owned(),
                    since: session.since,
                    address: session.here().and_then(|here| here.address),
                    priority: session.priority(),
                    parked_since: session.parked_at(),
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
            let ended = erased.map_err(|fault| failed(account, "removing the account", &fault))?;
            for session in ended {
                // XEP-0077 §3.2 names this condition for an account that was removed.
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
            let invites = self.invites()?;
            if let Some(account) = &wanted.account {
                self.check_ours(account)?;
            }
            if let Some(room) = &wanted.room {
                self.check_room(room, wanted).await?;
            }
            let domain = match &wanted.account {
                Some(account) => account.domain(),
                None => self.router.config().main_domain(),
            };
            let made = invites.create(
                &self.router,
                WantedInvitation {
                    account: wanted.account.clone(),
                    room: wanted.room.clone(),
                    reuse_name: wanted.reuse_name,
                    uses: wanted.uses,
                    seconds: wanted.seconds,
                    ..WantedInvitation::by_operator(domain)
                },
            );
            let made = made.await?;
            Ok(Invite {
                id: made.id,
                expires: made.invitation.expires(),
                uses: made.invitation.uses_left,
                uri: made.links.uri,
                landing: made.links.landing,
                room: made.links.room,
            })
        })
    }

    fn invite_list<'a>(
        &'a self,
        after: Option<&'a InviteRow>,
    ) -> BoxFuture<'a, Result<Vec<InviteRow>, ControlError>> {
        Box::pin(async move {
            let after = after.map(|row| (Timestamp(row.expires_at), row.id.as_str()));
            let page = self
                .invites()?
                .list(&self.router, after, INVITES_ROWS_MAX)
                .await?;
            let row = |listed: ListedInvitation| InviteRow {
                id: listed.id,
                expires_at: listed.invitation.expires_at.0,
                uses: listed.invitation.uses_left,
                inviter: listed.invitation.inviter,
                account: listed.invitation.account,
                room: listed.invitation.room,
            };
            Ok(page.into_iter().map(row).collect())
        })
    }

    fn invite_revoke<'a>(&'a self, which: &'a str) -> BoxFuture<'a, Result<(), ControlError>> {
        Box::pin(async move {
            let id = Invites::id_of(token_in(which)).unwrap_or_else(|| which.to_owned());
            match self.invites()?.revoke(&id).await? {
                true => Ok(()),
                false => Err(ControlError::BadRequest(
                    "there is no such invitation; `kim invite list` shows all that can be used".to_owned(),
                )),
            }
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

/// Something that went wrong inside; the log has the details.
fn failed(about: &BareJid, what: &str, fault: &Fault) -> ControlError {
    tracing::error!(event = "control_failed", %about, what, ?fault);
    ControlError::Failed(format!("{what} failed for {about}: {fault}; see the log"))
}

/// The token in an invitation's link (`…/invite/TOKEN`, `xmpp:…;preauth=TOKEN`), or the text itself.
fn token_in(text: &str) -> &str {
    let text = text.trim();
    let behind = ["preauth=", "/invite/"]
        .into_iter()
        .find_map(|mark| Some(text.split_once(mark)?.1))
        .unwrap_or(text);
    behind.split([';', '&', '?', '/', '#']).next().unwrap_or_default()
}

fn prepare(password: &Secret) -> Result<Password, ControlError> {
    password
        .prepare()
        .map_err(|error| ControlError::BadRequest(error.to_string()))
}

impl From<InviteError> for ControlError {
    fn from(error: InviteError) -> ControlError {
        match error {
            InviteError::Taken => ControlError::AccountExists,
            InviteError::HeldBack => ControlError::NameHeldBack,
            InviteError::Fault(fault) => {
                tracing::error!(event = "control_failed", what = "invitation", ?fault);
                ControlError::Failed(format!("the invitation failed: {fault}; see the log"))
            }
            error => ControlError::BadRequest(error.to_string()),
        }
    }
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
