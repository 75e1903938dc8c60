//! Other servers that a [`House`](super::House) can reach: each keeps what it is sent, and speaks for its domain. How servers
//! find each other and prove who they are is tested with real ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::house::Inbox;
use crate::error::{Condition, StreamCondition, StreamError};
use crate::remote::{Outbound, Outside, Remotes};
use crate::router::Router;
use crate::session::Outbox;

/// What a neighbour keeps before it refuses more, in bytes.
const OUTBOX_BYTES_MAX: usize = 16 << 20;

/// The servers that can be reached.
#[derive(Default)]
pub(super) struct Neighbours(Mutex<HashMap<String, Arc<Way>>>);

/// The way to one of them.
struct Way {
    outbox: Outbox,
    /// Messages on it that the house keeps until this server has them.
    kept: Mutex<Vec<Outbound>>,
}

impl Neighbours {
    pub(super) fn join(&self, router: Arc<Router>, domain: &str) -> Neighbour {
        let way = Arc::new(Way {
            outbox: Outbox::new(OUTBOX_BYTES_MAX),
            kept: Mutex::default(),
        });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(domain.to_owned(), way.clone());
        Neighbour {
            router,
            outside: Outside::Remote {
                domain: domain.into(),
                may_repeat: false,
            },
            domain: domain.to_owned(),
            way,
            inbox: Inbox::default(),
        }
    }

    fn way(&self, domain: &str) -> Option<Arc<Way>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(domain).cloned()
    }
}

impl Remotes for Neighbours {
    fn push(&self, outbound: Outbound) -> Result<(), Condition> {
        let to = outbound.stanza.to.as_ref();
        let way = to.and_then(|to| self.way(to.domain()));
        let way = way.ok_or(Condition::RemoteServerNotFound)?;
        let taken = way.outbox.push(outbound.stanza.clone(), outbound.received);
        taken.map_err(|_| Condition::RemoteServerTimeout)?;
        if outbound.row.is_some() {
            way.kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(outbound);
        }
        Ok(())
    }

    fn refusal(&self, domain: &str) -> Option<Condition> {
        match self.way(domain) {
            Some(way) if !way.outbox.is_closed() => None,
            _ => Some(Condition::RemoteServerNotFound),
        }
    }
}

/// Another server.
pub struct Neighbour {
    router: Arc<Router>,
    outside: Outside,
    domain: String,
    way: Arc<Way>,
    inbox: Inbox,
}

impl Neighbour {
    /// Sends one stanza and waits until all that it causes has been delivered. Gives the error that ends its stream, if one
    /// does.
    pub async fn send(&mut self, xml: &str) -> Option<StreamError> {
        let element = self.inbox.element(xml);
        let mut outcome = match self.router.receive_element(&self.outside, element).await {
            Ok(outcome) => outcome,
            Err(error) => return Some(error),
        };
        let closing = outcome.closing.take();
        self.router.perform(outcome).await;
        closing
    }

    /// From now on its stream is new: what it sends may be what it sent before.
    pub fn reconnect(&mut self) {
        if let Outside::Remote { may_repeat, .. } = &mut self.outside {
            *may_repeat = true;
        }
    }

    /// The next stanza that came must match the pattern (see [`super::pattern`]).
    #[track_caller]
    pub fn expect(&mut self, expected: &str) {
        self.inbox.expect(&self.domain, &self.way.outbox, expected);
    }

    /// The next stanza that came, as text; `None` if there is none.
    #[expect(clippy::should_implement_trait, reason = "more may come after a `None`")]
    pub fn next(&mut self) -> Option<String> {
        self.inbox.next(&self.way.outbox)
    }

    /// Reads away what came so far.
    pub fn skip(&mut self) {
        while self.next().is_some() {}
    }

    /// Nothing may have come.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        if let Some(unexpected) = self.next() {
            panic!("{} got {unexpected}", self.domain);
        }
    }

    /// The messages that came and that the house keeps until it is told what became of them; each is given once.
    pub fn kept(&self) -> Vec<Outbound> {
        std::mem::take(&mut self.way.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on the server cannot be reached: what this one still sends comes back.
    pub fn disappear(self) {
        self.way.outbox.close(StreamCondition::ConnectionTimeout.into());
    }
}
