//! A stream over BOSH (XEP-0124 1.11, XEP-0206 1.4): what the client sends comes in the bodies of HTTP requests, what it gets
//! leaves in the answers. [`Bosh`] is the stream's side; [`Shared`] (in `shared`) is what the requests meet.

mod body;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use kim_core::error::{STREAMS, StreamError};
use kim_core::random;
use kim_core::session::Parcel;
use kim_core::wire::{self, Element};
use tokio::time::{Instant, Sleep};

pub use self::body::BadRequest;
pub(crate) use self::body::{CONTENT_TYPE, terminal};
pub use self::shared::{Answer, Shared, Terms};
use super::{Greeting, Incoming, declaration, elements};
use crate::c2s::end::End;

/// The sessions that requests can name. A session id is 160 random bits and bound to nothing else: whoever has it has the
/// session, as with a connection.
#[derive(Default)]
pub(crate) struct Sessions {
    all: Mutex<HashMap<String, Arc<Shared>>>,
}

impl Sessions {
    /// A session by its id.
    pub fn get(&self, sid: &str) -> Option<Arc<Shared>> {
        self.lock().get(sid).cloned()
    }

    /// Begins one, for the client's first body. Gives the stream's side and what its requests meet.
    pub fn begin(
        self: &Arc<Sessions>,
        first: &Element,
        limits: wire::Limits,
        terms: &Terms,
        is_secure: bool,
    ) -> Result<(Bosh, Arc<Shared>), BadRequest> {
        let sid = random::token();
        let shared = Arc::new(Shared::new(sid.clone(), first, limits, terms)?);
        self.lock().insert(sid, shared.clone());
        let bosh = Bosh {
            sessions: self.clone(),
            silence: Box::pin(tokio::time::sleep(terms.inactivity)),
            shared: shared.clone(),
            is_secure,
        };
        Ok((bosh, shared))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Shared>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream's side of a session.
pub(crate) struct Bosh {
    sessions: Arc<Sessions>,
    shared: Arc<Shared>,
    is_secure: bool,
    /// When to look whether the client is still there (XEP-0124 §10).
    silence: Pin<Box<Sleep>>,
}

impl Bosh {
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    pub fn next(&mut self) -> Result<Option<Incoming>, End> {
        Ok(self.shared.next())
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        let read = self.shared.poll_read(cx);
        if read.is_ready() {
            return read.map(Ok);
        }
        while self.silence.as_mut().poll(cx).is_ready() {
            match self.shared.silent_until() {
                Some(until) if until <= Instant::now() => return Poll::Ready(Ok(None)),
                Some(until) => self.silence.as_mut().reset(until),
                None => {
                    let later = Instant::now() + self.shared.inactivity();
                    self.silence.as_mut().reset(later);
                }
            }
        }
        Poll::Pending
    }

    pub fn release(&mut self) {}

    pub fn set_limits(&mut self, limits: wire::Limits) {
        self.shared.set_limits(limits);
    }

    pub fn restart(&mut self) {}

    pub fn queue_opening(&mut self, greeting: &Greeting<'_>, features: Option<&str>) -> io::Result<()> {
        let features = features.map(|features| {
            format!("<stream:features xmlns:stream='{STREAMS}'>{features}</stream:features>")
        });
        self.shared.open(greeting, &features.unwrap_or_default());
        Ok(())
    }

    pub fn queue(&mut self, xml: &str) -> io::Result<()> {
        let mut out = String::with_capacity(xml.len() + 64);
        for element in elements(xml) {
            payload(&mut out, element.as_str());
        }
        self.shared.push(&out);
        Ok(())
    }

    pub fn queue_parcels(&mut self, parcels: &VecDeque<Parcel>) -> io::Result<()> {
        let mut out = String::with_capacity(parcels.iter().map(|parcel| parcel.bytes() + 36).sum());
        for parcel in parcels {
            // What our own writer wrote is UTF-8.
            payload(
                &mut out,
                std::str::from_utf8(&parcel.head).map_err(io::Error::other)?,
            );
            out.push_str(std::str::from_utf8(&parcel.tail).map_err(io::Error::other)?);
        }
        self.shared.push(&out);
        Ok(())
    }

    pub fn queue_end(&mut self, error: Option<&StreamError>) -> io::Result<()> {
        let mut detail = String::new();
        if let Some(error) = error {
            payload(&mut detail, &error.to_xml());
        }
        self.shared.end(&detail);
        Ok(())
    }

    pub fn has_unwritten(&self) -> bool {
        self.shared.has_unwritten()
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>, taken: &mut usize) -> Poll<io::Result<()>> {
        self.shared.poll_flush(cx, taken).map(Ok)
    }
}

impl Drop for Bosh {
    fn drop(&mut self) {
        self.shared.abandon();
        self.sessions.lock().remove(self.shared.sid());
    }
}

/// Appends what stands inside a `<body/>`, or begins it: with its namespace, which there is another's.
fn payload(out: &mut String, xml: &str) {
    match declaration(xml.as_bytes()).and_then(|(at, declared)| Some((xml.split_at_checked(at)?, declared))) {
        Some(((name, rest), declared)) => {
            out.push_str(name);
            out.push_str(&declared);
            out.push_str(rest);
        }
        None => out.push_str(xml),
    }
}
