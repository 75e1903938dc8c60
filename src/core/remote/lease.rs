//! Who may send what waits for other servers, where several processes use one database: a second server that was started by
//! mistake, or an old one that still drains while a new one runs.
//!
//! Every row of the queue has the number of the process that sends it. A process enters its number in a table and counts on
//! there every [`BEAT_EVERY`], once it is not alone in it. Others leave its rows alone while it does. They strike it out once
//! they have seen the same count for [`GONE_AFTER`] by their own clock, so clocks need not agree; then they take its rows. A
//! process that could not count on for [`HELD_FOR`], which is shorter, sends nothing more until it has: by then it may have
//! been struck out. If it was, it forgets its rows and goes on as a new process.
//!
//! A server that ends strikes itself out. One that was killed is struck out by the next one in the same data directory, at once:
//! its lock there is free, so it is dead.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::db::{Db, DbError};
use crate::random;

use super::{RowId, store};

/// How often a process shows that it lives.
pub const BEAT_EVERY: Duration = Duration::from_secs(10);
/// How long it may send what is kept without having done so.
pub(super) const HELD_FOR: Duration = Duration::from_secs(40);
/// How long others wait for it.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(60);

/// The lease of this process on its rows.
pub(super) struct Lease(Mutex<State>);

struct State {
    process: i64,
    /// Where it runs, once it is entered.
    home: Option<i64>,
    /// The last row that it stored under a number that was struck out.
    lost: RowId,
    /// The last time from which on it was certainly not struck out.
    renewed: Instant,
    /// What other processes had counted, and since when.
    seen: HashMap<i64, (i64, Instant)>,
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its rows are its own.
    Holds,
    /// It was struck out and goes on as a new one: what it has in memory is another's.
    Lost,
}

impl Lease {
    pub(super) fn new() -> Lease {
        Lease(Mutex::new(State {
            process: random_process(),
            home: None,
            lost: RowId(i64::MIN),
            renewed: Instant::now(),
            seen: HashMap::new(),
        }))
    }

    /// A poisoned lock only means that another task panicked between plain assignments.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn process(&self) -> i64 {
        self.lock().process
    }

    /// A row for the process: its id, and the number it belongs to.
    pub(super) fn row(&self, next: impl FnOnce() -> RowId) -> (RowId, i64) {
        let state = self.lock();
        (next(), state.process)
    }

    /// Whether a row was stored under a number that was struck out: then another process sends it.
    pub(super) fn is_lost(&self, row: RowId) -> bool {
        row <= self.lock().lost
    }

    /// Whether what is kept may be sent now.
    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.lock().is_held(now)
    }

    /// Enters the process.
    pub(super) async fn enter(&self, db: &Db, home: i64, now: Instant) -> Result<(), DbError> {
        store::enter(db, self.process(), home).await?;
        let mut state = self.lock();
        state.home = Some(home);
        state.renewed = now;
        Ok(())
    }

    /// Shows that the process lives. `last` is the last row that there is, for the case that it does not count as living.
    pub(super) async fn beat(
        &self,
        db: &Db,
        now: Instant,
        last: impl FnOnce() -> RowId,
    ) -> Result<Standing, DbError> {
        let (process, home) = {
            let state = self.lock();
            (state.process, state.home)
        };
        let Some(home) = home else {
            return Ok(Standing::Holds);
        };
        let beats = store::beats(db).await?;
        // Whoever is entered from now on waits long enough: a server that is alone need not write.
        let is_alone = matches!(&beats[..], [(only, _)] if *only == process);
        if is_alone || store::beat(db, process).await? {
            self.lock().renewed = now;
            return Ok(Standing::Holds);
        }
        let fresh = random_process();
        store::enter(db, fresh, home).await?;
        let mut state = self.lock();
        state.process = fresh;
        state.lost = last();
        state.renewed = now;
        Ok(Standing::Lost)
    }

    /// Strikes out processes that have not counted on for too long.
    pub(super) async fn strike_silent(&self, db: &Db, now: Instant) -> Result<(), DbError> {
        let beats = store::beats(db).await?;
        let silent: Vec<(i64, i64)> = {
            let mut state = self.lock();
            let own = state.process;
            let others = beats.into_iter().filter(|(process, _)| *process != own);
            let seen = std::mem::take(&mut state.seen);
            state.seen = others
                .map(|(process, beat)| match seen.get(&process) {
                    Some((known, since)) if *known == beat => (process, (beat, *since)),
                    _ => (process, (beat, now)),
                })
                .collect();
            let is_silent = |since: Instant| now.saturating_duration_since(since) >= GONE_AFTER;
            let silent = state.seen.iter().filter(|(_, (_, since))| is_silent(*since));
            silent.map(|(process, (beat, _))| (*process, *beat)).collect()
        };
        for (process, beat) in silent {
            if store::strike(db, process, beat).await? {
                tracing::warn!(
                    event = "process_gone",
                    process,
                    "another kIM server on this database is gone; its messages for other servers are sent from here"
                );
            }
        }
        Ok(())
    }

    /// Strikes out the process itself. It sends nothing more that is kept.
    pub(super) async fn leave(&self, db: &Db) -> Result<(), DbError> {
        let process = {
            let mut state = self.lock();
            state.lost = RowId(i64::MAX);
            state.process
        };
        store::leave(db, process).await
    }
}

impl State {
    fn is_held(&self, now: Instant) -> bool {
        let is_fresh = now.saturating_duration_since(self.renewed) < HELD_FOR;
        self.lost != RowId(i64::MAX) && (self.home.is_none() || is_fresh)
    }
}

fn random_process() -> i64 {
    i64::from_le_bytes(random::bytes())
}
