//! What the requests of one session and its stream share: request ids and their window, requests that are held, answers
//! that may be asked for again. Everything happens under one lock, and nothing under it waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use kim_core::wire::{self, Element};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::{Greeting, Incoming};
use super::body::{self, BadRequest, DECLARATIONS};

/// Requests that a client may have under way, one of them held (XEP-0124 §7.2).
const HOLD_MAX: u64 = 1;
/// The longest pause a client may ask for (XEP-0124 §10).
const PAUSE_SECONDS_MAX: u64 = 120;
/// Bodies of a client that nobody has read: while there are more bytes than of so many stanzas, no request is answered,
/// and a client has no further ones to send.
const UNREAD_STANZAS: usize = 2;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The longest that a request is held.
    pub wait: Duration,
    /// How long a client may have no request here.
    pub inactivity: Duration,
}

/// What becomes of a request.
pub enum Answer {
    /// It is answered.
    Now(Bytes),
    /// It is held.
    Held {
        /// The answer, when there is one.
        answer: oneshot::Receiver<Bytes>,
        /// Which request it is.
        rid: u64,
    },
}

/// A request that is not answered.
struct Open {
    rid: u64,
    answer: oneshot::Sender<Bytes>,
    /// The client is not to wait for it any longer.
    is_due: bool,
}

struct State {
    limits: wire::Limits,
    /// The domain that the client opened its first stream to.
    domain: Option<String>,
    /// The stream has logged in, and so has larger limits.
    logged_in: bool,
    /// The id that comes next.
    next_rid: u64,
    /// Bodies that came before their turn.
    early: BTreeMap<u64, (Element, usize)>,
    /// By their ids.
    open: Vec<Open>,
    /// The last answers, to be given again (XEP-0124 §14.3).
    answered: VecDeque<(u64, Bytes)>,
    incoming: VecDeque<(Incoming, usize)>,
    unread_bytes: usize,
    /// Bytes that came since the stream asked.
    fresh_bytes: usize,
    /// Payloads that wait for a request.
    out: String,
    /// The attributes of the answer to the first request, until it has left.
    creation: Option<Vec<(String, String)>>,
    /// The first request was answered.
    created: bool,
    /// The last answer, once the stream is over.
    last: Option<String>,
    /// It has left.
    is_over: bool,
    delivered_bytes: usize,
    /// Since when no request is here.
    silent_since: Instant,
    /// As asked for by a pause, until the next request.
    pause: Option<Duration>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A session, as its requests see it.
pub struct Shared {
    sid: String,
    wait: Duration,
    hold: u64,
    inactivity: Duration,
    state: Mutex<State>,
}

impl Shared {
    /// A session for the client's first body (XEP-0124 §7.1).
    pub fn new(
        sid: String,
        first: &Element,
        limits: wire::Limits,
        terms: &Terms,
    ) -> Result<Shared, BadRequest> {
        if !body::is_body(first) {
            return Err(BadRequest);
        }
        let wait = body::number(first, "wait")?.map_or(terms.wait, Duration::from_secs);
        let hold = body::number(first, "hold")?.unwrap_or(HOLD_MAX);
        let rid = body::rid(first)?;
        let opening = body::opening(first);
        let state = State {
            limits,
            domain: opening.to.clone(),
            logged_in: false,
            next_rid: rid,
            early: BTreeMap::new(),
            open: Vec::new(),
            answered: VecDeque::new(),
            incoming: VecDeque::from([(Incoming::Open(opening), 0)]),
            unread_bytes: 0,
            fresh_bytes: 0,
            out: String::new(),
            creation: None,
            created: false,
            last: None,
            is_over: false,
            delivered_bytes: 0,
            silent_since: Instant::now(),
            pause: None,
            reader: None,
            writer: None,
        };
        Ok(Shared {
            sid,
            wait: wait.min(terms.wait),
            hold: hold.min(HOLD_MAX),
            inactivity: terms.inactivity,
            state: Mutex::new(state),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session's id.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// How long its requests are held.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// How long its client may have no request here.
    pub fn inactivity(&self) -> Duration {
        self.inactivity
    }

    /// How much of anything a body may have.
    pub fn limits(&self) -> wire::Limits {
        self.lock().limits
    }

    /// Whether its client has logged in.
    pub fn has_logged_in(&self) -> bool {
        self.lock().logged_in
    }

    fn requests(&self) -> u64 {
        self.hold + 1
    }

    // ——— the client's side ———

    /// Takes a request.
    pub fn request(&self, body: &Element, bytes: usize) -> Answer {
        let mut state = self.lock();
        let Ok(rid) = body::rid(body) else {
            return state.refuse("bad-request");
        };
        if !body::is_body(body) {
            return state.refuse("bad-request");
        }
        let (answer, held) = oneshot::channel();
        let held = Answer::Held { answer: held, rid };
        let is_received = rid < state.next_rid || state.early.contains_key(&rid);
        if is_received {
            // XEP-0124 §14.3: the client repeats what it got no answer to.
            if let Some((_, answer)) = state.answered.iter().find(|(old, _)| *old == rid) {
                return Answer::Now(answer.clone());
            }
            let Some(open) = state.open.iter_mut().find(|open| open.rid == rid) else {
                return state.refuse("item-not-found");
            };
            let before = std::mem::replace(&mut open.answer, answer);
            let _ = before.send(body::answer(&[("type", "error")], "").into());
            state.settle(self.hold, self.requests());
            return held;
        }
        let pause = body::number(body, "pause").ok().flatten();
        let is_last = body::is_terminate(body) || pause.is_some();
        if rid >= state.next_rid + self.requests() + u64::from(is_last) {
            return state.refuse("item-not-found");
        }
        // XEP-0124 §11: one more than that only to pause or to end.
        if state.open.len() as u64 >= self.requests() + u64::from(is_last) {
            return state.refuse("policy-violation");
        }
        if state.is_over {
            return state.refuse("item-not-found");
        }
        let at = state.open.partition_point(|open| open.rid < rid);
        state.open.insert(
            at,
            Open {
                rid,
                answer,
                is_due: false,
            },
        );
        state.fresh_bytes += bytes;
        state.early.insert(rid, (body.clone(), bytes));
        state.pause = None;
        while let Some((body, bytes)) = {
            let next = state.next_rid;
            state.early.remove(&next)
        } {
            state.next_rid += 1;
            state.take(&body, bytes);
        }
        if let Some(pause) = pause {
            state.pause = Some(Duration::from_secs(pause.min(PAUSE_SECONDS_MAX)));
            state.open.iter_mut().for_each(|open| open.is_due = true);
        }
        state.settle(self.hold, self.requests());
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        held
    }

    /// A request was held as long as it may be.
    pub fn due(&self, rid: u64) {
        let mut state = self.lock();
        if let Some(open) = state.open.iter_mut().find(|open| open.rid == rid) {
            open.is_due = true;
        }
        state.settle(self.hold, self.requests());
    }

    /// The connection of a request is gone.
    pub fn gone(&self) {
        self.lock().silent_since = Instant::now();
    }

    // ——— the stream's side ———

    /// What came next.
    pub fn next(&self) -> Option<Incoming> {
        let mut state = self.lock();
        let (incoming, bytes) = state.incoming.pop_front()?;
        state.unread_bytes = state.unread_bytes.saturating_sub(bytes);
        state.settle(self.hold, self.requests());
        Some(incoming)
    }

    /// Waits until something came.
    pub fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let mut state = self.lock();
        if state.is_over && state.incoming.is_empty() {
            return Poll::Ready(None);
        }
        if state.fresh_bytes > 0 || !state.incoming.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut state.fresh_bytes)));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// When the client has been silent for too long; `None` while it has a request here.
    pub fn silent_until(&self) -> Option<Instant> {
        let state = self.lock();
        let silent = state.open.iter().all(|open| open.answer.is_closed());
        silent.then(|| state.silent_since + state.pause.unwrap_or(self.inactivity))
    }

