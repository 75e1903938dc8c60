//! What the metrics page shows.

use std::sync::Arc;

use kim_core::clock::Timestamp;

use super::gate::Gate;

/// The gate in front of open registration. A fact of the house where there is one.
pub struct RegistrationGate(Arc<Gate>);

impl RegistrationGate {
    pub(super) fn new(gate: Arc<Gate>) -> RegistrationGate {
        RegistrationGate(gate)
    }

    /// The bits that a challenge has now.
    pub fn bits(&self, now: Timestamp) -> u32 {
        self.0.bits(now)
    }

    /// Accounts that were made with a challenge solved.
    pub fn passed(&self) -> u64 {
        self.0.passed()
    }

    /// Attempts without one, or with a wrong one.
    pub fn refused(&self) -> u64 {
        self.0.refused()
    }
}
