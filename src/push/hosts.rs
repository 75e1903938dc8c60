//! What is known of each push service: how many requests it has, and how long it asked to be left alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that one push service has at the same time.
const AT_ONCE: usize = 16;
/// Push services that are remembered.
const HOSTS_MAX: usize = 1_000;

/// All push services.
pub(super) struct PushHosts(Cache<String, Arc<Host>>);

impl Default for PushHosts {
    fn default() -> PushHosts {
        PushHosts(Cache::new(HOSTS_MAX))
    }
}

impl PushHosts {
    /// The one of an address.
    pub fn of(&self, url: &Url) -> Arc<Host> {
        let origin = url.origin().ascii_serialization();
        let made = self
            .0
            .get_or_insert_with::<_, std::convert::Infallible>(&origin, || Ok(Arc::default()));
        made.unwrap_or_default()
    }
}

/// One push service.
pub(super) struct Host {
    places: Arc<Semaphore>,
    not_before: Mutex<Option<Instant>>,
}

impl Default for Host {
    fn default() -> Host {
        Host {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            not_before: Mutex::new(None),
        }
    }
}

impl Host {
    /// Waits until it can have one more request.
    pub async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    /// How long it wants to be left alone.
    pub fn must_wait(&self) -> Option<Duration> {
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = (*not_before)?.checked_duration_since(Instant::now());
        if rest.is_none() {
            *not_before = None;
        }
        rest
    }

    /// It asked to be left alone for so long.
    pub fn wait(&self, wait: Duration) {
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = Instant::now().checked_add(wait);
    }
}
