//! How much of anything the reader takes from one stream before it refuses.

/// The limits of a [`Reader`](crate::Reader). They are enforced while reading, before memory is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one stanza, counted as they came in and, separately, as they are written in canonical form.
    pub stanza_bytes_max: usize,
    /// Elements inside one another, the stanza itself being the first.
    pub depth_max: usize,
    /// Attributes of one element, not counting namespace declarations.
    pub attributes_max: usize,
    /// Bytes of one element or attribute name with its prefix.
    pub name_bytes_max: usize,
    /// Namespace declarations in one stanza, and prefixes in force at one place.
    pub namespaces_max: usize,
    /// Elements inside one stanza, at every level.
    pub children_max: usize,
    /// Bytes of the stream header, and of the XML declaration before it.
    pub header_bytes_max: usize,
    /// White space counts towards the bytes of what follows it. Otherwise it is free, as a keepalive should be.
    pub space_counts: bool,
}

impl Limits {
    /// What a peer may send before it has proved who it is: enough for TLS, SASL and nothing more.
    pub const fn before_login() -> Limits {
        Limits {
            stanza_bytes_max: 10_000,
            space_counts: true,
            ..Limits::after_login()
        }
    }

    /// What an authenticated peer may send; also the default.
    pub const fn after_login() -> Limits {
        Limits {
            stanza_bytes_max: 262_144,
            depth_max: 64,
            attributes_max: 64,
            name_bytes_max: 256,
            namespaces_max: 1024,
            children_max: 4096,
            header_bytes_max: 4096,
            space_counts: false,
        }
    }

    /// The same, with the byte counts cut so far that 32-bit offsets suffice even where every byte grows sixfold.
    pub(crate) fn clamped(self) -> Limits {
        const MOST: usize = 1 << 28;
        Limits {
            stanza_bytes_max: self.stanza_bytes_max.min(MOST),
            header_bytes_max: self.header_bytes_max.min(MOST),
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::after_login()
    }
}
