//! Lists that overtake each other on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64;
use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On, Stage};
use kim_core::module::{Entry, Module, Registrar, Spec};
use kim_core::wire::Element;
use sha1::{Digest, Sha1};

use super::*;
use crate::xep0060_pubsub::api::{Draft, NodeAudience, PubSub};

/// While one list is being told of, another is committed and told of before it, or the list is deleted: as two requests on two
/// nodes.
struct Overtaker<const DELETES: bool> {
    pubsub: Arc<PubSub>,
    left: AtomicUsize,
}

impl<const DELETES: bool> On<NodeAudience> for Overtaker<DELETES> {
    async fn on(&self, audience: &mut NodeAudience, cx: &mut Cx) -> Result<Flow, Fault> {
        if self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
        {
            let router = cx.router().clone();
            let mut other = router.cx().unwrap();
            let payload = Element::parse(&list(Protocol::Legacy, &[2])).unwrap();
            let drafts = vec![Draft::new("current", payload)];
            if DELETES {
                self.pubsub
                    .delete(&audience.owner, &audience.node, &mut other)
                    .await?;
            } else {
                self.pubsub
                    .publish(&audience.owner, &audience.node, drafts, &mut other)
                    .await?;
            }
            router.finish(other).await;
        }
        Ok(Flow::Next)
    }
}

struct Race<const DELETES: bool>;

impl<const DELETES: bool> Module for Race<DELETES> {
    type Config = NoSettings;
    const NAME: &'static str = "race";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0384", "", "")];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let overtaker = Overtaker::<DELETES> {
            pubsub: house.needed()?,
            left: AtomicUsize::new(1),
        };
        house.on::<NodeAudience>(Stage::Notify, overtaker);
        Ok(())
    }
}

/// Goes online with a client that wants device lists.
async fn interested(house: &House, jid: &str) -> Client {
    let mut client = house.online(jid).await;
    let feature = "eu.siacs.conversations.axolotl.devicelist+notify";
    let ver = BASE64.encode(&Sha1::digest(format!("client/pc//<{feature}<")));
    client
        .send(&format!(
            "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:test' ver='{ver}'/></presence>"
        ))
        .await;
    let question = everything(&mut client)
        .into_iter()
        .find(|stanza| stanza.starts_with("<iq "));
    if let Some(question) = question {
        let id = question
            .split(" id='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        client
            .send(&format!(
                "<iq id='{id}' to='localhost' type='result'><query xmlns='http://jabber.org/protocol/disco#info' \
                 node='urn:test#{ver}'><identity category='client' type='pc'/><feature var='{feature}'/></query></iq>"
            ))
            .await;
    }
    everything(&mut client);
    client
}

/// The devices of the lists that a client was notified of, in order.
fn lists(client: &mut Client) -> Vec<String> {
    let told = everything(client)
        .into_iter()
        .filter(|stanza| stanza.contains("pubsub#event"));
    told.map(|stanza| {
        let ids = stanza
            .split("<device id='")
            .skip(1)
            .map(|rest| rest.split('\'').next().unwrap().to_owned());
        ids.collect::<Vec<_>>().join(" ")
    })
    .collect()
}

async fn racing<const DELETES: bool>() -> House {
    let race = Entry::of::<Race<DELETES>>();
    let modules: Vec<Entry> = crate::MODULES.iter().copied().chain([race]).collect();
    House::new(&modules).await
}

#[tokio::test]
async fn what_everybody_hears_last_is_the_list_that_is_there() {
    // XEP-0384 §5.3.1: the device that was overwritten finds out by this, and announces itself again.
    let house = racing::<false>().await;
    let mut phone = interested(&house, "alice@localhost/phone").await;
    let mut tablet = interested(&house, "alice@localhost/tablet").await;
    phone
        .send(&publish(
            Protocol::Legacy.list_node(),
            "current",
            &list(Protocol::Legacy, &[1]),
            &[],
        ))
        .await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    // The one on the way was told of after the one that replaced it; so the latter is told of again.
    for device in [&mut phone, &mut tablet] {
        let heard = lists(device);
        assert_eq!(heard.last().map(String::as_str), Some("2"), "{heard:?}");
        assert!(heard.contains(&"1".to_owned()), "{heard:?}");
    }
}

#[tokio::test]
async fn that_a_list_is_deleted_is_heard_last_too() {
    let house = racing::<true>().await;
    let mut phone = interested(&house, "alice@localhost/phone").await;
    let mut tablet = interested(&house, "alice@localhost/tablet").await;
    phone
        .send(&publish(
            Protocol::Legacy.list_node(),
            "current",
            &list(Protocol::Legacy, &[1]),
            &[],
        ))
        .await;
    for device in [&mut phone, &mut tablet] {
        // The deletion, the list that was on its way, and the deletion again.
        let mut heard = Vec::new();
        while heard.len() < 3 {
            let told = everything(device).into_iter();
            heard.extend(told.filter(|stanza| stanza.contains("pubsub#event")));
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let is_deletion: Vec<bool> = heard
            .iter()
            .map(|stanza| stanza.contains("<delete node="))
            .collect();
        assert_eq!(is_deletion, [true, false, true], "{heard:?}");
    }
}

#[tokio::test]
async fn without_a_race_each_list_is_told_of_once() {
    let house = house("").await;
    let mut phone = interested(&house, "alice@localhost/phone").await;
    let mut tablet = interested(&house, "alice@localhost/tablet").await;
    for ids in [&[1][..], &[2], &[1, 2]] {
        phone
            .send(&publish(
                Protocol::Legacy.list_node(),
                "current",
                &list(Protocol::Legacy, ids),
                &[],
            ))
            .await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    for device in [&mut phone, &mut tablet] {
        assert_eq!(lists(device), ["1", "2", "1 2"]);
    }
}
