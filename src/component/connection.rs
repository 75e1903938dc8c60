//! The stream of one component: the handshake, then stanzas both ways until either side ends it.
//!
//! Stanzas are read and run through the house one at a time; their outcomes are performed in order behind their commits,
//! while the next stanzas are read. When too many wait, nothing more is read, and TCP tells the program.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kim_core::component::Connected;
use kim_core::cx::Outcome;
use kim_core::error::{StreamCondition, StreamError};
use kim_core::random;
use kim_core::remote::Outside;
use kim_core::router::Router;
use kim_core::session::Outbox;
use kim_core::wire::{Frame, Reader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;

use super::handshake::{Handshake, HandshakeStep};
use crate::c2s::{Door, End};

/// Bytes written in one go.
const WRITE_BYTES_MAX: usize = 64 * 1024;
/// How long the last words may take to be written.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves a connection from its first byte to its last. The turn is kept until the handshake is over.
pub(super) async fn serve(door: Arc<Door>, tcp: TcpStream, turn: OwnedSemaphorePermit) {
    let counted = door.wait();
    let (mut reading, mut writing) = tcp.into_split();
    let seconds = door.router().limits().login_seconds_max;
    let shaken = tokio::select! {
        shaken = shake_hands(&door, &mut reading, &mut writing) => shaken,
        () = tokio::time::sleep(Duration::from_secs(seconds)) => None,
        () = door.stopped() => None,
    };
    drop(turn);
    if let Some((connected, reader, input)) = shaken {
        let domain = connected.component().domain().to_owned();
        tracing::info!(event = "component_connected", domain);
        exchange(
            &door,
            &connected,
            Incoming {
                reading,
                reader,
                input,
            },
            writing,
        )
        .await;
        door.router().disconnect_component(connected).await;
        tracing::info!(event = "component_disconnected", domain);
    }
    drop(counted);
}

/// Lets the program in, or says why not.
async fn shake_hands(
    door: &Door,
    reading: &mut OwnedReadHalf,
    writing: &mut OwnedWriteHalf,
) -> Option<(Connected, Reader, BytesMut)> {
    let router = door.router();
    let components = &router.config().components;
    let mut handshake = Handshake::new(components, random::token(), door.wire_before_login());
    let mut input = BytesMut::new();
    let refusal = loop {
        match handshake.read(&mut input) {
            Ok(HandshakeStep::More) => {
                if reading.read_buf(&mut input).await.ok()? == 0 {
                    return None;
                }
            }
            Ok(HandshakeStep::Answer(words)) => writing.write_all(words.as_bytes()).await.ok()?,
            Ok(HandshakeStep::Proven(domain)) => match router.connect_component(&domain) {
                Some(Ok(connected)) => {
                    writing.write_all(b"<handshake/>").await.ok()?;
                    let mut reader = handshake.into_reader();
                    reader.set_limits(door.wire_after_login());
                    return Some((connected, reader, input));
                }
                Some(Err(_)) => {
                    let error = StreamError::new(StreamCondition::Conflict);
                    break error.text("another component is already connected for this domain");
                }
                None => break StreamCondition::HostUnknown.into(),
            },
            Err(error) => break error,
        }
    };
    tracing::warn!(
        event = "component_refused",
        condition = refusal.condition.as_str()
    );
    let mut words = String::new();
    if !handshake.is_answered() {
        // RFC 6120 §4.9.1.2: an error before our header comes behind it all the same.
        words.push_str(&handshake.opening(router.config().main_domain()));
    }
    words.push_str(&refusal.to_xml());
    words.push_str("</stream:stream>");
    let _ = timeout(FAREWELL, async {
        writing.write_all(words.as_bytes()).await?;
        writing.shutdown().await
    })
    .await;
    None
}

/// What the program sends.
struct Incoming {
    reading: OwnedReadHalf,
    reader: Reader,
    input: BytesMut,
}

/// Stanzas both ways, until one side has ended and everything that was read has been dealt with.
async fn exchange(door: &Door, connected: &Connected, mut incoming: Incoming, writing: OwnedWriteHalf) {
    let router = door.router();
    let limits = router.limits();
    let (outcomes, performed) = mpsc::channel(limits.pending_commits_per_stream_max);
    let (ended, end) = watch::channel(None);
    let (unheard, mut is_unheard) = watch::channel(false);
    let work = async {
        let read = async {
            let deaf = async {
                let _ = is_unheard.wait_for(|unheard| *unheard).await;
            };
            tokio::pin!(deaf);
            let end = incoming.run(door, connected, &outcomes, deaf).await;
            drop(outcomes);
            end
        };
        let (end, ()) = tokio::join!(read, perform(router, performed));
        ended.send_replace(Some(end));
    };
    let write = async {
        let patience = Duration::from_secs(limits.slow_reader_seconds_max);
        let _ = write(connected.outbox(), writing, end, patience).await;
        unheard.send_replace(true);
    };
    tokio::join!(work, write);
}

/// Performs outcomes, one after another.
async fn perform(router: &Router, mut outcomes: mpsc::Receiver<Outcome>) {
    while let Some(outcome) = outcomes.recv().await {
        router.perform(outcome).await;
    }
}

impl Incoming {
    /// Reads until the program has said all, or nobody writes to it any more.
    async fn run(
        &mut self,
        door: &Door,
        connected: &Connected,
        outcomes: &mpsc::Sender<Outcome>,
        mut deaf: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> End {
        let outside = Outside::Component(connected.component().clone());
        let stopped = door.stopped();
        tokio::pin!(stopped);
        loop {
            match self.reader.read(&mut self.input) {
                Ok(Some(Frame::Element(element))) => {
                    let mut outcome = match door.router().receive_element(&outside, element).await {
                        Ok(outcome) => outcome,
                        Err(error) => return error.into(),
                    };
                    let closing = outcome.closing.take();
                    // The receiver lives as long as this does.
                    let _ = outcomes.send(outcome).await;
                    if let Some(error) = closing {
                        return error.into();
                    }
                    continue;
                }
                Ok(Some(Frame::Close)) => return End::Closed,
                Ok(Some(Frame::Open(_))) => return StreamCondition::BadFormat.into(),
                Ok(None) => {}
                Err(error) => return StreamError::from(error).into(),
            }
            tokio::select! {
                read = self.reading.read_buf(&mut self.input) => match read {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return End::Closed,
                },
                () = &mut deaf => return End::Closed,
                () = &mut stopped => return StreamCondition::SystemShutdown.into(),
            }
        }
    }
}

/// Writes what waits for the program, and in the end the last words.
async fn write(
    outbox: &Outbox,
    mut writing: OwnedWriteHalf,
    mut end: watch::Receiver<Option<End>>,
    patience: Duration,
) -> Result<(), End> {
    let mut bytes = Vec::new();
    let last_words = loop {
        let taken = outbox.take_some(WRITE_BYTES_MAX);
        if !taken.parcels.is_empty() {
            bytes.clear();
            for parcel in &taken.parcels {
                bytes.extend_from_slice(&parcel.head);
                bytes.extend_from_slice(&parcel.tail);
            }
            let written = timeout(patience, writing.write_all(&bytes)).await;
            written.map_err(|_| StreamCondition::ConnectionTimeout)??;
            bytes.shrink_to(WRITE_BYTES_MAX);
        }
        if let Some(error) = taken.closing {
            break error.to_xml();
        }
        if !taken.parcels.is_empty() {
            continue;
        }
        tokio::select! {
            () = outbox.ready() => {}
            ended = end.wait_for(Option::is_some) => match ended.as_deref() {
                Ok(Some(End::Error(error))) => break error.to_xml(),
                _ => break String::new(),
            }
        }
    };
    let farewell = async {
        writing
            .write_all(format!("{last_words}</stream:stream>").as_bytes())
            .await?;
        writing.shutdown().await
    };
    let _ = timeout(FAREWELL, farewell).await;
    Ok(())
}
