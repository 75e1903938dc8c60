//! The block lists of others: subscribed to and fetched from this server's main domain, kept up to date by notifications, and
//! fetched again at intervals, because notifications that went astray are not sent again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::Entering;
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::router::{NoAnswer, Router};
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::{El, Writer};
use tokio::sync::Notify;

use super::rules::{BlockRules, RealTimeList, sum_of};
use super::store::Sum;
use crate::xep0059_rsm::api::NS as RSM;
use crate::xep0060_pubsub::api::{EVENT, PUBSUB};

/// Items asked for in one page.
const PAGE_ITEMS: usize = 200;
/// Pages of one fetch: a service that gives an item at a time does not keep this server busy for ever.
const PAGES_MAX: usize = 2_000;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// After a fetch that failed, and between two fetches at least.
const RETRY: Duration = Duration::from_secs(300);
/// Changes that are remembered while a list is being fetched.
const HELD_MAX: usize = 10_000;

/// What a notification changes.
enum FeedChange {
    Added(Sum),
    Removed(Sum),
}

#[derive(Default)]
struct FeedState {
    /// The changes since the fetch began that is under way.
    held: Option<Vec<FeedChange>>,
    /// Whether the last fetch found nothing although there is a list.
    was_empty: bool,
}

/// The subscriptions.
pub(super) struct Feeds {
    rules: Arc<BlockRules>,
    subscriber: BareJid,
    interval: Duration,
    items_max: usize,
    states: Vec<Mutex<FeedState>>,
    soon: Notify,
}

impl Feeds {
    pub fn new(rules: Arc<BlockRules>, subscriber: BareJid, interval: Duration, items_max: usize) -> Feeds {
        Feeds {
            states: rules.lists.iter().map(|_| Mutex::default()).collect(),
            rules,
            subscriber,
            interval,
            items_max,
            soon: Notify::new(),
        }
    }

