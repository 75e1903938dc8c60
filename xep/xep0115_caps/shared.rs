//! What was verified is kept for everybody who announces the same (§8.2), bounded in bytes; the oldest goes first.
//! Sessions that know an entry hold it themselves, so nobody loses anything when it goes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::api::Features;
use super::session::CapsKey;

/// Verified features by hash function and verification string.
pub(super) struct Shared {
    bytes_max: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    features: HashMap<CapsKey, Arc<Features>>,
    order: VecDeque<CapsKey>,
    bytes: usize,
}

impl Shared {
    pub fn new(bytes_max: usize) -> Shared {
        Shared {
            bytes_max,
            known: Mutex::default(),
        }
    }

    pub fn get(&self, key: &CapsKey) -> Option<Arc<Features>> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .features
            .get(key)
            .cloned()
    }

    /// Keeps verified features and gives back what everybody shares.
    pub fn put(&self, key: CapsKey, features: Features) -> Arc<Features> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.features.get(&key) {
            return found.clone();
        }
        let features = Arc::new(features);
        known.bytes += weight_bytes(&key, &features);
        known.order.push_back(key.clone());
        known.features.insert(key, features.clone());
        while known.bytes > self.bytes_max {
            let Some(oldest) = known.order.pop_front() else {
                break;
            };
            if let Some(gone) = known.features.remove(&oldest) {
                known.bytes = known.bytes.saturating_sub(weight_bytes(&oldest, &gone));
            }
        }
        features
    }

    #[cfg(test)]
    pub fn weight_bytes(&self) -> (usize, usize) {
        let known = self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        (known.bytes, known.features.len())
    }
}

fn weight_bytes(key: &CapsKey, features: &Features) -> usize {
    2 * key.1.len() + features.weight_bytes() + 200
}
