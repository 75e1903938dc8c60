//! The end of the wait during a wave: what came from unknown domains is judged again once it has been seen what else its
//! sender and its domain did. What is alone goes on its way; what is part of the wave stays in the request box.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use kim_core::clock::Timestamp;
use kim_core::error::Fault;
use kim_core::router::Router;
use kim_core::stanza::Kind;
use tokio::sync::Mutex;

use super::budgets::{Approach, Budgets, Origin};
use super::content::Sketcher;
use super::counters::{Became, Counters, SentByStranger};
use super::requests::{RequestBox, WaitingRequest};
use super::store::{DUE_AT_ONCE_MAX, Store, StoredRequest};

/// How often it is looked whether something is due.
const PAUSE: Duration = Duration::from_secs(2);
/// A time that everything is due by.
const ALWAYS: Timestamp = Timestamp(i64::MAX);

/// Judges again.
pub(super) struct Waves {
    pub store: Arc<Store>,
    pub requests: Arc<RequestBox>,
    pub budgets: Arc<Budgets>,
    pub sketcher: Arc<Sketcher>,
    pub counters: Arc<Counters>,
    /// One at a time, so that nothing is released twice. Says whether what an earlier process left was read.
    pub sweeping: Mutex<bool>,
    pub is_running: AtomicBool,
    pub is_resumed: AtomicBool,
}

impl Waves {
    /// Sees to it that what waits is judged when it is due.
    pub(super) fn start(self: &Arc<Self>, router: &Arc<Router>) {
        if self.is_running.swap(true, Ordering::AcqRel) {
            return;
        }
        let (waves, router) = (self.clone(), Arc::downgrade(router));
        tokio::spawn(async move { waves.run(&router).await });
    }

    /// The same for what an earlier process left, once.
    pub(super) fn resume(self: &Arc<Self>, router: &Arc<Router>) {
        if !self.is_resumed.swap(true, Ordering::AcqRel) {
            self.start(router);
        }
    }

    async fn run(&self, router: &Weak<Router>) {
        loop {
            tokio::time::sleep(PAUSE).await;
            let Some(router) = router.upgrade() else { return };
            match self.sweep_and_look(&router).await {
                Ok(true) => {}
                Ok(false) => {
                    self.is_running.store(false, Ordering::Release);
                    // Something may have come between the look and that.
                    let is_left = self.store.next_due().await.is_ok_and(|due| due.is_some());
                    if !is_left || self.is_running.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
                // The next process goes on.
                Err(_) if router.is_stopping() => return,
                Err(fault) => tracing::error!(event = "requests_unswept", ?fault),
            }
        }
    }

    async fn sweep_and_look(&self, router: &Arc<Router>) -> Result<bool, Fault> {
        self.sweep(router).await?;
        Ok(self.store.next_due().await?.is_some())
    }

    /// Judges what is due.
    pub(super) async fn sweep(&self, router: &Arc<Router>) -> Result<(), Fault> {
        let mut is_recalled = self.sweeping.lock().await;
        let now = router.clock().now();
        if !*is_recalled {
            // What an earlier process put off is evidence that this one has not seen.
            for row in self.store.due(ALWAYS).await? {
                if let Some(request) = self.requests.open(&row).await? {
                    self.budgets.recall(&self.approach(&request, &row), now);
                }
            }
            *is_recalled = true;
        }
        loop {
            let rows = self.store.due(now).await?;
            let is_last = rows.len() < usize::try_from(DUE_AT_ONCE_MAX).unwrap_or(usize::MAX);
            for row in rows {
                self.judge_again(router, &row, now).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn approach<'a>(&self, request: &'a WaitingRequest, row: &'a StoredRequest) -> Approach<'a> {
        Approach {
            sender: &request.sender,
            recipient: &row.account,
            origin: Origin::Unknown,
            sketch: self
                .sketcher
                .sketch(&request.stanza, &request.sender, &row.account),
        }
    }

    async fn judge_again(
        &self,
        router: &Arc<Router>,
        row: &StoredRequest,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let Some(mut cx) = router.cx() else { return Ok(()) };
        let request = self.requests.open(row).await?;
        let is_of_wave = request
            .as_ref()
            .is_none_or(|request| self.budgets.is_of_wave(&self.approach(request, row), now));
        if is_of_wave {
            let sent = match request.map(|request| request.stanza.kind) {
                Some(Kind::Presence(_)) => SentByStranger::Subscription,
                _ => SentByStranger::Message,
            };
            self.counters.count(sent, Became::Held);
            self.store.keep(&row.account, row.id).await?;
            self.requests.tell(&row.account, &mut cx).await?;
        } else {
            self.requests.release_one(row, &mut cx).await?;
        }
        router.finish(cx).await;
        Ok(())
    }
}
