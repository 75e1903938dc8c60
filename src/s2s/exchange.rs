//! The life of a stream between servers once it is encrypted: one task that reads, performs and writes until either side
//! ends it. Stanzas are run through the house one at a time; their outcomes are performed in order behind their commits,
//! while the next ones are read. Only then do they count as handled (XEP-0198).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kim_core::cx::Outcome;
use kim_core::error::{Condition, StreamCondition, StreamError};
use kim_core::jid::Jid;
use kim_core::ns;
use kim_core::remote::{Outbound, Outside};
use kim_core::wire::{Element, Frame, Reader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::dialback::{self, Dialback, Malformed, Verdict};
use super::incoming::IncomingStream;
use super::life::{Counting, Life, PeerEnd};
use super::pair::{DomainPair, put_back};
use super::talk::{BIDI, SM, their_error};
use super::{Federation, Phase};
use crate::c2s::{Bucket, Rate};

/// Bytes written in one go, and stanzas.
const WRITE_BYTES_MAX: usize = 64 * 1024;
const WRITE_STANZAS_MAX: usize = 256;
/// Stanzas that may be unconfirmed before no more are written.
const UNCONFIRMED_MAX: usize = 1_024;
/// Stanzas at the beginning of a stream that may be repetitions: what the other server sent over an earlier stream and was not
/// told that it had arrived. Twice as many as this server would have, since others may have more.
const REPEATED_MAX: u64 = 2 * UNCONFIRMED_MAX as u64;
/// Silence after which a blank is written, so that a dead connection is noticed (RFC 6120 §4.6.1).
const KEEPALIVE: Duration = Duration::from_secs(120);
/// How long nothing is sent over a stream that the other server opened, so that it can turn on stream management first: what is
/// sent before is never confirmed, and lost with the connection.
const AGREEMENT: Duration = Duration::from_secs(2);
/// How long the last words may take to be written.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is done in order behind the commits.
enum Work {
    /// A stanza; whether it counts.
    Outcome(Box<Outcome>, bool),
    /// The other side asks how much has been dealt with.
    Asked,
}

/// A chain of certificates.
pub type Chain = Arc<Vec<CertificateDer<'static>>>;

/// What the reader of a stream knows of it.
pub struct Side {
    /// What concerns only streams that the other server opened.
    pub incoming: Option<IncomingStream>,
    /// The certificates that the other side has shown.
    pub chain: Chain,
    /// Elements that came while stream management was agreed on; they do not count.
    pub early: Vec<Element>,
    /// The largest stanza that the other side takes.
    pub max_bytes: Option<usize>,
}

/// Lives a stream. When this returns, what was not delivered is where it belongs.
pub async fn live<S>(
    hub: &Arc<Federation>,
    life: &Arc<Life>,
    io: S,
    reader: Reader,
    input: BytesMut,
    side: Side,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (reading, writing) = tokio::io::split(io);
    let limits = hub.router().limits();
    let (work, mut to_do) = mpsc::channel(limits.pending_commits_per_stream_max);
    let max_bytes = side.max_bytes;
    let mut ears = Ears {
        hub,
        life,
        reading,
        reader,
        input,
        side,
        work,
        is_wide: false,
        counts: true,
    };
    let read_and_perform = async {
        let read = async {
            let end = ears.run().await;
            drop(ears);
            end
        };
        let perform = async {
            while let Some(work) = to_do.recv().await {
                perform(hub, life, work).await;
            }
        };
        let (end, ()) = tokio::join!(read, perform);
        life.end(end);
    };
    let write = async {
        let patience = Duration::from_secs(limits.slow_reader_seconds_max);
        if write(hub, life, writing, max_bytes, patience).await.is_err() {
            life.end(PeerEnd::Lost);
        }
    };
    tokio::join!(read_and_perform, write);
    hub.bury(life);
}

async fn perform(hub: &Federation, life: &Life, work: Work) {
    match work {
        Work::Outcome(outcome, counts) => {
            hub.router().perform(*outcome).await;
            if let (true, Some(counting)) = (counts, &mut life.state().counting) {
                counting.handled = counting.handled.wrapping_add(1);
            }
        }
        Work::Asked => {
            let handled = life.state().counting.as_ref().map(|counting| counting.handled);
            if let Some(handled) = handled {
                life.say(&format!("<a xmlns='{SM}' h='{handled}'/>"));
            }
        }
    }
}

/// The reading half.
struct Ears<'a, S> {
    hub: &'a Arc<Federation>,
    life: &'a Arc<Life>,
    reading: ReadHalf<S>,
    reader: Reader,
    input: BytesMut,
    side: Side,
    work: mpsc::Sender<Work>,
    /// A domain has been proved, and the limits are those of stanzas.
    is_wide: bool,
    /// Stanzas count, once stream management is on.
    counts: bool,
}

