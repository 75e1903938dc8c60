//! What browsers and programs have subscribed, sealed with their account's key.

use kim_core::clock::Timestamp;
use kim_core::db::DbError;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::seal::{Key, Seals};

use super::store::{PushSubscriptionRow, SubscriptionStore};
use super::wire::{Endpoint, PushSubscription, Wire};

/// Between the parts of a sealed subscription; no part can hold it.
const SEPARATOR: u8 = 0;
/// What the last part begins with: which service it is for. A public key begins with 4 instead.
const FCM: u8 = b'f';
const APNS: u8 = b'a';

/// All accounts' subscriptions.
pub(super) struct PushSubscriptions {
    pub store: SubscriptionStore,
    seals: Seals,
    subscriptions_max: usize,
}

fn place<'a>(account: &'a BareJid, tag: &'a [u8; 8]) -> [&'a [u8]; 3] {
    [b"push subscription", account.as_str().as_bytes(), tag]
}

fn written(endpoint: &Endpoint, resource: &str) -> Vec<u8> {
    let wire = match &endpoint.wire {
        Wire::Plain => Vec::new(),
        // The first byte of a point that is not compressed is 4.
        Wire::Encrypted { p256dh, auth } => [&p256dh[..], auth].concat(),
        Wire::Fcm => vec![FCM],
        Wire::Apns { topic } => [&[APNS], topic.as_bytes()].concat(),
    };
    [
        endpoint.address.as_bytes(),
        &[SEPARATOR],
        resource.as_bytes(),
        &[SEPARATOR],
        &wire,
    ]
    .concat()
}

fn read(bytes: &[u8]) -> Option<(Endpoint, String)> {
    let mut parts = bytes.splitn(3, |byte| *byte == SEPARATOR);
    let mut text = || String::from_utf8(parts.next()?.to_vec()).ok();
    let (address, resource) = (text()?, text()?);
    let wire = match parts.next()? {
        [] => Wire::Plain,
        [FCM] => Wire::Fcm,
        [APNS, topic @ ..] => Wire::Apns {
            topic: String::from_utf8(topic.to_vec()).ok()?,
        },
        keys => {
            let (p256dh, auth) = keys.split_first_chunk()?;
            Wire::Encrypted {
                p256dh: *p256dh,
                auth: auth.try_into().ok()?,
            }
        }
    };
    Some((Endpoint { address, wire }, resource))
}

impl PushSubscriptions {
    pub fn new(store: SubscriptionStore, seals: &Seals, subscriptions_max: usize) -> PushSubscriptions {
        PushSubscriptions {
            store,
            seals: seals.clone(),
            subscriptions_max,
        }
    }

    fn open(&self, key: &Key, account: &BareJid, row: PushSubscriptionRow) -> Option<PushSubscription> {
        let opened = key
            .open(&place(account, &row.tag.to_be_bytes()), &row.sealed)
            .ok();
        let Some((endpoint, resource)) = opened.and_then(|bytes| read(&bytes)) else {
            // It must not keep the others from being shown.
            tracing::error!(event = "push_subscription_unreadable", %account);
            return None;
        };
        Some(PushSubscription {
            tag: row.tag,
            endpoint,
            resource,
            since: row.since,
            taken_at: row.taken_at,
            failed: row.failed_at.zip(row.failure),
        })
    }

    /// Those of an account, oldest first.
    pub async fn of(&self, account: &BareJid) -> Result<Vec<PushSubscription>, Fault> {
        let rows = self.store.of(account).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.seals.key(account.as_str()).await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| self.open(&key, account, row))
            .collect())
    }

    /// One of them.
    pub async fn get(&self, account: &BareJid, tag: i64) -> Result<Option<PushSubscription>, Fault> {
        let Some(row) = self.store.get(account, tag).await? else {
            return Ok(None);
        };
        let key = self.seals.key(account.as_str()).await?;
        Ok(self.open(&key, account, row))
    }

    /// Adds a subscription or replaces the one with the same address; tells its tag.
    pub async fn put(
        &self,
        account: &BareJid,
        endpoint: &Endpoint,
        resource: &str,
        now: Timestamp,
    ) -> Result<i64, Fault> {
        let key = self.seals.key(account.as_str()).await?;
        let tag = key.tag("push subscription", &[endpoint.address.as_bytes()]);
        let sealed = key.seal(&place(account, &tag.to_be_bytes()), &written(endpoint, resource));
        match self
            .store
            .put(account, tag, sealed, now, self.subscriptions_max)
            .await
        {
            Ok(()) => Ok(tag),
            Err(DbError::Refused(_)) => Err(StanzaError::new(Condition::ResourceConstraint)
                .text(format!(
                    "this account has {} push subscriptions already; delete one of them first",
                    self.subscriptions_max
                ))
                .into()),
            Err(error) => Err(error.into()),
        }
    }

    /// The key with which this server shows push services who it is; `new` becomes it if there is none yet.
    pub async fn identity(&self, owner: &str, name: &'static str, new: &[u8]) -> Result<Vec<u8>, Fault> {
        let aad: [&[u8]; 2] = [b"push identity", name.as_bytes()];
        let sealed = self.seals.seal(owner, &aad, new).await?;
        let stored = self.store.identity(name, sealed).await?;
        Ok(self.seals.open_sealed(owner, &aad, &stored).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let address = "https://push.example/a?b=c".to_owned();
        let mut p256dh = [0; 65];
        p256dh[0] = 4;
        let auth = [0; 16];
        let topic = "org.example.app".to_owned();
        for wire in [
            Wire::Plain,
            Wire::Encrypted { p256dh, auth },
            Wire::Fcm,
            Wire::Apns { topic },
        ] {
            let endpoint = Endpoint {
                address: address.clone(),
                wire,
            };
            let bytes = written(&endpoint, "kim-1");
            assert_eq!(read(&bytes), Some((endpoint.clone(), "kim-1".to_owned())));
            let mut short = bytes.clone();
            short.truncate(bytes.len() - 1);
            assert_ne!(read(&short), Some((endpoint, "kim-1".to_owned())));
        }
    }
}