    fn state<T>(&self, place: usize, change: impl FnOnce(&mut FeedState) -> T) -> Option<T> {
        let state = self.states.get(place)?;
        Some(change(&mut state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Fetches all lists now and then, for as long as the server runs.
    pub async fn keep(&self, router: &Router) {
        if self.rules.lists.is_empty() {
            return;
        }
        loop {
            let pause = match self.refresh(router).await {
                true => self.interval,
                false => RETRY.min(self.interval),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.soon.notified() => tokio::time::sleep(RETRY.min(self.interval)).await,
            }
        }
    }

    /// Subscribes to all lists and fetches them. `false` if one could not be fetched: what was known of it stays in force.
    pub async fn refresh(&self, router: &Router) -> bool {
        let mut is_whole = true;
        for (place, list) in self.rules.lists.iter().enumerate() {
            self.state(place, |state| state.held = Some(Vec::new()));
            let outcome = self.refresh_one(place, list, router).await;
            let held = self.state(place, |state| state.held.take()).flatten();
            if let Err(why) = outcome {
                tracing::warn!(event = "block_list_not_fetched", list = &*list.uri, %why, known = list.len());
                is_whole = false;
            }
            // What was told while the fetch was under way is newer.
            if let Err(error) = self.apply(list, &held.unwrap_or_default()).await {
                tracing::error!(event = "block_list_not_stored", list = &*list.uri, %error);
                is_whole = false;
            }
        }
        is_whole
    }

    async fn refresh_one(&self, place: usize, list: &RealTimeList, router: &Router) -> Result<(), String> {
        let service = list.source.address().ok_or("the service has no address")?;
        // A service may let everybody read and nobody subscribe; then the list is as new as the last fetch.
        if let Err(why) = self.subscribe(list, &service, router).await {
            tracing::warn!(event = "block_list_not_subscribed", list = &*list.uri, %why);
        }
        let now = self
            .fetch(list, &service, router)
            .await
            .map_err(|why| why.to_string())?;
        self.rules.load().await.map_err(|error| error.to_string())?;
        let known = list.len();
        if now.is_empty()
            && known > 0
            && self.state(place, |state| !std::mem::replace(&mut state.was_empty, true)) == Some(true)
        {
            tracing::warn!(
                event = "block_list_emptied",
                list = &*list.uri,
                known,
                "the source has no items any more; the known ones stay in force until the next fetch finds it empty too"
            );
            self.soon.notify_one();
            return Ok(());
        }
        self.state(place, |state| state.was_empty = false);
        let replaced = self.rules.replace_list(list, &now).await;
        match replaced.map_err(|error| error.to_string())? {
            true => tracing::info!(event = "block_list_fetched", list = &*list.uri, items = now.len()),
            false => self.tell_full(list),
        }
        Ok(())
    }

    fn tell_full(&self, list: &RealTimeList) {
        tracing::warn!(
            event = "block_list_too_long",
            list = &*list.uri,
            items_max = self.items_max,
            "what does not fit is left out; raise [xep0191_server] list_items_max or drop the list"
        );
    }

    async fn subscribe(&self, list: &RealTimeList, service: &Jid, router: &Router) -> Result<(), NoAnswer> {
        let mut xml = Writer::new();
        xml.start("pubsub", PUBSUB).start("subscribe", PUBSUB);
        xml.attr("node", &list.source.node)
            .attr("jid", self.subscriber.as_str());
        xml.end().end();
        let (from, payload) = (self.subscriber.clone().into(), xml.finish_string());
        let asked = router.ask(IqType::Set, &from, service, &payload, ANSWER);
        asked.await.map(drop)
    }

    /// All items, a page after the other (XEP-0060 §6.5.4). What a service gives without pages is all there is.
    async fn fetch(
        &self,
        list: &RealTimeList,
        service: &Jid,
        router: &Router,
    ) -> Result<HashSet<Sum>, NoAnswer> {
        let mut sums = HashSet::new();
        let mut after: Option<String> = None;
        let (from, page_items) = (self.subscriber.clone().into(), PAGE_ITEMS.to_string());
        for _ in 0..PAGES_MAX {
            let mut xml = Writer::new();
            xml.start("pubsub", PUBSUB);
            xml.start("items", PUBSUB).attr("node", &list.source.node).end();
            xml.start("set", RSM);
            xml.start("max", RSM).text(&page_items).end();
            if let Some(after) = &after {
                xml.start("after", RSM).text(after).end();
            }
            xml.end().end();
            let payload = xml.finish_string();
            let page = router.ask(IqType::Get, &from, service, &payload, ANSWER).await?;
            let Some(pubsub) = page.child("pubsub", PUBSUB) else {
                break;
            };
            let items = pubsub.child("items", PUBSUB);
            let known = sums.len();
            for item in items.iter().flat_map(|items| items.children()) {
                sums.extend(item.attr("id").and_then(|id| sum_named(&id)));
                if sums.len() > self.items_max {
                    // One too many says that something was left out.
                    return Ok(sums);
                }
            }
            let set = pubsub.child("set", RSM);
            let word = |name| {
                set.and_then(|set| set.child(name, RSM))
                    .map(|child| child.text().into_owned())
            };
            let is_all = word("count").and_then(|count| count.trim().parse().ok()) == Some(sums.len());
            after = word("last").filter(|last| !last.is_empty());
            if after.is_none() || is_all || sums.len() == known {
                break;
            }
        }
        Ok(sums)
    }

    async fn apply(&self, list: &RealTimeList, changes: &[FeedChange]) -> Result<(), Fault> {
        // The last word about a sum is the one that counts.
        let (mut added, mut removed) = (HashSet::new(), HashSet::new());
        for change in changes {
            match change {
                FeedChange::Added(sum) => {
                    removed.remove(sum);
                    added.insert(*sum);
                }
                FeedChange::Removed(sum) => {
                    added.remove(sum);
                    removed.insert(*sum);
                }
            }
        }
        let (added, removed): (Vec<Sum>, Vec<Sum>) =
            (added.into_iter().collect(), removed.into_iter().collect());
        if !added.is_empty() || !removed.is_empty() {
            let is_whole = self.rules.change_list(list, &added, &removed).await?;
            if !is_whole {
                self.tell_full(list);
            }
        }
        Ok(())
    }

    /// The list that a message tells about: one from the service itself, about the node, to the subscriber.
    fn told<'a>(&self, message: &'a Stanza) -> Option<(usize, &RealTimeList, El<'a>)> {
        let is_news = matches!(message.kind, Kind::Message(_)) && !message.kind.is_error();
        let (from, to) = (message.from.as_ref()?, message.to.as_ref()?);
        if !is_news || to.as_str() != self.subscriber.as_str() {
            return None;
        }
        let told = message.child("event", EVENT)?.children().next()?;
        let node = told.attr("node")?;
        let (place, list) = self
            .rules
            .lists
            .iter()
            .enumerate()
            .find(|(_, list)| from.as_str() == &*list.source.service && list.source.node == *node)?;
        Some((place, list, told))
    }
}

/// Hears what the services publish and retract.
pub(super) struct Listen(pub Arc<Feeds>);

impl On<Entering> for Listen {
    async fn on(&self, entering: &mut Entering, _: &mut Cx) -> Result<Flow, Fault> {
        let feeds = &self.0;
        let Some((place, list, told)) = feeds.told(&entering.stanza) else {
            return Ok(Flow::Next);
        };
        if !told.is("items", EVENT) {
            tracing::warn!(event = "block_list_reset", list = &*list.uri, what = told.name());
            feeds.soon.notify_one();
            return Ok(Flow::Done);
        }
        let changes: Vec<FeedChange> = told
            .children()
            .filter_map(|child| {
                let sum = sum_named(&child.attr("id")?)?;
                match child.name() {
                    "item" => Some(FeedChange::Added(sum)),
                    "retract" => Some(FeedChange::Removed(sum)),
                    _ => None,
                }
            })
            .collect();
        let unheld = feeds.state(place, |state| match &mut state.held {
            Some(held) if held.len() + changes.len() <= HELD_MAX => {
                held.extend(changes);
                None
            }
            _ => Some(changes),
        });
        if let Some(changes) = unheld.flatten() {
            feeds.apply(list, &changes).await?;
        }
        Ok(Flow::Done)
    }
}

/// What the id of an item stands for: a SHA-256 in hexadecimal, or an address itself, which some lists of domains have.
fn sum_named(id: &str) -> Option<Sum> {
    if let Ok(bytes) = HEXLOWER_PERMISSIVE.decode(id.as_bytes()) {
        return Sum::try_from(&bytes[..]).ok();
    }
    let address = BareJid::parse(id).ok().filter(|_| id.contains('.'))?;
    Some(sum_of(address.as_str()))
}
