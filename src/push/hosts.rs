//! What is known of each push service: how many requests it has, and how long it asked to be left alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kim_xep::push_service::api::Woken;
use quick_cache::sync::Cache;
use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that one push service of a user has at the same time.
const AT_ONCE: usize = 16;
/// Requests that wait for one of these places. With more, a push service that hangs would take all that may be under way.
const IN_LINE: usize = 128;
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
            .get_or_insert_with::<_, std::convert::Infallible>(&origin, || Ok(Arc::new(Host::new(AT_ONCE))));
        made.unwrap_or_else(|never| match never {})
    }
}

/// One push service.
pub(super) struct Host {
    line: Arc<Semaphore>,
    places: Arc<Semaphore>,
    not_before: Mutex<Option<Instant>>,
}

/// A place at a push service.
pub(super) struct HostPlace {
    _in_line: OwnedSemaphorePermit,
    _at_once: OwnedSemaphorePermit,
}

impl Host {
    /// One that has so many requests at the same time.
    pub fn new(at_once: usize) -> Host {
        Host {
            line: Arc::new(Semaphore::new(at_once.saturating_add(IN_LINE))),
            places: Arc::new(Semaphore::new(at_once)),
            not_before: Mutex::new(None),
        }
    }

    /// Waits until it can have one more request. If too many wait, or it wants to be left alone, the answer to them all is: not
    /// now.
    pub async fn place(&self) -> Result<HostPlace, Woken> {
        if let Some(rest) = self.must_wait() {
            return Err(Woken::NotNow(Some(rest)));
        }
        let crowded = |_| Woken::NotNow(None);
        let in_line = self.line.clone().try_acquire_owned().map_err(crowded)?;
        let at_once = self.places.clone().acquire_owned().await;
        let at_once = at_once.map_err(|_| Woken::NotNow(None))?;
        // Somebody before may have been told.
        match self.must_wait() {
            Some(rest) => Err(Woken::NotNow(Some(rest))),
            None => Ok(HostPlace {
                _in_line: in_line,
                _at_once: at_once,
            }),
        }
    }

    /// How long it wants to be left alone.
    fn must_wait(&self) -> Option<Duration> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn a_push_service_has_its_places_and_a_line_that_ends() {
        let host = Host::new(1);
        let place = now(host.place()).unwrap().ok().unwrap();
        assert!(now(host.place()).is_none(), "the next one waits");
        let mut waiting: Vec<_> = (0..IN_LINE).map(|_| Box::pin(host.place())).collect();
        for one in &mut waiting {
            assert!(now(one).is_none());
        }
        assert_eq!(now(host.place()).unwrap().err(), Some(Woken::NotNow(None)));
        drop(place);
        assert!(
            now(&mut waiting[0]).unwrap().is_ok(),
            "the first in line is the next"
        );
    }

    #[test]
    fn a_push_service_is_left_alone_for_as_long_as_it_asked() {
        let host = Host::new(1);
        host.wait(Duration::from_secs(60));
        assert!(matches!(now(host.place()), Some(Err(Woken::NotNow(Some(rest)))) if rest.as_secs() >= 59));
        host.wait(Duration::ZERO);
        assert!(now(host.place()).unwrap().is_ok());
    }
}
