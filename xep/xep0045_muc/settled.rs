//! What waits to hear whether a change of a room was stored: memory of a room, here and in other modules, that must not run
//! ahead of the database.

use std::sync::{Mutex, PoisonError};

use kim_core::cx::Cx;

/// What is done behind the commit, told whether it worked.
pub type Then = Box<dyn FnOnce(bool) + Send>;

/// A fact of a turn's context: what is done behind its commit.
#[derive(Default)]
struct Waiting(Mutex<Vec<Then>>);

/// Does something once the turn that this context belongs to is stored, or cannot be; it is told which.
pub fn once(cx: &mut Cx, then: impl FnOnce(bool) + Send + 'static) {
    if cx.fact::<Waiting>().is_none() {
        cx.learn(Waiting::default());
    }
    if let Some(Waiting(waiting)) = cx.fact() {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(Box::new(then));
    }
}

/// What waits for a turn, together with what the turn itself does then.
pub fn take(cx: &Cx, then: Option<Then>) -> Option<Then> {
    let waiting = cx.fact::<Waiting>().map(|Waiting(waiting)| {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting)
    });
    let Some(mut all) = waiting.filter(|waiting| !waiting.is_empty()) else {
        return then;
    };
    all.extend(then);
    Some(Box::new(move |is_stored| {
        for then in all {
            then(is_stored);
        }
    }))
}
