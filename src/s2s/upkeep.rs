//! What is done now and then: taking up the messages that earlier processes left, showing other processes that this one
//! lives, and forgetting what is over.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use kim_core::error::Condition;
use kim_core::remote::{BEAT_EVERY, Outbound, Standing};
use kim_core::seal::SealError;

use super::hub::Federation;
use super::life::Life;
use super::pair::{Absent, DomainPair, Item, Pushed};

/// How often what is over is forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// Messages that are read at once when those of an earlier process are taken up.
const TAKEN_UP_MAX: u32 = 200;
/// The same where a stream waits for them.
const READ_MAX: usize = 64;
const READ_BYTES_MAX: usize = 256 * 1024;
/// Pause before what failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

impl Federation {
    // ——— what is kept ———

    /// Takes up the messages that processes left that are gone. None is refused for want of room: they were accepted. At the
    /// start to be called before anybody can send.
    pub async fn take_up_queue(&self) -> Result<(), SealError> {
        let (queue, mut count) = (self.router().outbound().clone(), 0_usize);
        loop {
            let page = queue.take_up(TAKEN_UP_MAX).await?;
            if page.is_empty() {
                break;
            }
            count += page.len();
            for outbound in page {
                match self.addresses(&outbound) {
                    Ok((from, to)) => self.take_back(outbound, from.domain(), to.domain()),
                    // Nobody is here yet who could take it, or the way there is closed for good.
                    Err(condition) => queue.failed(&outbound, condition).await,
                }
            }
        }
        if count > 0 {
            tracing::info!(event = "outbound_taken_up", messages = count);
        }
        Ok(())
    }

    fn take_back(&self, outbound: Outbound, local: &str, remote: &str) {
        let Some(pair) = self.pair_of(local, remote, usize::MAX) else {
            return;
        };
        if pair.leave(outbound, self.room()) == Pushed::NeedsCourier {
            self.send_courier(&pair);
        }
    }

    /// Shows other processes that this one lives, and takes up what those leave that do not. Runs as long as the server.
    pub async fn keep_queue(&self) {
        loop {
            tokio::time::sleep(BEAT_EVERY).await;
            let queue = self.router().outbound();
            match queue.beat().await {
                Ok(Standing::Holds) => {}
                Ok(Standing::Lost) => {
                    tracing::error!(
                        event = "queue_lost",
                        "this server stood still for too long; another one on its database sends what waited here"
                    );
                    self.forget_kept();
                }
                Err(error) => {
                    tracing::error!(event = "queue_not_held", %error);
                    continue;
                }
            }
            if let Err(error) = self.take_up_queue().await {
                tracing::error!(event = "queue_not_taken_up", %error);
            }
        }
    }

    /// What is kept is no longer this process's to send. What is still in its rows is taken up again.
    fn forget_kept(&self) {
        for pair in self.pairs() {
            drop(pair.give_up(Item::is_kept));
        }
    }

    /// Reads what a stream is to carry next and is in the database alone. Tells whether anything may be taken from the pair.
    pub(super) async fn fetch(&self, life: &Life, pair: &DomainPair) -> bool {
        let queue = self.router().outbound();
        if !queue.may_send() {
            self.come_back(life);
            return false;
        }
        let rows = pair.absent(life.id, READ_BYTES_MAX, READ_MAX);
        if rows.is_empty() {
            return true;
        }
        match queue.read(&rows).await {
            Ok(found) => {
                pair.fill(&rows, found);
                // The first of those that follow may be absent too.
                life.ready.notify_one();
                true
            }
            Err(error) => {
                tracing::error!(event = "queue_not_read", %error);
                self.come_back(life);
                false
            }
        }
    }

    /// Wakes a stream after a pause.
    fn come_back(&self, life: &Life) {
        let ready = life.ready.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RETRY_PAUSE).await;
            ready.notify_one();
        });
    }

    /// These cannot be delivered; their senders get the condition.
    pub(super) fn returned_absent(&self, absent: Vec<Absent>, condition: Condition) {
        let (Some(hub), false) = (self.itself(), absent.is_empty()) else {
            return;
        };
        tokio::spawn(async move {
            for some in absent.chunks(READ_MAX) {
                let rows: Vec<_> = some.iter().map(|absent| absent.row).collect();
                match hub.router().outbound().read(&rows).await {
                    Ok(found) => found
                        .into_iter()
                        .for_each(|outbound| hub.returned(outbound, condition)),
                    // They are there after the next start.
                    Err(error) => return tracing::error!(event = "queue_not_read", %error),
                }
            }
        });
    }

    // ——— what is over ———

    /// Forgets what is over, now and then.
    pub async fn keep_tidy(&self) {
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            let now = Instant::now();
            self.forget_old(now);
            let mut pairs = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
            for of_remote in pairs.values_mut() {
                // Nobody else has it, so nobody can push to it any more.
                of_remote.retain(|_, pair| Arc::strong_count(pair) > 1 || !pair.is_idle(now));
            }
            pairs.retain(|_, of_remote| !of_remote.is_empty());
            let count = pairs.values().map(HashMap::len).sum();
            self.pairs_count.store(count, Ordering::Relaxed);
        }
    }
}