impl<S: AsyncRead> Ears<'_, S> {
    /// Reads until the stream ends.
    async fn run(&mut self) -> PeerEnd {
        let listened = async {
            for element in std::mem::take(&mut self.side.early) {
                self.counts = false;
                if !self.take(Frame::Element(element)).await? {
                    return Ok(());
                }
            }
            self.counts = true;
            self.listen().await
        };
        match listened.await {
            Ok(()) => PeerEnd::Closed,
            Err(end) => end,
        }
    }

    async fn listen(&mut self) -> Result<(), PeerEnd> {
        let limits = self.hub.router().limits();
        let rates = (
            Rate {
                per_second: limits.s2s_stanzas_per_second as f32,
                burst: limits.s2s_stanzas_burst as f32,
            },
            Rate {
                per_second: limits.s2s_bytes_per_second as f32,
                burst: limits.s2s_bytes_burst as f32,
            },
        );
        let now = Instant::now();
        let mut buckets = (Bucket::full(rates.0, now), Bucket::full(rates.1, now));
        let unproved_until = tokio::time::Instant::now() + Duration::from_secs(limits.login_seconds_max);
        // Whoever opened the stream closes it first: nothing can be under way to it then.
        let minutes = self.hub.settings().idle_minutes + u64::from(self.life.is_incoming);
        let idle_us = i64::try_from(minutes * 60_000_000).unwrap_or(i64::MAX);
        loop {
            loop {
                if !self.is_wide && !self.life.state().proved.is_empty() {
                    self.is_wide = true;
                    self.reader.set_limits(self.hub.wire_after_proof());
                }
                let Some(frame) = self.reader.read(&mut self.input).map_err(StreamError::from)? else {
                    break;
                };
                let is_element = matches!(frame, Frame::Element(_));
                if !self.take(frame).await? {
                    return Ok(());
                }
                let now = Instant::now();
                buckets.0.take(f32::from(u8::from(is_element)), rates.0, now);
                let pause = buckets.0.wait(rates.0, now).max(buckets.1.wait(rates.1, now));
                if let Some(pause) = pause {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.ended() => return Err(PeerEnd::Lost),
                    }
                }
            }
            if self.input.is_empty() {
                // An idle stream keeps no memory for its next stanza.
                self.input = BytesMut::new();
                self.reader.release();
            }
            let is_proved = !self.life.is_incoming || self.life.state().unverified.is_none();
            let quiet_us = self.hub.router().clock().now().0 - self.life.active.load(Ordering::Relaxed);
            let left = u64::try_from(idle_us.saturating_sub(quiet_us)).unwrap_or(0);
            let until = match is_proved {
                true => tokio::time::Instant::now() + Duration::from_micros(left.max(1_000)),
                false => unproved_until,
            };
            let mut ended = pin!(ended(self.life));
            tokio::select! {
                read = self.reading.read_buf(&mut self.input) => match read {
                    Ok(bytes @ 1..) => buckets.1.take(bytes as f32, rates.1, Instant::now()),
                    Ok(0) | Err(_) => return Err(PeerEnd::Lost),
                },
                () = &mut ended => return Err(PeerEnd::Lost),
                () = self.hub.reached(Phase::Closing) => return Err(StreamCondition::SystemShutdown.into()),
                () = tokio::time::sleep_until(until) => {
                    if !is_proved && self.life.state().unverified.is_some() {
                        let error = StreamError::new(StreamCondition::ConnectionTimeout);
                        return Err(error.text("no domain was proved in time").into());
                    }
                    let quiet_us = self.hub.router().clock().now().0 - self.life.active.load(Ordering::Relaxed);
                    if is_proved && quiet_us >= idle_us {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits until the stream is to end for another reason.
    async fn ended(&self) {
        ended(self.life).await;
    }

    /// Deals with one frame; `false` at the end of the stream.
    async fn take(&mut self, frame: Frame) -> Result<bool, PeerEnd> {
        let element = match frame {
            Frame::Close => return Ok(false),
            Frame::Open(header) => {
                return match &mut self.side.incoming {
                    Some(incoming) => incoming
                        .header(self.hub, self.life, &header, &self.side.chain)
                        .await
                        .map(|()| true),
                    None => Err(StreamCondition::BadFormat.into()),
                };
            }
            Frame::Element(element) => element,
        };
        if let Some(said) = their_error(&element) {
            tracing::info!(event = "s2s_stream_error", stream = self.life.id, said);
            return Ok(false);
        }
        match element.ns() {
            ns::CLIENT => self.stanza(element).await?,
            dialback::NS => self.dialback(&element).await?,
            SM => self.management(&element).await?,
            BIDI if element.name() == "bidi" => self.bidi()?,
            _ => match &mut self.side.incoming {
                Some(incoming) => {
                    let restarts = incoming
                        .sasl(self.hub, self.life, &element, &self.side.chain)
                        .await?;
                    if restarts {
                        self.reader.restart();
                    }
                }
                None => return Err(StreamCondition::UnsupportedStanzaType.into()),
            },
        }
        Ok(true)
    }

    /// A stanza from a domain that has been proved (RFC 6120 §8.1.2.2).
    async fn stanza(&mut self, element: Element) -> Result<(), PeerEnd> {
        if self.hub.phase() != Phase::Open {
            // Not dealt with and not confirmed: the other server keeps it.
            self.hub.reached(Phase::Closing).await;
            return Err(StreamCondition::SystemShutdown.into());
        }
        let from = element.attr("from");
        let Some(from) = from.as_deref() else {
            let is_proved = !self.life.state().proved.is_empty();
            return Err(match is_proved {
                true => StreamCondition::ImproperAddressing.into(),
                false => StreamCondition::NotAuthorized.into(),
            });
        };
        let plain = domain_of(from);
        let speaker = match self.life.proved(plain) {
            Some(speaker) => Some(speaker),
            None => match Jid::parse(from) {
                Ok(from) => self.life.proved(from.domain()),
                Err(_) => return Err(StreamCondition::ImproperAddressing.into()),
            },
        };
        let Some(speaker) = speaker else {
            let is_proved = !self.life.state().proved.is_empty();
            tracing::warn!(event = "s2s_forged", stream = self.life.id, claimed = plain);
            return Err(match is_proved {
                true => StreamCondition::InvalidFrom.into(),
                false => StreamCondition::NotAuthorized.into(),
            });
        };
        let counts = self.counts && self.life.state().counting.is_some();
        let router = self.hub.router();
        self.life.touch(router.clock().now());
        let before = self.life.received.fetch_add(1, Ordering::Relaxed);
        self.hub.counters.received.fetch_add(1, Ordering::Relaxed);
        if self.hub.probes.hear(&speaker, &element) {
            let _ = self.work.send(Work::Outcome(Box::default(), counts)).await;
            return Ok(());
        }
        let outside = Outside::Remote {
            domain: speaker,
            may_repeat: before < REPEATED_MAX,
        };
        let mut outcome = router.receive_element(&outside, element).await?;
        let closing = outcome.closing.take();
        // The receiver lives as long as this does.
        let _ = self.work.send(Work::Outcome(Box::new(outcome), counts)).await;
        match closing {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    async fn dialback(&mut self, element: &Element) -> Result<(), PeerEnd> {
        let read = match Dialback::read(element) {
            Some(Ok(read)) => read,
            Some(Err(Malformed::Address)) => return Err(StreamCondition::ImproperAddressing.into()),
            Some(Err(Malformed::Other)) | None => return Err(StreamCondition::BadFormat.into()),
        };
        match read {
            Dialback::Key(addresses, key) => {
                if self.side.incoming.is_none() && !self.life.bidi.load(Ordering::Acquire) {
                    return Err(StreamCondition::UnsupportedStanzaType.into());
                }
                self.hub
                    .judge_key(self.life, addresses, key, &self.side.chain)
                    .await
            }
            Dialback::Question(addresses, id, key) => {
                let verdict = self.hub.recognise(&addresses, &id, &key);
                self.life
                    .say(&dialback::answer(&addresses.swapped(), &id, &verdict));
                Ok(())
            }
            // Nothing was asked here: it must not count (XEP-0220 §3.1).
            Dialback::Answer(addresses, ..) | Dialback::Result(addresses, _) => {
                tracing::debug!(
                    event = "s2s_unsolicited",
                    stream = self.life.id,
                    from = addresses.from
                );
                Ok(())
            }
        }
    }

    /// The other server wants stanzas on the stream that it has opened (XEP-0288 §2.2).
    fn bidi(&self) -> Result<(), PeerEnd> {
        if self.side.incoming.is_none() {
            return Err(StreamCondition::UnsupportedStanzaType.into());
        }
        self.life.bidi.store(true, Ordering::Release);
        Ok(())
    }

    /// XEP-0198.
    async fn management(&mut self, element: &Element) -> Result<(), PeerEnd> {
        match element.name() {
            "r" => {
                // The receiver lives as long as this does.
                let _ = self.work.send(Work::Asked).await;
                Ok(())
            }
            "a" => {
                let h = element.attr("h").and_then(|h| h.parse().ok());
                let h = h.ok_or(StreamCondition::BadFormat)?;
                let delivered = match &mut self.life.state().counting {
                    Some(counting) => counting.confirm(h)?,
                    None => return Ok(()),
                };
                delivered
                    .iter()
                    .for_each(|(_, outbound)| self.hub.delivered(outbound));
                self.life.ready.notify_one();
                Ok(())
            }
            "enable" | "resume" if self.side.incoming.is_some() => self.hub.manage(self.life, element).await,
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }
}

/// Waits until a stream is to end.
async fn ended(life: &Life) {
    // The sender lives in `life`, so this cannot fail.
    let _ = life.ends.subscribe().wait_for(|ends| *ends).await;
}

/// The domain of an address, as it is written.
fn domain_of(address: &str) -> &str {
    let bare = address.split('/').next().unwrap_or(address);
    bare.split_once('@').map_or(bare, |(_, domain)| domain)
}

/// Writes what is to be said and what waits for the pairs, and in the end the last words.
async fn write<S: AsyncWrite>(
    hub: &Federation,
    life: &Life,
    mut writing: WriteHalf<S>,
    max_bytes: Option<usize>,
    patience: Duration,
) -> Result<(), PeerEnd> {
    let mut bytes = Vec::new();
    let mut farewell_by = None;
    let mut unmanaged_from = None;
    loop {
        bytes.clear();
        let (words, end, pairs, window) = {
            let mut state = life.state();
            let window = state
                .counting
                .as_ref()
                .map(|counting| UNCONFIRMED_MAX.saturating_sub(counting.unconfirmed.len()));
            let words = std::mem::take(&mut state.words);
            (words, state.end.clone(), state.pairs.clone(), window)
        };
        bytes.extend_from_slice(words.as_bytes());
        let is_stopping =
            matches!(&end, Some(PeerEnd::Error(error)) if error.condition == StreamCondition::SystemShutdown);
        let mut batch = Vec::new();
        let now = tokio::time::Instant::now();
        let holds_back = match life.is_incoming && window.is_none() && !pairs.is_empty() {
            true => unmanaged_from
                .get_or_insert(now + AGREEMENT)
                .checked_duration_since(now),
            false => None,
        };
        let holds_back = holds_back.filter(|rest| !rest.is_zero());
        if (end.is_none() || is_stopping) && holds_back.is_none() {
            let mut open = Vec::with_capacity(pairs.len());
            for pair in pairs {
                if hub.fetch(life, &pair).await {
                    open.push(pair);
                }
            }
            batch = collect(hub, life, &open, window, max_bytes);
        }
        if matches!(end, Some(PeerEnd::Lost)) {
            return Ok(());
        }
        let sent = batch.len();
        let now = hub.router().clock().now();
        for (_, outbound) in &batch {
            let stanza = outbound.as_sent(now);
            bytes.extend_from_slice(&stanza.head());
            bytes.extend_from_slice(&stanza.tail());
        }
        let unmanaged = keep(life, batch, &mut bytes);
        if !bytes.is_empty() {
            let written = timeout(patience, async {
                writing.write_all(&bytes).await?;
                writing.flush().await
            });
            let written = written.await.is_ok_and(|written| written.is_ok());
            if !written {
                put_back(unmanaged);
                return Err(PeerEnd::Lost);
            }
            unmanaged.iter().for_each(|(_, outbound)| hub.delivered(outbound));
            if sent > 0 {
                life.touch(hub.router().clock().now());
                let sent = u64::try_from(sent).unwrap_or(0);
                life.sent.fetch_add(sent, Ordering::Relaxed);
                hub.counters.sent.fetch_add(sent, Ordering::Relaxed);
            }
            bytes.shrink_to(WRITE_BYTES_MAX);
            continue;
        }
        let Some(end) = end else {
            bytes = Vec::new();
            let silence = holds_back.unwrap_or(KEEPALIVE);
            let is_silent = timeout(silence, life.ready.notified()).await.is_err();
            if is_silent && holds_back.is_none() {
                let waits = match &mut life.state().counting {
                    Some(counting) if !counting.unconfirmed.is_empty() => {
                        counting.ask_again();
                        true
                    }
                    _ => false,
                };
                if !waits {
                    life.say(" ");
                }
            }
            let is_dead = |counting: &Counting| counting.is_overdue(2 * KEEPALIVE);
            if life.state().counting.as_ref().is_some_and(is_dead) {
                return Err(PeerEnd::Lost);
            }
            continue;
        };
        // Whoever confirms has a moment to do so: what it confirms need not be sent again.
        let owes = life
            .state()
            .counting
            .as_ref()
            .is_some_and(|counting| !counting.unconfirmed.is_empty());
        let by = *farewell_by.get_or_insert_with(|| tokio::time::Instant::now() + FAREWELL);
        if is_stopping && owes && tokio::time::timeout_at(by, life.ready.notified()).await.is_ok() {
            continue;
        }
        let mut last = match end {
            PeerEnd::Error(error) => error.to_xml(),
            PeerEnd::Closed | PeerEnd::Lost => String::new(),
        };
        last.push_str("</stream:stream>");
        let _ = timeout(FAREWELL, async {
            writing.write_all(last.as_bytes()).await?;
            writing.shutdown().await
        })
        .await;
        return Ok(());
    }
}

/// What waits and may be written now.
fn collect(
    hub: &Federation,
    life: &Life,
    pairs: &[Arc<DomainPair>],
    window: Option<usize>,
    max_bytes: Option<usize>,
) -> Vec<(Arc<DomainPair>, Outbound)> {
    let mut batch = Vec::new();
    let mut room = window.unwrap_or(WRITE_STANZAS_MAX).min(WRITE_STANZAS_MAX);
    for pair in pairs {
        if room == 0 {
            break;
        }
        for outbound in pair.take(life.id, WRITE_BYTES_MAX, room) {
            let weight = outbound.stanza.head().len() + outbound.stanza.tail().len();
            if max_bytes.is_some_and(|max| weight > max) {
                hub.returned(outbound, Condition::PolicyViolation);
                continue;
            }
            room -= 1;
            batch.push((pair.clone(), outbound));
        }
    }
    batch
}

/// Keeps what the other side will confirm, and asks for it. Gives back what nobody confirms.
fn keep(
    life: &Life,
    batch: Vec<(Arc<DomainPair>, Outbound)>,
    bytes: &mut Vec<u8>,
) -> Vec<(Arc<DomainPair>, Outbound)> {
    let mut state = life.state();
    let Some(counting) = &mut state.counting else {
        return batch;
    };
    counting.unconfirmed.extend(batch);
    if counting.must_ask() {
        bytes.extend_from_slice(format!("<r xmlns='{SM}'/>").as_bytes());
    }
    Vec::new()
}

/// What [`Verdict`] a result of verification means for a stream.
pub fn is_fatal(life: &Life, verdict: &Verdict) -> bool {
    *verdict == Verdict::Invalid && life.state().proved.is_empty()
}
