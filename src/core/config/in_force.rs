//! The limits in force: those the server started with, or those that were read last while it runs.

use std::sync::{Arc, PoisonError, RwLock};

use super::Limits;

/// The limits by which everything goes. Clones are one and the same; ask again at each use.
#[derive(Clone, Debug)]
pub struct LimitsInForce(Arc<RwLock<Arc<Limits>>>);

impl LimitsInForce {
    /// These, as far as they are not switched off.
    pub fn new(limits: &Limits) -> LimitsInForce {
        LimitsInForce(Arc::new(RwLock::new(Arc::new(limits.effective()))))
    }

    /// What holds now.
    pub fn now(&self) -> Arc<Limits> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these hold; says whether they are others than before.
    pub fn replace(&self, limits: &Limits) -> bool {
        let limits = Arc::new(limits.effective());
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = **held != *limits;
        *held = limits;
        is_new
    }
}