    /// What holds after login.
    pub fn set_limits(&self, limits: wire::Limits) {
        let mut state = self.lock();
        (state.limits, state.logged_in) = (limits, true);
    }

    /// The stream is opened: the first time the session is created by that (XEP-0124 §7.2).
    pub fn open(&self, greeting: &Greeting<'_>, features: &str) {
        let mut state = self.lock();
        if !state.created && state.creation.is_none() {
            let mut attributes: Vec<(String, String)> = DECLARATIONS
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let mut attribute =
                |name: &str, value: &str| attributes.push((name.to_owned(), value.to_owned()));
            attribute("sid", &self.sid);
            attribute("wait", &body::seconds(self.wait));
            attribute("hold", &self.hold.to_string());
            attribute("requests", &self.requests().to_string());
            attribute("inactivity", &body::seconds(self.inactivity));
            attribute("maxpause", &PAUSE_SECONDS_MAX.to_string());
            attribute("ver", "1.11");
            attribute("from", greeting.from);
            attribute("authid", greeting.id);
            attribute("xmpp:version", "1.0");
            attribute("xmpp:restartlogic", "true");
            state.creation = Some(attributes);
        }
        state.out.push_str(features);
        // Without features the end follows, and goes with the same answer.
        if !features.is_empty() {
            state.settle(self.hold, self.requests());
        }
    }

    /// Queues payloads.
    pub fn push(&self, payloads: &str) {
        let mut state = self.lock();
        state.out.push_str(payloads);
        state.settle(self.hold, self.requests());
    }

