//! How modules take part: typed events, heard in named stages.
//!
//! Two kinds of events exist. Of an [`Event`] somebody decides: a hook implements [`On`], and one that answers
//! [`Flow::Done`] has dealt with it, so nobody after it is asked. A [`Notice`] tells what has happened: every hook that
//! implements [`Hear`] hears it, and none can keep it from the others. Modules register both at a [`Stage`]; hooks run stage by
//! stage, and within a stage in the order of the `MODULES` list.

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

/// Something that is decided on its way, and that modules may take part in. The type is the contract: its fields are what
/// hooks may read and change.
pub trait Event: Send + 'static {
    /// The name in logs and in `kim modules`.
    const NAME: &'static str;
}

/// Something that has happened, and that everybody who listens is told. Its fields may collect what they contribute.
pub trait Notice: Send + 'static {
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
    /// Hears `event`. Sends are requested through `cx` and performed in order after the chain. A failure ends the chain.
    fn on(&self, event: &mut E, cx: &mut Cx) -> impl Future<Output = Result<Flow, Fault>> + Send;
}

/// A hook for one notice. It has no way to end the chain.
pub trait Hear<N: Notice>: Send + Sync + 'static {
    /// Hears `notice`. A failure is logged, and the others hear the notice all the same.
    fn hear(&self, notice: &mut N, cx: &mut Cx) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// A hook's future is moved to the heap for each stanza, so one that is large costs every message something, whether the hook
/// has to do with it or not. Optimized builds do not look; theirs are smaller.
const FUTURE_BYTES_MAX: usize = 8_000;

/// A hook without its type.
trait DynHook<E>: Send + Sync {
    fn call<'a>(&'a self, event: &'a mut E, cx: &'a mut Cx) -> BoxFuture<'a, Result<Flow, Fault>>;
}

struct Deciding<H>(H);

impl<E: Event, H: On<E>> DynHook<E> for Deciding<H> {
    fn call<'a>(&'a self, event: &'a mut E, cx: &'a mut Cx) -> BoxFuture<'a, Result<Flow, Fault>> {
        let hook = self.0.on(event, cx);
        debug_assert!(
            size_of_val(&hook) <= FUTURE_BYTES_MAX,
            "{}: the future takes {} bytes; put its rare branches into boxes",
            std::any::type_name::<H>(),
            size_of_val(&hook)
        );
        Box::pin(hook)
    }
}

struct Hearing<H>(H);

impl<N: Notice, H: Hear<N>> DynHook<N> for Hearing<H> {
    fn call<'a>(&'a self, notice: &'a mut N, cx: &'a mut Cx) -> BoxFuture<'a, Result<Flow, Fault>> {
        Box::pin(async { self.0.hear(notice, cx).await.map(|()| Flow::Next) })
    }
}

struct Hook<E> {
    stage: Stage,
    module: &'static str,
    handler: Box<dyn DynHook<E>>,
}

impl<E> Hook<E> {
    fn log(&self, name: &'static str, fault: &Fault) {
        if let Fault::Us(cause) = fault {
            tracing::error!(event = "hook_failed", hook = name, module = self.module, stage = ?self.stage, %cause);
        }
    }
}

/// Everyone who listens to one event or notice, in order.
pub struct Chain<E> {
    hooks: Vec<Hook<E>>,
}

impl<E> Default for Chain<E> {
    fn default() -> Chain<E> {
        Chain { hooks: Vec::new() }
    }
}

impl<E> Chain<E> {
    /// Adds a hook behind those of the same or an earlier stage.
    fn insert(&mut self, stage: Stage, module: &'static str, handler: Box<dyn DynHook<E>>) {
        let at = self.hooks.partition_point(|hook| hook.stage <= stage);
        self.hooks.insert(
            at,
            Hook {
                stage,
                module,
                handler,
            },
        );
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }
}

impl<E: Event> Chain<E> {
    pub(crate) fn add(&mut self, stage: Stage, module: &'static str, handler: impl On<E>) {
        self.insert(stage, module, Box::new(Deciding(handler)));
    }

    /// Asks everyone in turn, until one has dealt with it or fails.
    pub async fn run(&self, event: &mut E, cx: &mut Cx) -> Result<Flow, Fault> {
        for hook in &self.hooks {
            match hook.handler.call(event, cx).await {
                Ok(Flow::Next) => {}
                Ok(Flow::Done) => return Ok(Flow::Done),
                Err(fault) => {
                    hook.log(E::NAME, &fault);
                    return Err(fault);
                }
            }
        }
        Ok(Flow::Next)
    }
}

impl<N: Notice> Chain<N> {
    pub(crate) fn add_listener(&mut self, stage: Stage, module: &'static str, handler: impl Hear<N>) {
        self.insert(stage, module, Box::new(Hearing(handler)));
    }

    /// Tells everyone in turn. The first failure is handed back once all have heard.
    pub async fn tell(&self, notice: &mut N, cx: &mut Cx) -> Result<(), Fault> {
        let mut failed = Ok(());
        for hook in &self.hooks {
            if let Err(fault) = hook.handler.call(notice, cx).await {
                hook.log(N::NAME, &fault);
                failed = failed.and(Err(fault));
            }
        }
        failed
    }
}
