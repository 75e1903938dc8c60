//! SASL ANONYMOUS (RFC 4505, XEP-0175): the login of guests.

use super::{Identity, SaslFailure, Step};

/// The most bytes of trace data that are let pass.
const TRACE_BYTES_MAX: usize = 1024;

/// Lets the guest in. What the client says about itself is used for nothing (XEP-0175 §3).
pub(super) fn answer(trace: &[u8]) -> Result<Step, SaslFailure> {
    if trace.len() > TRACE_BYTES_MAX {
        return Err(SaslFailure::MalformedRequest);
    }
    Ok(Step::Success {
        identity: Identity::Guest,
        additional_data: None,
    })
}
