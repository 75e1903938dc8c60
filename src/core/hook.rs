//! How modules take part: typed events, heard in named stages.
//!
//! A module implements [`On`] for an event and registers it at a [`Stage`]. The chain of an event runs its hooks
//! stage by stage, and within a stage in the order of the `MODULES` list. A hook that answers [`Flow::Done`] has
//! dealt with the event: nobody after it is asked. A hook that fails stops the chain too.

use std::future::Future;

use futures_util::future::BoxFuture;

use crate::cx::Cx;
use crate::error::Fault;

/// The stages of every chain, in the order in which they run. Read from top to bottom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// May this happen at all? Block lists, policies, limits.
    Admit,
    /// Add what only the server may say; strip what others forged.
    Stamp,
    /// Hold back or reshape (client state indication).
    Filter,
    /// Hand rows to the group commit; the tickets are awaited before anything leaves.
    Store,
    /// Decide who gets it.
    Deliver,
    /// Copies for those who were not chosen (carbons).
    Copy,
    /// Tell the outside that something waits (push).
    Notify,
}

/// Something that happens and that modules may take part in. The type is the contract: its fields are what hooks
/// may read and change.
pub trait Event: Send + 'static {
    /// The name in logs and in `kim modules`.
    const NAME: &'static str;
}

/// Whether the next hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Next,
    /// This hook has dealt with it.
    Done,
}

/// A hook for one event. One struct does one job; what it needs it holds.
pub trait On<E: Event>: Send + Sync + 'static {
    /// Hears `event`. Sends are requested through `cx` and performed in order after the chain.
    fn on(&self, event: &mut E, cx: &mut Cx) -> impl Future<Output = Result<Flow, Fault>> + Send;
}

trait DynOn<E: Event>: Send + Sync {
    fn call<'a>(&'a self, event: &'a mut E, cx: &'a mut Cx) -> BoxFuture<'a, Result<Flow, Fault>>;
}

impl<E: Event, H: On<E>> DynOn<E> for H {
    fn call<'a>(&'a self, event: &'a mut E, cx: &'a mut Cx) -> BoxFuture<'a, Result<Flow, Fault>> {
        Box::pin(self.on(event, cx))
    }
}

struct Hook<E: Event> {
    stage: Stage,
    module: &'static str,
    handler: Box<dyn DynOn<E>>,
}

/// Everyone who listens to one event, in order.
pub struct Chain<E: Event> {
    hooks: Vec<Hook<E>>,
}

impl<E: Event> Default for Chain<E> {
    fn default() -> Chain<E> {
        Chain { hooks: Vec::new() }
    }
}

impl<E: Event> Chain<E> {
    /// Adds a hook behind those of the same or an earlier stage.
    pub(crate) fn add(&mut self, stage: Stage, module: &'static str, handler: impl On<E>) {
        let at = self.hooks.partition_point(|hook| hook.stage <= stage);
        self.hooks.insert(
            at,
            Hook {
                stage,
                module,
                handler: Box::new(handler),
            },
        );
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Asks everyone in turn.
    pub async fn run(&self, event: &mut E, cx: &mut Cx) -> Result<Flow, Fault> {
        for hook in &self.hooks {
            match hook.handler.call(event, cx).await {
                Ok(Flow::Next) => {}
                Ok(Flow::Done) => return Ok(Flow::Done),
                Err(fault) => {
                    if let Fault::Us(cause) = &fault {
                        tracing::error!(
                            event = "hook_failed", hook = E::NAME, module = hook.module, stage = ?hook.stage, %cause
                        );
                    }
                    return Err(fault);
                }
            }
        }
        Ok(Flow::Next)
    }
}
