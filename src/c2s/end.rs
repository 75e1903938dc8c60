//! Why a stream ends: one of a client's, or one of a component's.

use std::io;

use kim_core::error::{StreamCondition, StreamError};
use kim_core::ns;

/// Why a stream ends.
#[derive(Debug)]
pub enum End {
    /// The other side is told.
    Error(StreamError),
    /// The other side has closed the stream.
    Closed,
    /// The connection is gone, or of no more use.
    Lost(io::Error),
    /// Another connection goes on with the session (XEP-0198 §5).
    Replaced,
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> End {
        End::Error(error)
    }
}

impl From<StreamCondition> for End {
    fn from(condition: StreamCondition) -> End {
        End::Error(condition.into())
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Lost(error)
    }
}

/// What ends a stream on which something comes too early (RFC 6120 §4.9.3.12, §4.9.3.24).
pub(super) fn unexpected(namespace: &str) -> End {
    if namespace == ns::CLIENT {
        StreamCondition::NotAuthorized.into()
    } else {
        StreamCondition::UnsupportedStanzaType.into()
    }
}
