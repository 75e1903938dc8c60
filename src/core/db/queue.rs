//! What waits for its commit: rows of sinks and whole jobs, in the order they came, within limits.

use super::error::DbError;
use super::ticket::{Ticket, TicketEnd};
use super::tx::{STATEMENT_ROWS_MAX, Tx};
use super::unit::{Bundle, UnitRow};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use smallvec::SmallVec;
use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What a job without rows counts in the queue, in bytes: its closure is boxed and of unknown size.
const JOB_BYTES: usize = 512;
/// What a row counts beside its own bytes: its ticket and its place in the queue.
const ROW_OVERHEAD_BYTES: usize = 128;

/// A row that a [`Sink`] takes.
pub trait SinkRow: Send + Sync + 'static {
    /// The memory the row holds, for the limit of the queue, in bytes.
    fn row_bytes(&self) -> usize;
}

/// Writes rows of one kind; it may be called again with the same rows after a lost connection or a failed batch.
pub type InsertFn<R> = for<'a> fn(&'a mut Tx, &'a [R]) -> BoxFuture<'a, Result<(), DbError>>;

/// Something queued that is committed or refused as a whole, unless it can be split.
pub(super) trait QueueEntry: Send {
    fn rows(&self) -> usize;
    fn bytes(&self) -> usize;
    fn as_any(&mut self) -> &mut dyn Any;
    fn taken(&mut self);
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), DbError>>;
    /// The second half, if there is more than one row.
    fn split(&mut self) -> Option<Box<dyn QueueEntry>>;
    fn resolve(self: Box<Self>, result: Result<(), DbError>);
}

/// Consecutive rows of one sink.
struct Run<R> {
    sink: u64,
    insert: InsertFn<R>,
    rows: Vec<R>,
    ends: Vec<TicketEnd>,
    bytes: usize,
}

impl<R: SinkRow> QueueEntry for Run<R> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn taken(&mut self) {
        self.ends.iter().for_each(TicketEnd::taken);
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), DbError>> {
        (self.insert)(tx, &self.rows)
    }

    fn split(&mut self) -> Option<Box<dyn QueueEntry>> {
        if self.rows.len() < 2 {
            return None;
        }
        let half = self.rows.len() / 2;
        let rows = self.rows.split_off(half);
        let ends = self.ends.split_off(half);
        // Bytes are given back to the queue for the batch as a whole, so the halves need no count of their own.
        Some(Box::new(Run {
            sink: self.sink,
            insert: self.insert,
            rows,
            ends,
            bytes: 0,
        }))
    }

    fn resolve(self: Box<Self>, result: Result<(), DbError>) {
        for end in self.ends {
            end.resolve(result.clone());
        }
    }
}

/// A closure that writes, and the place for what it returns.
struct Job<T, F> {
    work: F,
    value: Option<T>,
    done: Box<dyn FnOnce(Result<T, DbError>) + Send>,
    end: TicketEnd,
}

impl<T, F> QueueEntry for Job<T, F>
where
    T: Send + 'static,
    F: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<T, DbError>> + Send + 'static,
{
    fn rows(&self) -> usize {
        1
    }

    fn bytes(&self) -> usize {
        JOB_BYTES
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn taken(&mut self) {
        self.end.taken();
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), DbError>> {
        let Job { work, value, .. } = self;
        *value = None;
        // `F` need not be Sync: only the future crosses an await, not the closure.
        let future = work(tx);
        Box::pin(async move {
            *value = Some(future.await?);
            Ok(())
        })
    }

    fn split(&mut self) -> Option<Box<dyn QueueEntry>> {
        None
    }

    fn resolve(self: Box<Self>, result: Result<(), DbError>) {
        let Job { value, done, end, .. } = *self;
        let outcome = match (&result, value) {
            (Err(error), _) => Err(error.clone()),
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => Err(DbError::Panicked),
        };
        done(outcome);
        end.resolve(result);
    }
}

/// Runs an entry; a panic becomes an error, because one module's mistake must not end the committer.
pub(super) async fn run_caught(entry: &mut dyn QueueEntry, tx: &mut Tx) -> Result<(), DbError> {
    AssertUnwindSafe(async { entry.run(tx).await })
        .catch_unwind()
        .await
        .unwrap_or(Err(DbError::Panicked))
}

/// Limits of the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueLimits {
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
    pub(super) batch_rows_max: usize,
    pub(super) batch_bytes_max: usize,
}

struct State {
    entries: VecDeque<Box<dyn QueueEntry>>,
    /// Rows and bytes waiting or being committed.
    rows: usize,
    bytes: usize,
    /// Somebody awaits a ticket of a waiting entry, or has let one go.
    demanded: bool,
    closed: bool,
}

