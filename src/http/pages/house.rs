//! The guide of a real house: rooms as XEP-0045 keeps them, invitations as XEP-0401 does.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kim_core::config::{Config, Contact};
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_xep::push_service::api::AppServer;
use kim_xep::xep0045_muc::api::{Rooms, SERVICE};
use kim_xep::xep0363_upload::api::Uploads;
use kim_xep::xep0401_invites::api::{InviteError, Invites};

use super::guide::{Guide, Invitation, Keeping, PublicRoom, Unavailable};
use super::{Pages, Settings};

/// Rooms on the public list; who looks for more has search.
const ROOMS_MAX: usize = 200;

impl Settings {
    /// As the configuration says.
    fn of(config: &Config, uploads: Option<&Uploads>, push: Option<&AppServer>) -> Settings {
        let domain = config.main_domain().to_string();
        Settings {
            origin: config
                .public_url()
                .map_or_else(|| format!("https://{domain}"), |origin| origin.to_string()),
            domain,
            uploads: uploads.map(|uploads| uploads.origin().to_string()),
            push: push.map(|server| server.address().to_owned()),
            rooms: config
                .rooms
                .default
                .iter()
                .map(|name| name.as_str().to_owned())
                .collect(),
            registration_open: config.registration.open,
            guests: config.registration.guests,
            plain_login: !config.c2s.require_tls,
            security_contacts: security_contacts(&config.contact),
        }
    }
}

/// Whom to tell about a vulnerability: those named for it, otherwise the administrators (RFC 9116 §2.5.3: web addresses are
/// https alone).
fn security_contacts(contact: &Contact) -> Vec<String> {
    let named = [&contact.security, &contact.admin]
        .into_iter()
        .find(|list| !list.is_empty());
    let uris = named.into_iter().flatten().map(|uri| uri.as_str());
    uris.filter(|uri| !uri.to_ascii_lowercase().starts_with("http:"))
        .map(str::to_owned)
        .collect()
}

impl Pages {
    /// The pages of a house.
    pub fn of(router: &Arc<Router>) -> Arc<Pages> {
        let uploads = router.fact::<Uploads>();
        let push = router.fact::<AppServer>();
        let settings = Settings::of(router.config(), uploads.as_deref(), push.as_deref());
        Pages::new(settings, House(router.clone()))
    }
}

/// Asks the rooms of a house. What is switched off there knows nothing.
struct House(Arc<Router>);

impl House {
    fn service(&self) -> String {
        format!("{SERVICE}.{}", self.0.config().main_domain())
    }

    async fn list(&self) -> Result<Vec<PublicRoom>, Fault> {
        let Some(rooms) = self.0.fact::<Rooms>() else {
            return Ok(Vec::new());
        };
        let service = self.service();
        // Both are in memory: no room is loaded for the list.
        let listed = rooms.public(&service, &self.0).await?;
        let occupied = rooms.occupied(&service);
        let shown = listed.iter().filter_map(|room| {
            Some(PublicRoom {
                name: room.jid.local()?.to_owned(),
                title: room.name.to_string(),
                about: room.description.to_string(),
                occupants: Some(occupied.get(&room.jid).copied().unwrap_or(0)),
                admits_guests: room.admits_guests,
                keeping: room.keeping,
            })
        });
        let mut shown: Vec<PublicRoom> = shown.collect();
        // Where people are comes first; of the others, by address.
        shown.sort_by_key(|room| std::cmp::Reverse(room.occupants));
        shown.truncate(ROOMS_MAX);
        Ok(shown)
    }

    async fn find(&self, name: &str) -> Result<Option<PublicRoom>, Fault> {
        let (Some(rooms), Some(cx)) = (self.0.fact::<Rooms>(), self.0.cx()) else {
            return Ok(None);
        };
        let Ok(jid) = BareJid::new(Some(name), &self.service()) else {
            return Ok(None);
        };
        if rooms.is_locked(&jid, &cx).await? {
            return Ok(None);
        }
        let Some(view) = rooms.view(&jid, &cx).await?.filter(|view| view.is_public()) else {
            return Ok(None);
        };
        Ok(Some(PublicRoom {
            name: jid.local().unwrap_or(name).to_owned(),
            title: view.title().to_owned(),
            about: view.about().to_owned(),
            occupants: Some(rooms.occupants(&jid, &cx).await?.len()),
            admits_guests: view.admits_guests(),
            keeping: rooms.keeping(&view.config),
        }))
    }
}

impl House {
    async fn keeping(&self, room: &BareJid) -> Result<Option<Keeping>, Fault> {
        let (Some(rooms), Some(cx)) = (self.0.fact::<Rooms>(), self.0.cx()) else {
            return Ok(None);
        };
        let view = rooms.view(room, &cx).await?;
        Ok(view.map(|view| rooms.keeping(&view.config)))
    }

    async fn invited(&self, token: &str) -> Result<Option<Invitation>, Fault> {
        let Some(invites) = self.0.fact::<Invites>() else {
            return Ok(None);
        };
        let found = invites.look_up(&self.0, token).await;
        let Some(found) = found.map_err(InviteError::into_fault)? else {
            return Ok(None);
        };
        let keeping = match &found.room {
            Some(room) => self.keeping(room).await?,
            None => None,
        };
        Ok(Some(Invitation {
            keeping,
            uri: invites.links(&found, token).uri,
            may_register: found.registers && invites.makes_accounts(),
            username: found
                .account
                .and_then(|account| Some(account.local()?.to_owned())),
            inviter: found.inviter.map(|inviter| inviter.to_string()),
            room: found.room.map(|room| room.to_string()),
        }))
    }
}

/// What went wrong is for the operator; whoever looks at the page learns that it did.
fn told<T>(result: Result<T, Fault>) -> Result<T, Unavailable> {
    result.map_err(|fault| {
        tracing::warn!(event = "page_failed", ?fault);
        Unavailable
    })
}

impl Guide for House {
    fn rooms(&self) -> BoxFuture<'_, Result<Vec<PublicRoom>, Unavailable>> {
        self.list().map(told).boxed()
    }

    fn room<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<PublicRoom>, Unavailable>> {
        self.find(name).map(told).boxed()
    }

    fn invitation<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Invitation>, Unavailable>> {
        self.invited(token).map(told).boxed()
    }
}
