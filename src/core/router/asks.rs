//! Requests that the server makes in its own name, and whose answers somebody here waits for: the contact addresses of another
//! server, the items of a block list. [`Router::ask`] sends one and waits, up to a deadline.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::error::STANZA_ERRORS;
use crate::jid::Jid;
use crate::ns;
use crate::random;
use crate::stanza::{IqType, Kind, Stanza};

use super::Router;

/// Requests that may wait for their answers at the same time.
const ASKS_MAX: usize = 1_000;

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The answer is an error with this condition (RFC 6120 §8.3.3). An address that cannot be reached answers so too.
    #[error("the answer is {0}")]
    Refused(String),
    /// No answer came in time.
    #[error("no answer in time")]
    Late,
    /// Too many requests wait already.
    #[error("too many requests wait for an answer")]
    TooMany,
}

/// The requests that wait, by their ids.
#[derive(Clone, Default)]
pub(super) struct Asks(Arc<Mutex<HashMap<Box<str>, Waiting>>>);

struct Waiting {
    asker: Jid,
    asked: Jid,
    tell: oneshot::Sender<Stanza>,
}

/// Forgets a request whose answer nobody waits for any more.
struct Forget<'a>(&'a Asks, Box<str>);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Asks {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: &str, asker: &Jid, asked: &Jid) -> Result<oneshot::Receiver<Stanza>, NoAnswer> {
        let mut all = self.lock();
        if all.len() >= ASKS_MAX {
            return Err(NoAnswer::TooMany);
        }
        let (tell, told) = oneshot::channel();
        let waiting = Waiting {
            asker: asker.clone(),
            asked: asked.clone(),
            tell,
        };
        all.insert(id.into(), waiting);
        Ok(told)
    }

    /// Takes the answer to a request that waits: one with its id, from whom it was sent to. `false` if it is no such answer.
    pub(super) fn hear(&self, answer: &Stanza) -> bool {
        let mut all = self.lock();
        let id = answer.id.as_deref().unwrap_or("");
        let is_it = all.get(id).is_some_and(|waiting| {
            answer.from.as_ref() == Some(&waiting.asked) && answer.to.as_ref() == Some(&waiting.asker)
        });
        let waiting = if is_it { all.remove(id) } else { None };
        // The asker may have given up in this moment.
        waiting
            .map(|waiting| drop(waiting.tell.send(answer.clone())))
            .is_some()
    }
}

impl Router {
    /// Sends a request from one of this server's own addresses (a domain or a service) and waits for the result. The id is
    /// chosen here and cannot be guessed, and only whoever was asked can answer.
    pub async fn ask(
        &self,
        kind: IqType,
        from: &Jid,
        to: &Jid,
        payload: &str,
        within: Duration,
    ) -> Result<Stanza, NoAnswer> {
        let id = random::token();
        let told = self.asks.begin(&id, from, to)?;
        let _forget = Forget(&self.asks, id.as_str().into());
        let Some(mut cx) = self.cx() else {
            return Err(NoAnswer::Late);
        };
        let request = Stanza::new(Kind::Iq(kind), payload);
        cx.send(request.from(from.clone()).to(to.clone()).id(id));
        let exchange = async {
            self.finish(cx).await;
            told.await
        };
        let answer = tokio::time::timeout(within, exchange).await;
        let Ok(Ok(answer)) = answer else {
            return Err(NoAnswer::Late);
        };
        match answer.kind {
            Kind::Iq(IqType::Result) => Ok(answer),
            _ => Err(NoAnswer::Refused(condition(&answer))),
        }
    }
}

/// The condition that an error names.
fn condition(answer: &Stanza) -> String {
    let error = answer.child("error", ns::CLIENT);
    let condition = error.and_then(|error| {
        let mut children = error.children();
        children.find(|child| child.ns() == STANZA_ERRORS && child.name() != "text")
    });
    condition
        .map_or("an error", |condition| condition.name())
        .to_owned()
}
