//! Rows of one or several sinks that are stored together or not at all: what one stanza leaves behind.
//!
//! A commit may begin between any two rows that are put one by one, and a crash right then would keep half a message:
//! the sender's archive has it, the recipient's does not, and the sender, told nothing, sends it again. Units that
//! follow each other still share multi-row statements, so they cost no more than single rows.

use super::error::DbError;
use super::queue::{InsertFn, Queue, QueueEntry, Sink, SinkRow};
use super::ticket::{Ticket, TicketEnd};
use super::tx::{STATEMENT_ROWS_MAX, Tx};
use futures_util::future::BoxFuture;
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// Rows to be stored together.
#[derive(Default)]
#[must_use = "a unit that is not put is not stored"]
pub struct Unit {
    rows: SmallVec<[Box<dyn UnitRow>; 3]>,
    queue: Option<Arc<Queue>>,
}

impl Unit {
    /// Adds a row of a sink. All sinks of a unit belong to the same database.
    pub fn add<R: SinkRow>(&mut self, sink: &Sink<R>, row: R) {
        self.queue.get_or_insert_with(|| sink.queue().clone());
        self.rows.push(Box::new(Addressed {
            sink: sink.id(),
            insert: sink.insert(),
            row,
        }));
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Forgets the rows.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Queues the rows and returns at once; `None` if there are none. When the queue is full the ticket fails with
    /// [`DbError::Busy`].
    pub fn put(&mut self) -> Option<Ticket> {
        let rows = std::mem::take(&mut self.rows);
        let queue = self.queue.as_ref()?;
        (!rows.is_empty()).then(|| queue.put_unit(rows))
    }
}

/// A row and where it goes.
pub(super) trait UnitRow: Send + Sync {
    fn sink(&self) -> u64;
    fn bytes(&self) -> usize;
    /// An empty lane for rows of this kind.
    fn lane(&self) -> Box<dyn Lane>;
    /// The row itself.
    fn into_row(self: Box<Self>) -> Box<dyn Any>;
}

struct Addressed<R> {
    sink: u64,
    insert: InsertFn<R>,
    row: R,
}

impl<R: SinkRow> UnitRow for Addressed<R> {
    fn sink(&self) -> u64 {
        self.sink
    }

    fn bytes(&self) -> usize {
        self.row.row_bytes()
    }

    fn lane(&self) -> Box<dyn Lane> {
        Box::new(Rows::<R> {
            sink: self.sink,
            insert: self.insert,
            rows: Vec::new(),
        })
    }

    fn into_row(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.row)
    }
}

/// The rows of one sink in a [`Bundle`].
pub(super) trait Lane: Send {
    fn sink(&self) -> u64;
    fn push(&mut self, row: Box<dyn Any>);
    fn split_off(&mut self, at: usize) -> Box<dyn Lane>;
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), DbError>>;
}

struct Rows<R> {
    sink: u64,
    insert: InsertFn<R>,
    rows: Vec<R>,
}

impl<R: SinkRow> Lane for Rows<R> {
    fn sink(&self) -> u64 {
        self.sink
    }

    fn push(&mut self, row: Box<dyn Any>) {
        // A sink has one type of row, so this is it.
        if let Ok(row) = row.downcast::<R>() {
            self.rows.push(*row);
        }
    }

    fn split_off(&mut self, at: usize) -> Box<dyn Lane> {
        let rows = self.rows.split_off(at.min(self.rows.len()));
        Box::new(Rows {
            sink: self.sink,
            insert: self.insert,
            rows,
        })
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), DbError>> {
        (self.insert)(tx, &self.rows)
    }
}

/// Consecutive units, their rows sorted by sink so that each sink needs few statements.
#[derive(Default)]
pub(super) struct Bundle {
    lanes: Vec<Box<dyn Lane>>,
    /// For each unit, how many rows it has in each lane.
    units: Vec<SmallVec<[u16; 4]>>,
    ends: Vec<TicketEnd>,
    rows: usize,
    bytes: usize,
}

impl Bundle {
    /// Whether a unit of so many rows may still join.
    pub(super) fn has_room(&self, rows: usize) -> bool {
        self.rows + rows <= STATEMENT_ROWS_MAX
    }

    /// Adds a unit; `bytes` is what the queue was told of it.
    pub(super) fn push(&mut self, unit: SmallVec<[Box<dyn UnitRow>; 3]>, bytes: usize, end: TicketEnd) {
        let mut counts: SmallVec<[u16; 4]> = SmallVec::from_elem(0, self.lanes.len());
        for row in unit {
            let at = match self.lanes.iter().position(|lane| lane.sink() == row.sink()) {
                Some(at) => at,
                None => {
                    self.lanes.push(row.lane());
                    counts.push(0);
                    self.lanes.len() - 1
                }
            };
            if let (Some(lane), Some(count)) = (self.lanes.get_mut(at), counts.get_mut(at)) {
                lane.push(row.into_row());
                *count += 1;
                self.rows += 1;
            }
        }
        self.bytes += bytes;
        self.units.push(counts);
        self.ends.push(end);
    }
}

impl QueueEntry for Bundle {
    fn rows(&self) -> usize {
        self.rows
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
        Box::pin(async move {
            for lane in &mut self.lanes {
                lane.run(tx).await?;
            }
            Ok(())
        })
    }

    fn split(&mut self) -> Option<Box<dyn QueueEntry>> {
        if self.units.len() < 2 {
            return None;
        }
        let half = self.units.len() / 2;
        let units = self.units.split_off(half);
        let ends = self.ends.split_off(half);
        let rows_in = |units: &[SmallVec<[u16; 4]>], lane: usize| {
            units
                .iter()
                .map(|unit| usize::from(unit.get(lane).copied().unwrap_or(0)))
                .sum::<usize>()
        };
        let first: Vec<usize> = (0..self.lanes.len())
            .map(|lane| rows_in(&self.units, lane))
            .collect();
        let lanes = self
            .lanes
            .iter_mut()
            .zip(&first)
            .map(|(lane, at)| lane.split_off(*at))
            .collect();
        let kept = first.iter().sum();
        let rows = self.rows - kept;
        self.rows = kept;
        // Bytes are given back to the queue for the batch as a whole, so the halves need no count of their own.
        Some(Box::new(Bundle {
            lanes,
            units,
            ends,
            rows,
            bytes: 0,
        }))
    }

    fn resolve(self: Box<Self>, result: Result<(), DbError>) {
        for end in self.ends {
            end.resolve(result.clone());
        }
    }
}
