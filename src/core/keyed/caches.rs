//! All caches of a database, by name.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// A cache as it can be reached from outside.
pub(super) trait Cached: Send + Sync {
    /// Drops the copy of one key, given as text. A text that is not a key drops everything: reading again is better than serving
    /// stale values.
    fn drop_key(&self, key: &str);

    /// Drops everything.
    fn drop_all(&self);
}

type Tell = Box<dyn Fn(&'static str, &str) + Send + Sync>;

#[derive(Default)]
struct Inner {
    all: Mutex<Vec<(&'static str, Weak<dyn Cached>)>>,
    tell: OnceLock<Tell>,
}

/// The caches of one [`crate::db::Db`]. Cheap to clone.
#[derive(Clone, Default)]
pub struct Caches {
    inner: Arc<Inner>,
}

impl Caches {
    pub(super) fn add(&self, name: &'static str, cache: Weak<dyn Cached>) {
        let mut all = self.inner.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, cache)| cache.strong_count() > 0);
        all.push((name, cache));
    }

    fn each(&self, name: Option<&str>) -> Vec<Arc<dyn Cached>> {
        let all = self.inner.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter(|(its, _)| name.is_none_or(|name| name == *its))
            .filter_map(|(_, cache)| cache.upgrade())
            .collect()
    }

    /// The names of all caches, in order.
    pub fn names(&self) -> Vec<&'static str> {
        let all = self.inner.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    }

    /// A value has changed elsewhere: drops the copy that the cache of this name has. False if there is no such cache.
    pub fn invalidate(&self, name: &str, key: &str) -> bool {
        let caches = self.each(Some(name));
        for cache in &caches {
            cache.drop_key(key);
        }
        !caches.is_empty()
    }

    /// Drops all copies: what has changed elsewhere may have been missed.
    pub fn drop_all(&self) {
        for cache in self.each(None) {
            cache.drop_all();
        }
    }

    /// From now on `tell` hears the name and the key of every value that is changed here, to pass them on to others, who call
    /// [`Caches::invalidate`]. It is called after the commit and must not block. There can be one; false if there is one already.
    pub fn on_change(&self, tell: impl Fn(&'static str, &str) + Send + Sync + 'static) -> bool {
        self.inner.tell.set(Box::new(tell)).is_ok()
    }

    /// A value was changed here. The key is made into text only if somebody listens.
    pub(super) fn changed(&self, name: &'static str, key: impl FnOnce() -> String) {
        if let Some(tell) = self.inner.tell.get() {
            tell(name, &key());
        }
    }
}
