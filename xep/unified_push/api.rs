//! What the web's door may do: hand on what was posted to an address.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use kim_core::clock::Timestamp;
use kim_core::config::WebOrigin;
use kim_core::error::Fault;
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Rate, Rates};
use kim_core::router::{NoAnswer, Router};
use kim_core::seal::Seals;
use kim_core::stanza::IqType;
use kim_core::wire::Writer;
use tokio::sync::Semaphore;

use super::endpoint::AppEndpoint;
use super::{NS, SERVICE, UnifiedPushConfig};

/// Bytes of a message (RFC 8030 §7.2: at least so many are taken).
pub const MESSAGE_BYTES_MAX: usize = 4_096;
/// The path of the addresses, in front of what tells them apart.
pub const PUSH_PATH: &str = "/push/";
/// How long a client may take for a message.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);
const DAY_MICROSECONDS: i64 = 86_400_000_000;
/// Accounts whose pace is remembered.
const ACCOUNTS_MAX: usize = 100_000;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The client has it, or it waits in the client's session.
    Taken,
    /// The address was never one, has expired, or its app is gone.
    Gone,
    /// The client is not connected.
    Away,
    /// Too many messages: try again in so many seconds.
    TooMany(u32),
}

/// The push server. A fact of the house.
pub struct PushProvider {
    config: UnifiedPushConfig,
    origin: WebOrigin,
    /// Whose data key seals: the service at the main domain.
    owner: String,
    seals: Seals,
    paces: Rates<BareJid>,
    underway: Semaphore,
}

impl PushProvider {
    pub(super) fn new(
        config: UnifiedPushConfig,
        origin: WebOrigin,
        owner: String,
        seals: &Seals,
    ) -> PushProvider {
        PushProvider {
            underway: Semaphore::new(config.underway_max),
            config,
            origin,
            owner,
            seals: seals.clone(),
            paces: Rates::new(ACCOUNTS_MAX),
        }
    }

    pub(super) fn expiry(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0 + i64::from(self.config.address_days) * DAY_MICROSECONDS)
    }

    /// The address to post to.
    pub(super) async fn address(&self, endpoint: &AppEndpoint) -> Result<String, Fault> {
        let key = self.seals.key(&self.owner).await?;
        Ok(format!("{}{PUSH_PATH}{}", self.origin, endpoint.seal(&key)))
    }

    async fn open(&self, token: &str, now: Timestamp) -> Result<Option<AppEndpoint>, Fault> {
        let Some(key) = self.seals.known_key(&self.owner).await? else {
            return Ok(None);
        };
        let endpoint = AppEndpoint::open(&key, token);
        Ok(endpoint.filter(|endpoint| endpoint.expires > now))
    }

    /// Hands a message to the client that registered an address; `token` is its last part.
    pub async fn push(&self, token: &str, message: &[u8], router: &Arc<Router>) -> Result<Pushed, Fault> {
        let now = router.clock().now();
        let Some(endpoint) = self.open(token, now).await? else {
            return Ok(Pushed::Gone);
        };
        let client = &endpoint.client;
        let account = client.bare();
        let per_minute = self.config.messages_per_minute as f32;
        let rate = Rate {
            per_second: per_minute / 60.0,
            burst: per_minute,
        };
        if let Err(seconds) = self.paces.try_take(&account, rate, now) {
            return Ok(Pushed::TooMany(seconds));
        }
        if router.sessions().get(client).is_none() {
            let exists = router.accounts().exists(&account).await?;
            return Ok(if exists { Pushed::Away } else { Pushed::Gone });
        }
        let Ok(_place) = self.underway.try_acquire() else {
            return Ok(Pushed::TooMany(1));
        };
        let payload = written(&endpoint, message);
        // Clients take it only from whom they have registered with.
        let service = service_of(client)?;
        let asked = router.ask(IqType::Set, &service, client, &payload, TAKEN_WITHIN);
        Ok(match asked.await {
            Ok(_) => Pushed::Taken,
            Err(NoAnswer::Refused(condition)) => match condition.as_str() {
                "item-not-found" | "feature-not-implemented" => Pushed::Gone,
                _ => Pushed::Away,
            },
            // It is in the session's queue, and is sent again with the rest if the connection was lost.
            Err(NoAnswer::Late) if router.sessions().get(client).is_some() => Pushed::Taken,
            Err(NoAnswer::Late) => Pushed::Away,
            Err(NoAnswer::TooMany) => Pushed::TooMany(1),
        })
    }
}

fn written(endpoint: &AppEndpoint, message: &[u8]) -> String {
    let mut xml = Writer::new();
    xml.start("push", NS)
        .attr("application", &BASE64.encode(&endpoint.application))
        .attr("instance", &BASE64.encode(&endpoint.instance))
        .text(&BASE64.encode(message));
    xml.end();
    xml.finish_string()
}

/// The service with which a client registers its apps.
pub(super) fn service_of(client: &Jid) -> Result<Jid, Fault> {
    let service = format!("{SERVICE}.{}", client.domain());
    Jid::parse(&service).map_err(|error| Fault::Us(Box::new(error)))
}
