//! What the rest of the program may know and do: subscribe for an account, list and delete, and hand in the way to the network.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kim_core::clock::Timestamp;
use kim_core::db::BoxFuture;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::router::Router;
use tokio::sync::Semaphore;

use super::subscriptions::PushSubscriptions;
pub use super::wire::{Endpoint, PushSubscription, PushWish, Wire, WishRefused};
use super::{PushServiceConfig, SERVICE};
use crate::xep0357_push::api::{PushContent, PushRegistrations};

/// How soon a notification has to be there (RFC 8030 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody calls: now or never.
    High,
    /// A message.
    Normal,
    /// Nothing new: what was told before is settled, because it was read elsewhere.
    Low,
}

/// What a notification says, beside that there is something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Messages that wait.
    pub messages: Option<u32>,
    /// Contact requests that wait.
    pub requests: Option<u32>,
    /// Who wrote last, if the client asked for it and the policy allows.
    pub from: Option<String>,
    /// What they wrote, likewise.
    pub text: Option<String>,
}

impl Told {
    /// Without who and what, for push services that could read it.
    pub fn counts(&self) -> Told {
        Told {
            messages: self.messages,
            requests: self.requests,
            ..Told::default()
        }
    }
}

/// A notification for the network.
pub struct Wake<'a> {
    /// Where it goes.
    pub endpoint: &'a Endpoint,
    /// How soon.
    pub urgency: Urgency,
    /// What it says, if it is to say something.
    pub told: Option<&'a Told>,
}

/// What became of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The push service took it.
    Taken,
    /// The subscription is over (404, 410), or was made for another server (401, 403).
    Over(u16),
    /// The push service does not want such a notification, now or later.
    Useless(u16),
    /// Later, perhaps after so long.
    NotNow(Option<Duration>),
    /// There was no answer; the word says why.
    Unreachable(&'static str),
}

impl Woken {
    /// Why nobody was woken, for people; `None` if somebody was.
    pub fn failure(&self) -> Option<String> {
        match self {
            Woken::Taken => None,
            Woken::Over(status) => Some(format!("the subscription is over (HTTP status {status})")),
            Woken::Useless(status) => Some(format!("the push service refused it (HTTP status {status})")),
            Woken::NotNow(_) => Some("the push service asked to wait".to_owned()),
            Woken::Unreachable(why) => Some(format!("the push service could not be reached: {why}")),
        }
    }
}

/// The way to push services.
pub trait PushNetwork: Send + Sync + 'static {
    /// Judges where a client wants to be woken. What this server cannot serve is refused.
    fn accept(&self, wish: &PushWish<'_>) -> Result<Endpoint, WishRefused>;

    /// The key for which browsers subscribe (`applicationServerKey`, RFC 8292 §3.2).
    fn public_key(&self) -> String;

    /// The host of the push service, to be shown; `None` if this server does not serve it any more.
    fn host(&self, endpoint: &Endpoint) -> Option<String>;

    /// Sends a notification. Comes back within [`AppServer::answer_within`].
    fn wake<'a>(&'a self, wake: Wake<'a>) -> BoxFuture<'a, Woken>;
}

/// The app server inside. A fact of the house.
pub struct AppServer {
    pub(super) subscriptions: PushSubscriptions,
    config: PushServiceConfig,
    /// Whose data key seals the keys of this server.
    owner: String,
    registrations: Arc<PushRegistrations>,
    network: OnceLock<Arc<dyn PushNetwork>>,
    pub(super) underway: Arc<Semaphore>,
}

impl AppServer {
    pub(super) fn new(
        config: PushServiceConfig,
        subscriptions: PushSubscriptions,
        owner: String,
        registrations: Arc<PushRegistrations>,
    ) -> AppServer {
        AppServer {
            underway: Arc::new(Semaphore::new(config.underway_max)),
            subscriptions,
            config,
            owner,
            registrations,
            network: OnceLock::new(),
        }
    }

    /// Hands in the way to the network. Before that, and without it, nobody is reached.
    pub fn connect(&self, network: Arc<dyn PushNetwork>) {
        let _ = self.network.set(network);
    }

    /// The way to the network, once it was handed in.
    pub fn network(&self) -> Option<&Arc<dyn PushNetwork>> {
        self.network.get()
    }

    /// The address of the service, for accounts of the main domain.
    pub fn address(&self) -> &str {
        &self.owner
    }

    /// How long a push service may take.
    pub fn answer_within(&self) -> Duration {
        Duration::from_secs(self.config.answer_seconds)
    }

    /// Whether push services may have addresses that are not of the whole internet.
    pub fn allows_private_addresses(&self) -> bool {
        self.config.private_addresses
    }

    /// The key of this name with which this server shows push services who it is. `new` becomes it if there is none yet.
    pub async fn identity(&self, name: &'static str, new: &[u8]) -> Result<Vec<u8>, Fault> {
        self.subscriptions.identity(&self.owner, name, new).await
    }

    /// The address that clients of an account enable (XEP-0357 §5).
    pub fn service_of(&self, account: &BareJid) -> Result<Jid, Fault> {
        let service = format!("{SERVICE}.{}", account.domain());
        Jid::parse(&service).map_err(|error| Fault::Us(Box::new(error)))
    }

    /// Keeps where a client of an account is woken, and tells the node and the service that it has to enable.
    pub(super) async fn register(
        &self,
        account: &BareJid,
        endpoint: &Endpoint,
        resource: &str,
        now: Timestamp,
    ) -> Result<(i64, Jid), Fault> {
        let tag = self.subscriptions.put(account, endpoint, resource, now).await?;
        Ok((tag, self.service_of(account)?))
    }

    /// Subscribes a client of an account: `resource` is that of its session, or empty. From then on it is woken whenever that
    /// session cannot be reached. Tells the subscription's tag.
    pub async fn subscribe(
        &self,
        account: &BareJid,
        endpoint: &Endpoint,
        resource: &str,
        wanted: PushContent,
        router: &Router,
    ) -> Result<i64, Fault> {
        let now = router.clock().now();
        let (tag, service) = self.register(account, endpoint, resource, now).await?;
        let enabled = self
            .registrations
            .enable(account, service, tag.to_string(), resource, wanted, router)
            .await;
        if let Err(refused) = enabled {
            // Nobody would ever be woken through it.
            self.subscriptions.store.remove(account, tag).await?;
            return Err(refused);
        }
        Ok(tag)
    }

    /// Those of an account, oldest first.
    pub async fn subscriptions(&self, account: &BareJid) -> Result<Vec<PushSubscription>, Fault> {
        self.subscriptions.of(account).await
    }

    /// Ends a subscription by the node that it is published to; `false` if the account has none of that name.
    pub async fn unsubscribe(&self, account: &BareJid, node: &str, router: &Router) -> Result<bool, Fault> {
        let Ok(tag) = node.parse::<i64>() else {
            return Ok(false);
        };
        let service = self.service_of(account)?;
        self.registrations
            .disable(account, &service, &tag.to_string(), router)
            .await?;
        Ok(self.subscriptions.store.remove(account, tag).await?)
    }
}