/// The queue between everybody who writes and the one committer.
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Notify,
    limits: QueueLimits,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Queue {
        let state = State {
            entries: VecDeque::new(),
            rows: 0,
            bytes: 0,
            demanded: false,
            closed: false,
        };
        Queue {
            state: Mutex::new(state),
            wake: Notify::new(),
            limits,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the committer run: somebody waits.
    pub(super) fn demand(&self) {
        let mut state = self.lock();
        if !state.demanded && !state.entries.is_empty() {
            state.demanded = true;
            drop(state);
            self.wake.notify_one();
        }
    }

    fn admit(state: &mut State, limits: &QueueLimits, rows: usize, bytes: usize) -> Result<(), DbError> {
        if state.closed {
            return Err(DbError::Closed);
        }
        if state.rows >= limits.rows_max || state.bytes.saturating_add(bytes) > limits.bytes_max {
            return Err(DbError::Busy);
        }
        state.rows += rows;
        state.bytes += bytes;
        Ok(())
    }

    /// A batch is as large as it may get: there is nothing to wait for.
    fn wake_if_full(&self, mut state: MutexGuard<'_, State>) {
        let full = state.rows >= self.limits.batch_rows_max || state.bytes >= self.limits.batch_bytes_max;
        if full && !state.demanded {
            state.demanded = true;
            drop(state);
            self.wake.notify_one();
        }
    }

    fn put_row<R: SinkRow>(self: &Arc<Self>, sink: u64, insert: InsertFn<R>, row: R) -> Ticket {
        let bytes = row.row_bytes().saturating_add(ROW_OVERHEAD_BYTES);
        let mut state = self.lock();
        if let Err(error) = Queue::admit(&mut state, &self.limits, 1, bytes) {
            return Ticket::resolved(Err(error));
        }
        let (end, ticket) = Ticket::pair(self);
        let same = state
            .entries
            .back_mut()
            .and_then(|entry| entry.as_any().downcast_mut::<Run<R>>());
        match same {
            Some(run) if run.sink == sink && run.rows.len() < STATEMENT_ROWS_MAX => {
                run.rows.push(row);
                run.ends.push(end);
                run.bytes += bytes;
            }
            _ => {
                let run = Run {
                    sink,
                    insert,
                    rows: vec![row],
                    ends: vec![end],
                    bytes,
                };
                state.entries.push_back(Box::new(run));
            }
        }
        self.wake_if_full(state);
        ticket
    }

    /// Queues rows that are stored together or not at all.
    pub(super) fn put_unit(self: &Arc<Self>, unit: SmallVec<[Box<dyn UnitRow>; 3]>) -> Ticket {
        let bytes = unit
            .iter()
            .map(|row| row.bytes().saturating_add(ROW_OVERHEAD_BYTES))
            .sum();
        let mut state = self.lock();
        if let Err(error) = Queue::admit(&mut state, &self.limits, unit.len(), bytes) {
            return Ticket::resolved(Err(error));
        }
        let (end, ticket) = Ticket::pair(self);
        let last = state
            .entries
            .back_mut()
            .and_then(|entry| entry.as_any().downcast_mut::<Bundle>());
        match last {
            Some(bundle) if bundle.has_room(unit.len()) => bundle.push(unit, bytes, end),
            _ => {
                let mut bundle = Bundle::default();
                bundle.push(unit, bytes, end);
                state.entries.push_back(Box::new(bundle));
            }
        }
        self.wake_if_full(state);
        ticket
    }

    /// Queues a closure; `done` gets what it returned, after the commit.
    pub(super) fn put_job<T, F>(
        self: &Arc<Self>,
        work: F,
        done: Box<dyn FnOnce(Result<T, DbError>) + Send>,
    ) -> Ticket
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<T, DbError>> + Send + 'static,
    {
        let mut state = self.lock();
        if let Err(error) = Queue::admit(&mut state, &self.limits, 1, JOB_BYTES) {
            drop(state);
            done(Err(error.clone()));
            return Ticket::resolved(Err(error));
        }
        let (end, ticket) = Ticket::pair(self);
        state.entries.push_back(Box::new(Job {
            work,
            value: None,
            done,
            end,
        }));
        self.wake_if_full(state);
        ticket
    }

    /// Waits until somebody wants a commit and takes what one transaction may hold. `None`: closed and drained.
    pub(super) async fn take(&self) -> Option<Vec<Box<dyn QueueEntry>>> {
        loop {
            {
                let mut state = self.lock();
                if !state.entries.is_empty() && (state.demanded || state.closed) {
                    return Some(self.take_batch(&mut state));
                }
                if state.closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    fn take_batch(&self, state: &mut State) -> Vec<Box<dyn QueueEntry>> {
        let (mut rows, mut bytes) = (0, 0);
        let mut batch = Vec::new();
        while let Some(next) = state.entries.front() {
            let fits = rows + next.rows() <= self.limits.batch_rows_max
                && bytes + next.bytes() <= self.limits.batch_bytes_max;
            if !fits && !batch.is_empty() {
                break;
            }
            rows += next.rows();
            bytes += next.bytes();
            batch.extend(state.entries.pop_front());
        }
        for entry in &mut batch {
            entry.taken();
        }
        // What did not fit was demanded too; what came without demand waits for its own.
        state.demanded = !state.entries.is_empty();
        batch
    }

    /// Gives back the room that a batch took.
    pub(super) fn release(&self, rows: usize, bytes: usize) {
        let mut state = self.lock();
        state.rows = state.rows.saturating_sub(rows);
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// No more entries; the committer drains what is there and ends.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Rows and bytes that wait or are being committed.
    pub(super) fn load(&self) -> (usize, usize) {
        let state = self.lock();
        (state.rows, state.bytes)
    }
}

/// Where one kind of row goes. Cheap to clone; made by [`super::Db::sink`].
pub struct Sink<R> {
    queue: Arc<Queue>,
    id: u64,
    insert: InsertFn<R>,
}

impl<R> Clone for Sink<R> {
    fn clone(&self) -> Self {
        Sink {
            queue: self.queue.clone(),
            id: self.id,
            insert: self.insert,
        }
    }
}

impl<R: SinkRow> Sink<R> {
    pub(super) fn new(queue: Arc<Queue>, insert: InsertFn<R>) -> Sink<R> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Sink {
            queue,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            insert,
        }
    }

    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn insert(&self) -> InsertFn<R> {
        self.insert
    }

    /// Queues a row and returns at once. When the queue is full the ticket fails with [`DbError::Busy`].
    pub fn put(&self, row: R) -> Ticket {
        self.queue.put_row(self.id, self.insert, row)
    }
}
