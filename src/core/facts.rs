//! What modules note about something that lives for a while: a session, or a stream before login. One fact of each type.

use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Facts by their type. Nothing is allocated until the first is left.
#[derive(Default)]
pub struct Facts(Mutex<Vec<(TypeId, Arc<dyn Any + Send + Sync>)>>);

impl Facts {
    /// The fact of this type, made on first use.
    pub fn of<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let mut facts = self.lock();
        if let Some(found) = find(&facts) {
            return found;
        }
        let made = Arc::new(T::default());
        facts.push((TypeId::of::<T>(), made.clone()));
        made
    }

    /// The fact of this type, if anybody ever left one.
    pub fn known<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        find(&self.lock())
    }

    /// Leaves a fact in place of the one before.
    pub fn leave<T: Any + Send + Sync>(&self, fact: T) {
        let mut facts = self.lock();
        facts.retain(|(id, _)| *id != TypeId::of::<T>());
        facts.push((TypeId::of::<T>(), Arc::new(fact)));
    }

    /// A poisoned lock only means that another task panicked between two plain assignments; the data is whole.
    fn lock(&self) -> MutexGuard<'_, Vec<(TypeId, Arc<dyn Any + Send + Sync>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Facts({})", self.lock().len())
    }
}

fn find<T: Any + Send + Sync>(facts: &[(TypeId, Arc<dyn Any + Send + Sync>)]) -> Option<Arc<T>> {
    let key = TypeId::of::<T>();
    facts
        .iter()
        .find(|(id, _)| *id == key)
        .and_then(|(_, fact)| fact.clone().downcast().ok())
}
