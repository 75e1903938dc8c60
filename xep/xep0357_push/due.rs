//! What is due: notifications that no app server has answered in time, those that are tried again, and sessions that do not
//! acknowledge. One task looks once a second while there is something to look after.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::router::Router;

use super::dispatch::{Dispatch, Sending, Underway};
use super::figures::Failure;
use super::state::{after, lock};
use super::store::DueRow;

/// Rows that are taken up at once.
const PAGE_ROWS: usize = 100;
/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_secs(1);

impl Dispatch {
    /// An earlier process may have left something.
    pub fn take_up(self: &Arc<Self>, router: &Arc<Router>) {
        self.next_due.store(0, Ordering::Release);
        self.keep_ticking(router);
    }

    /// Sees to it that somebody looks at the clock while something is under way, due or watched.
    pub fn keep_ticking(self: &Arc<Self>, router: &Arc<Router>) {
        if !self.ticking.swap(true, Ordering::AcqRel) {
            let (dispatch, router) = (Arc::downgrade(self), Arc::downgrade(router));
            tokio::spawn(run(dispatch, router));
        }
    }

    fn is_idle(&self) -> bool {
        self.next_due.load(Ordering::Acquire) == i64::MAX
            && lock(&self.underway).is_empty()
            && lock(&self.watched).is_empty()
    }

    /// Does what is due. Whoever calls it while another does waits for that one.
    pub async fn tick(self: &Arc<Self>, router: &Arc<Router>) -> Result<(), Fault> {
        let _turn = self.turn.lock().await;
        let now = router.clock().now();
        self.look_after_watched(router, now).await?;
        let late: Vec<Underway> = {
            let mut underway = lock(&self.underway);
            let late = underway.extract_if(|_, sent| sent.deadline <= now);
            let late = late.map(|(_, sent)| sent).collect();
            self.count(&underway);
            late
        };
        for sent in late {
            self.again(sent, Failure::Timeout, router).await?;
        }
        if self.next_due.load(Ordering::Acquire) > now.0 {
            return Ok(());
        }
        self.next_due.store(i64::MAX, Ordering::Release);
        let rows = self.registrations.store.next(PAGE_ROWS).await;
        // Should the table not answer, it is asked again.
        let rows = rows.inspect_err(|_| self.next_due.store(0, Ordering::Release))?;
        let Some(mut cx) = router.cx() else { return Ok(()) };
        for row in rows {
            if row.due_at > now {
                self.next_due.fetch_min(row.due_at.0, Ordering::AcqRel);
                break;
            }
            // Those behind a full page are looked at next time.
            self.next_due.fetch_min(after(now, 1).0, Ordering::AcqRel);
            self.send_due(row, &mut cx).await?;
        }
        router.finish(cx).await;
        Ok(())
    }

    async fn send_due(self: &Arc<Self>, row: DueRow, cx: &mut Cx) -> Result<(), Fault> {
        let registration = self.registrations.get(&row.account, row.tag).await?;
        let Some(registration) = registration else {
            return Ok(());
        };
        let router = cx.router().clone();
        let place = (row.account, row.tag);
        if self.device(&place.0, &registration, &router).await.is_awake() {
            self.owes_nothing(&place);
            drop(self.registrations.store.settled(&place.0, place.1));
            return Ok(());
        }
        let mut sending = Sending::new(self.summary(&place, &registration, None, &router), false);
        sending.tries = row.tries;
        self.publish(place, &registration, sending, cx);
        Ok(())
    }
}

/// Looks once a second until there is nothing left to look after.
async fn run(dispatch: Weak<Dispatch>, router: Weak<Router>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let (Some(dispatch), Some(router)) = (dispatch.upgrade(), router.upgrade()) else {
            return;
        };
        match dispatch.tick(&router).await {
            Ok(()) => {}
            // The next process goes on.
            Err(_) if router.is_stopping() => return,
            Err(fault) => tracing::error!(event = "push_stuck", %fault),
        }
        if dispatch.is_idle() {
            dispatch.ticking.store(false, Ordering::Release);
            // What came between the two finds this task or starts another.
            if dispatch.is_idle() || dispatch.ticking.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}