    /// The stream is over; `detail` is its error, if it had one (XEP-0206 §6).
    pub fn end(&self, detail: &str) {
        let mut state = self.lock();
        let condition = (!detail.is_empty()).then_some("remote-stream-error");
        let waiting = std::mem::take(&mut state.out);
        let last = if condition.is_some() {
            let attributes = [
                ("type", "terminate"),
                ("condition", "remote-stream-error"),
                DECLARATIONS[1],
            ];
            body::answer(&attributes, &format!("{waiting}{detail}"))
        } else {
            body::terminal(None, &waiting)
        };
        state.last.get_or_insert(last);
        state.settle(self.hold, self.requests());
    }

    /// The stream is gone.
    pub fn abandon(&self) {
        let mut state = self.lock();
        state
            .last
            .get_or_insert(body::terminal(Some("item-not-found"), ""));
        state.settle(self.hold, self.requests());
        state.over();
        // A request that came before its turn would wait for ever: the one before it is not coming any more.
        for open in state.open.drain(..) {
            let _ = open
                .answer
                .send(body::terminal(Some("item-not-found"), "").into());
        }
    }

    /// Whether something waits to leave with an answer.
    pub fn has_unwritten(&self) -> bool {
        self.lock().has_unwritten()
    }

    /// Waits until everything queued has left with an answer.
    pub fn poll_flush(&self, cx: &mut Context<'_>, taken: &mut usize) -> Poll<()> {
        let mut state = self.lock();
        *taken += std::mem::take(&mut state.delivered_bytes);
        if !state.has_unwritten() {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl State {
    fn has_unwritten(&self) -> bool {
        !self.out.is_empty() || self.creation.is_some() || (self.last.is_some() && !self.is_over)
    }

    /// Takes what a body brings.
    fn take(&mut self, body: &Element, bytes: usize) {
        // The first one opened the stream already.
        let mut incoming = body::incoming(body, self.domain.as_deref());
        let each = bytes / incoming.len().max(1);
        self.unread_bytes += each * incoming.len();
        self.incoming
            .extend(incoming.drain(..).map(|incoming| (incoming, each)));
    }

    /// Answers what is to be answered, in the order of the ids.
    fn settle(&mut self, hold: u64, requests: u64) {
        if self.unread_bytes > UNREAD_STANZAS * self.limits.stanza_bytes_max && self.last.is_none() {
            return;
        }
        loop {
            let next_rid = self.next_rid;
            let turn = self.open.iter().take_while(|open| open.rid < next_rid).count();
            let Some(first) = self.open.first().filter(|_| turn > 0) else {
                return;
            };
            let is_gone = first.answer.is_closed();
            let is_paused = self.pause.is_some() && first.is_due;
            let has_words = !is_paused
                && (!self.out.is_empty()
                    || self.creation.is_some()
                    || (self.last.is_some() && !self.is_over));
            let is_due = first.is_due && (self.created || self.last.is_some());
            let crowded = turn as u64 > hold && (self.created || self.last.is_some());
            if is_gone && turn == 1 && !self.is_over {
                // The client may ask for it again; until then nothing can be told.
                return;
            }
            let is_turn = is_due || crowded || (has_words && !is_gone);
            if !is_turn && self.last.is_none() {
                return;
            }
            let open = self.open.remove(0);
            let text = if is_paused || is_gone {
                body::answer(&[], "")
            } else {
                self.words()
            };
            let answer = Bytes::from(text);
            self.answered.push_back((open.rid, answer.clone()));
            while self.answered.len() as u64 > requests {
                self.answered.pop_front();
            }
            // Nobody there: it stays among the answers that may be asked for again.
            let _ = open.answer.send(answer);
            self.silent_since = Instant::now();
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
    }

    /// The content of the next answer.
    fn words(&mut self) -> String {
        let attributes = self.creation.take();
        let out = std::mem::take(&mut self.out);
        self.delivered_bytes += out.len();
        if let Some(attributes) = attributes {
            self.created = true;
            if self.last.is_none() {
                let attributes: Vec<(&str, &str)> = attributes
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                return body::answer(&attributes, &out);
            }
        }
        match &self.last {
            Some(last) if !self.is_over => {
                let last = last.clone();
                self.over();
                last
            }
            _ => body::answer(&[], &out),
        }
    }

    /// The session is over, for its requests and for its stream.
    fn over(&mut self) {
        self.is_over = true;
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// Ends the session for what a request says (XEP-0124 §17.2).
    fn refuse(&mut self, condition: &str) -> Answer {
        let last = body::terminal(Some(condition), "");
        for open in self.open.drain(..) {
            let _ = open.answer.send(last.clone().into());
        }
        self.last.get_or_insert(last.clone());
        self.over();
        Answer::Now(last.into())
    }
}
