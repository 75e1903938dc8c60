//! The bound half of a connection: everything that can happen to it, in one loop, without a byte of buffer while
//! nothing does.
//!
//! Reading, the chain of the stanza read last, the outcomes that wait for their commits, and writing go on side by side:
//! a database that takes its time keeps nobody from getting their messages. Stanzas still run one at a time and
//! their outcomes are performed in order (RFC 6120 §10.1). When too many wait, or the client is faster than it may be,
//! nothing more is read, and TCP tells the client.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use kim_core::cx::Outcome;
use kim_core::error::{Condition, StanzaError, StreamCondition, StreamError};
use kim_core::jid::Jid;
use kim_core::ns;
use kim_core::router::Router;
use kim_core::session::{Session, Taken};
use kim_core::stanza::{IqType, Kind, NotAStanza, Stanza};
use kim_core::wire::Element;
use tokio::time::Sleep;
use tracing::Instrument;

use super::Door;
use super::Rates;
use super::bucket::Bucket;
use super::end::End;
use super::handover::{self, BoxFuture, Registered};
use super::link::{Incoming, Link};
use super::places::Place;
use super::stream::{FAREWELL, Stream};

/// Bytes encrypted and handed to the kernel in one go: several TLS records, so that a burst costs one system call.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// What a slow client must take for its time to begin anew.
const PROGRESS_BYTES: usize = 16 * 1024;
/// Frames dealt with before other connections of the thread get their turn.
const FRAMES_PER_TURN_MAX: usize = 32;

/// A connection with a session.
pub(super) struct Connection {
    door: Arc<Door>,
    link: Link,
    registered: Registered,
    /// The language of stanzas that name none (RFC 6120 §8.1.5).
    lang: Option<Box<str>>,
    /// The chain of the stanza read last.
    chain: Option<BoxFuture<Outcome>>,
    stanzas: Bucket,
    bytes: Bucket,
    /// Reading pauses until then.
    pause: Option<Pin<Box<Sleep>>>,
    /// The client must have taken something by then.
    patience: Option<Pin<Box<Sleep>>>,
    /// What it has taken since.
    taken_bytes: usize,
    /// The outbox may have something.
    outbox_ready: bool,
    /// The client must have given a sign by then, having been asked what it has (XEP-0198 §4).
    answer: Option<Pin<Box<Sleep>>>,
    /// Which question that is about.
    question: u32,
    /// Nothing more is read; what is under way is finished first.
    leaving: Option<End>,
    _place: Place,
}

impl Connection {
    /// Goes on where negotiation ends.
    pub(super) fn new(stream: Stream, registered: Registered) -> Connection {
        let Stream {
            door,
            mut link,
            place,
            lang,
            ..
        } = stream;
        link.set_limits(door.wire_after_login());
        let now = Instant::now();
        let rates = Rates::of(&door.router.limits(), registered.session().guest);
        Connection {
            stanzas: Bucket::full(rates.stanzas, now),
            bytes: Bucket::full(rates.bytes, now),
            door,
            link,
            registered,
            lang,
            chain: None,
            pause: None,
            patience: None,
            taken_bytes: 0,
            outbox_ready: true,
            answer: None,
            question: 0,
            leaving: None,
            _place: place,
        }
    }

    /// Serves the session to its end. Borrows, because what an async function owns is kept twice.
    pub(super) async fn run(&mut self) {
        let session = self.registered.session().clone();
        {
            let mut ready = pin!(session.outbox.ready());
            poll_fn(|cx| {
                while ready.as_mut().poll(cx).is_ready() {
                    self.outbox_ready = true;
                    ready.set(session.outbox.ready());
                }
                self.poll(cx)
            })
            .await;
        }
        // Boxed: as big as it likes, and not there while the session is.
        Box::pin(self.leave()).await;
    }

    /// Does everything that can be done now. Ready when the session is over and nothing is under way any more.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.outbox_ready && self.door.is_stopping() {
            // Nothing more is read; what was read is finished.
            self.leaving.get_or_insert(StreamCondition::SystemShutdown.into());
        }
        if self.outbox_ready && self.leaving.is_none() && self.is_wanted_elsewhere() {
            self.leaving = Some(End::Replaced);
        }
        for _ in 0..FRAMES_PER_TURN_MAX {
            let mut progress = self.poll_outcomes(cx);
            progress |= self.poll_chain(cx);
            if self.leaving.is_none() {
                match self.poll_input(cx) {
                    Ok(read) => progress |= read,
                    Err(end) => self.leaving = Some(end),
                }
            }
            self.poll_output(cx);
            if self.leaving.is_none() {
                self.leaving = self.poll_answer(cx);
            }
            let busy = self.chain.is_some() || self.registered.performing.is_some();
            if self.leaving.is_some() && !busy && self.registered.pending.is_empty() {
                return Poll::Ready(());
            }
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    // ——— what was read before ———

    /// Performs outcomes, one after another.
    fn poll_outcomes(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            if let Some(performing) = &mut self.registered.performing {
                if performing.as_mut().poll(cx).is_pending() {
                    return progress;
                }
                self.registered.performing = None;
                progress = true;
            }
            let Some(outcome) = self.registered.pending.pop_front() else {
                // Gives the memory of a burst back.
                self.registered.pending.shrink_to_fit();
                return progress;
            };
            let router = self.registered.router().clone();
            self.registered.performing = Some(Box::pin(async move { router.perform(outcome).await }));
        }
    }

    fn poll_chain(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(chain) = &mut self.chain else {
            return false;
        };
        let Poll::Ready(mut outcome) = chain.as_mut().poll(cx) else {
            return false;
        };
        self.chain = None;
        if let Some(error) = outcome.closing.take() {
            // Nothing that came behind it is looked at any more.
            self.leaving.get_or_insert(End::Error(error));
        }
        self.registered.pending.push_back(outcome);
        true
    }

    // ——— reading ———

    /// Reads one frame and begins what it asks for. Gives whether there was anything.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let limits = self.door.router.limits();
        if self.chain.is_some() || self.registered.pending.len() >= limits.pending_commits_per_stream_max {
            return Ok(false);
        }
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Ok(false);
            }
            self.pause = None;
        }
        match self.link.next()? {
            Some(Incoming::Element(element)) => {
                self.count(1.0, 0.0);
                self.take(element)?;
                Ok(true)
            }
            Some(Incoming::Close) => Err(End::Closed),
            Some(Incoming::Open(_)) => Err(StreamCondition::BadFormat.into()),
            None => self.poll_link(cx),
        }
    }

    fn poll_link(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        match self.link.poll_read(cx) {
            Poll::Pending => {
                // Nothing comes for now, and that may be for hours.
                self.link.release();
                Ok(false)
            }
            Poll::Ready(Ok(Some(bytes))) => {
                self.count(0.0, bytes as f32);
                Ok(true)
            }
            Poll::Ready(Ok(None)) => Err(End::Lost(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Err(error)) => Err(End::Lost(error)),
        }
    }

    /// Pays for what was read; who has spent too much waits.
    fn count(&mut self, stanzas: f32, bytes: f32) {
        let now = Instant::now();
        let guest = self.registered.session().guest;
        let rates = Rates::of(&self.door.router.limits(), guest);
        self.stanzas.take(stanzas, rates.stanzas, now);
        self.bytes.take(bytes, rates.bytes, now);
        let wait = self
            .stanzas
            .wait(rates.stanzas, now)
            .max(self.bytes.wait(rates.bytes, now));
        if let Some(wait) = wait {
            self.pause = Some(Box::pin(tokio::time::sleep(wait)));
        }
    }

    /// Begins the chain of a stanza.
    fn take(&mut self, element: Element) -> Result<(), End> {
        let (router, session) = (
            self.registered.router().clone(),
            self.registered.session().clone(),
        );
        let mut outcome = match Stanza::from_element(element) {
            Ok(mut stanza) => {
                if stanza.lang.is_none() {
                    stanza.lang = self.lang.clone();
                }
                if let Some(outcome) = negotiated(&router, &session, &stanza) {
                    self.registered.pending.push_back(outcome);
                    return Ok(());
                }
                let span = tracing::debug_span!("stanza", session = %session.id, kind = stanza.kind.name());
                let chain = async move { router.depart(&session, stanza).await };
                self.chain = Some(Box::pin(chain.instrument(span)));
                return Ok(());
            }
            Err(NotAStanza::Refused(stanza, error)) => router.reject(&session, *stanza, &error),
            Err(NotAStanza::Unsupported(element)) => {
                let span = tracing::debug_span!("nonza", session = %session.id);
                let chain = async move { router.nonza(&session, *element).await };
                self.chain = Some(Box::pin(chain.instrument(span)));
                return Ok(());
            }
        };
        if let Some(error) = outcome.closing.take() {
            self.leaving.get_or_insert(End::Error(error));
        }
        self.registered.pending.push_back(outcome);
        Ok(())
    }

    // ——— writing ———

    /// Writes what waits, as much as the kernel takes.
    fn poll_output(&mut self, cx: &mut Context<'_>) {
        if matches!(self.leaving, Some(End::Lost(_) | End::Replaced)) {
            return;
        }
        if let Poll::Ready(Err(end)) = self.poll_write(cx) {
            // A broken connection is worse news than any other.
            self.leaving = Some(end);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            if self.link.has_unwritten() {
                ready!(self.poll_flush(cx))?;
            }
            if !self.outbox_ready {
                return Poll::Ready(Ok(()));
            }
            let taken = self.registered.session().outbox.take_some(WRITE_BYTES_MAX);
            if taken.parcels.is_empty() {
                self.outbox_ready = false;
                if let Some(error) = taken.closing {
                    self.leaving.get_or_insert(End::Error(error));
                }
                return Poll::Ready(Ok(()));
            }
            self.queue_parcels(taken)?;
        }
    }

    /// Encrypts the parcels that were taken, in one go.
    fn queue_parcels(&mut self, taken: Taken) -> io::Result<()> {
        let mut parcels = taken.parcels;
        let queued = self.link.queue_parcels(&parcels);
        parcels.truncate(taken.unkept);
        self.registered.in_flight = parcels;
        queued
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut taken = 0;
        match self.link.poll_flush(cx, &mut taken) {
            Poll::Ready(Ok(())) => {
                self.registered.in_flight.clear();
                self.registered.in_flight.shrink_to_fit();
                self.patience = None;
                self.taken_bytes = 0;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(End::Lost(error))),
            Poll::Pending => self.poll_patience(cx, taken),
        }
    }

    /// The kernel takes nothing more: the client does not read. It has so long to go on.
    fn poll_patience(&mut self, cx: &mut Context<'_>, taken: usize) -> Poll<Result<(), End>> {
        if self.registered.session().outbox.is_closed() {
            // The session is over and waits for this alone: not that long.
            self.leaving
                .get_or_insert(End::Error(StreamCondition::ResourceConstraint.into()));
            return Poll::Pending;
        }
        self.taken_bytes += taken;
        if self.taken_bytes >= PROGRESS_BYTES {
            self.taken_bytes = 0;
            self.patience = None;
        }
        let seconds = self.door.router.limits().slow_reader_seconds_max;
        let patience = self
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_secs(seconds))));
        ready!(patience.as_mut().poll(cx));
        tracing::info!(event = "slow_reader_cut", session = %self.registered.session().id);
        Poll::Ready(Err(End::Lost(io::ErrorKind::TimedOut.into())))
    }

    /// Whether another connection claims the session (XEP-0198 §5).
    fn is_wanted_elsewhere(&self) -> bool {
        let session = self.registered.session();
        session.tally().is_some() && handover::is_wanted(session)
    }

    /// A client that is asked what it has (XEP-0198 §4) and gives no sign for too long is no longer there.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Option<End> {
        let session = self.registered.session();
        let Some(asked) = session.outbox.unanswered() else {
            // Kept for the next question, as long as it runs.
            if self.answer.as_ref().is_some_and(|until| until.is_elapsed()) {
                self.answer = None;
            }
            return None;
        };
        let seconds = session.tally().map(|tally| tally.answer_seconds_max);
        let time = Duration::from_secs(seconds.filter(|max| *max > 0)?.into());
        let until = self.answer.get_or_insert_with(|| {
            self.question = asked;
            Box::pin(tokio::time::sleep(time))
        });
        while until.as_mut().poll(cx).is_ready() {
            if self.question == asked {
                tracing::info!(event = "unanswered", session = %session.id);
                return Some(End::Lost(io::ErrorKind::TimedOut.into()));
            }
            self.question = asked;
            until.as_mut().reset(tokio::time::Instant::now() + time);
        }
        None
    }

    // ——— the end ———

    /// Takes the session from the house, says the last words, and gives back what was not written. Where only the connection
    /// is over, the session passes on.
    async fn leave(&mut self) {
        let end = self.leaving.take().unwrap_or(End::Closed);
        let session = self.registered.session().clone();
        match &end {
            End::Error(error) => {
                tracing::info!(
                    event = "session_ended",
                    session = %session.id,
                    condition = error.condition.as_str()
                );
            }
            End::Closed => tracing::info!(event = "session_ended", session = %session.id),
            End::Lost(error) => tracing::info!(event = "session_lost", session = %session.id, %error),
            End::Replaced => tracing::info!(event = "session_moved", session = %session.id),
        }
        let resumable = session.tally().is_some_and(|tally| tally.resumable_seconds() > 0);
        if matches!(end, End::Replaced) || (resumable && matches!(end, End::Lost(_))) {
            return self.pass_on(end).await;
        }
        self.registered.end().await;
        // Who was not reading before will not begin now.
        let patience = if self.patience.is_some() {
            Duration::ZERO
        } else {
            FAREWELL
        };
        let farewell = tokio::time::timeout(patience, self.farewell(&end)).await;
        self.registered.give_back().await;
        if let Ok(Ok(())) = farewell {
            self.link.linger(self.door.patience()).await;
        }
    }

    /// Lets the session go where it is wanted, or wait.
    async fn pass_on(&mut self, end: End) {
        if let Err(unwanted) = handover::hand(self.registered.take()) {
            unwanted.part();
        }
        let farewell = async {
            if let End::Replaced = end {
                // XEP-0198 §5: the old stream ends with a conflict, should anybody still hear it.
                let error = StreamError::new(StreamCondition::Conflict)
                    .text("this session was resumed on another connection");
                self.link.queue_end(Some(&error))?;
                return self.link.finish().await;
            }
            // An alert of TLS may be waiting; nothing else would arrive.
            let flushed = self.link.flush().await;
            flushed.and(Err(io::ErrorKind::NotConnected.into()))
        };
        if let Ok(Ok(())) = tokio::time::timeout(FAREWELL, farewell).await {
            self.link.linger(self.door.patience()).await;
        }
    }

    async fn farewell(&mut self, end: &End) -> io::Result<()> {
        if let End::Lost(_) = end {
            // An alert of TLS may be waiting; nothing else would arrive.
            return self
                .link
                .flush()
                .await
                .and(Err(io::ErrorKind::NotConnected.into()));
        }
        loop {
            self.link.flush().await?;
            self.registered.in_flight.clear();
            let taken = self.registered.session().outbox.take_some(WRITE_BYTES_MAX);
            if taken.parcels.is_empty() {
                break;
            }
            self.queue_parcels(taken)?;
        }
        self.link.queue_end(match end {
            End::Error(error) => Some(error),
            _ => None,
        })?;
        self.link.finish().await
    }
}

/// Requests that belong to negotiation but come after it: a second bind is not allowed (RFC 6120 §7.6.1), the session
/// request of RFC 3921 §3 succeeds.
fn negotiated(router: &Router, session: &Arc<Session>, stanza: &Stanza) -> Option<Outcome> {
    let to_server = |to: &Jid| to.is_domain() && to.domain() == session.jid.domain();
    let is_forged = !session.may_speak_as(stanza.from.as_ref());
    if stanza.kind != Kind::Iq(IqType::Set) || !stanza.to.as_ref().is_none_or(to_server) || is_forged {
        return None;
    }
    let payload = stanza.payload()?;
    if payload.is("bind", ns::BIND) {
        Some(router.reject(session, stanza.clone(), &StanzaError::new(Condition::NotAllowed)))
    } else if payload.is("session", ns::SESSION) {
        let result = stanza.reply(Kind::Iq(IqType::Result), "").to(session.jid.clone());
        Some(Outcome::answer(session, result))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function makes.
    fn future_bytes<A, B, C, D, E, F>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        let task = future_bytes(super::super::connection::serve);
        let connection = size_of::<Connection>();
        assert!(
            task + connection <= 1_024,
            "{task} for the task, {connection} for the connection"
        );
    }
}
