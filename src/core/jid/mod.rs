//! XMPP addresses (RFC 7622). A [`Jid`] is parsed and prepared once; after that it is text that can be compared byte for byte.
//!
//! The only way to a [`Jid`] or [`BareJid`] is through a constructor that checks, so whoever holds one need not check again.

mod lookalike;
mod prepare;
#[cfg(test)]
mod tests;

pub use lookalike::skeleton;

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The most bytes a part may have after preparation (RFC 7622 §3.1).
pub const PART_BYTES_MAX: usize = 1023;

/// The most bytes of text that are looked at: three full parts and their separators. It bounds what preparation can cost.
pub const JID_BYTES_MAX: usize = 3 * PART_BYTES_MAX + 2;

/// One of the three parts of an address, `local@domain/resource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Before the `@`: the account, the room.
    Local,
    /// The host.
    Domain,
    /// After the `/`: the session, the nickname.
    Resource,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Local => "localpart",
            Part::Domain => "domain",
            Part::Resource => "resource",
        })
    }
}

/// Why a text is not an address. Each of them is the stanza error `jid-malformed` (RFC 6120 §8.3.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// Nothing is left of the part after preparation.
    #[error("the {0} of the address is empty")]
    Empty(Part),
    /// More than [`PART_BYTES_MAX`] bytes, or more than [`JID_BYTES_MAX`] before preparation.
    #[error("the {0} of the address is longer than {PART_BYTES_MAX} bytes")]
    TooLong(Part),
    /// Characters that the part may not hold.
    #[error("the {0} of the address holds characters that are not allowed there")]
    Forbidden(Part),
    /// A resource where a bare address is wanted.
    #[error("the address has a resource where none is allowed")]
    NotBare,
}

/// An address, prepared. Cloning and [`Jid::bare`] copy no text.
#[derive(Clone)]
pub struct Jid {
    /// The whole normalised text; a bare address taken from a full one shares it.
    text: Arc<str>,
    /// Where the `@` stands; 0 without a localpart, which cannot be empty.
    at: u16,
    /// Where the domain ends.
    domain_end: u16,
    /// Where this address ends in `text`; more than `domain_end` if there is a resource.
    end: u16,
}

impl Jid {
    /// Reads an address and prepares its parts (RFC 7622 §3.2: first the `/`, then the `@`).
    pub fn parse(text: &str) -> Result<Jid, JidError> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match bare.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, bare),
        };
        Jid::new(local, domain, resource)
    }

    /// Builds an address of its parts; `None` is a missing part, an empty one is refused.
    pub fn new(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Jid, JidError> {
        let raw = |part: Part, text: &str| match text.len() {
            0 => Err(JidError::Empty(part)),
            bytes if bytes > JID_BYTES_MAX => Err(JidError::TooLong(part)),
            _ => Ok(()),
        };
        raw(Part::Domain, domain)?;
        local.map_or(Ok(()), |text| raw(Part::Local, text))?;
        resource.map_or(Ok(()), |text| raw(Part::Resource, text))?;
        let local = local.map(prepare::local).transpose()?;
        let domain = prepare::domain(domain)?;
        let resource = resource.map(prepare::resource).transpose()?;
        Ok(Jid::assemble(local.as_deref(), &domain, resource.as_deref()))
    }

    /// Joins prepared parts. Each is at most [`PART_BYTES_MAX`] long, so every offset fits 16 bits.
    fn assemble(local: Option<&str>, domain: &str, resource: Option<&str>) -> Jid {
        let mut text = String::with_capacity(
            local.map_or(0, |l| l.len() + 1) + domain.len() + resource.map_or(0, |r| r.len() + 1),
        );
        let mut at = 0;
        if let Some(local) = local {
            text.push_str(local);
            at = text.len() as u16;
            text.push('@');
        }
        text.push_str(domain);
        let domain_end = text.len() as u16;
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        Jid {
            at,
            domain_end,
            end: text.len() as u16,
            text: text.into(),
        }
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        self.slice(0, self.end)
    }

    /// The text without the resource.
    pub fn bare_str(&self) -> &str {
        self.slice(0, self.domain_end)
    }

    /// The part before the `@`.
    pub fn local(&self) -> Option<&str> {
        (self.at > 0).then(|| self.slice(0, self.at))
    }

    /// The host, in lower case and U-labels.
    pub fn domain(&self) -> &str {
        self.slice(if self.at > 0 { self.at + 1 } else { 0 }, self.domain_end)
    }

    /// The part after the `/`.
    pub fn resource(&self) -> Option<&str> {
        (!self.is_bare()).then(|| self.slice(self.domain_end + 1, self.end))
    }

    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        self.end == self.domain_end
    }

    /// Whether this is a host alone, with neither localpart nor resource.
    pub fn is_domain(&self) -> bool {
        self.at == 0 && self.is_bare()
    }

    /// The address without its resource. No text is copied.
    pub fn bare(&self) -> BareJid {
        BareJid(Jid {
            end: self.domain_end,
            ..self.clone()
        })
    }

    /// The host's own address.
    pub fn to_domain(&self) -> BareJid {
        if self.is_domain() {
            return self.bare();
        }
        BareJid(Jid::assemble(None, self.domain(), None))
    }

    /// The same account or room with another resource.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        if resource.is_empty() {
            return Err(JidError::Empty(Part::Resource));
        }
        if resource.len() > JID_BYTES_MAX {
            return Err(JidError::TooLong(Part::Resource));
        }
        Ok(Jid::assemble(
            self.local(),
            self.domain(),
            Some(&prepare::resource(resource)?),
        ))
    }

    /// The offsets are made by `assemble` alone and stand on character borders.
    fn slice(&self, from: u16, to: u16) -> &str {
        self.text
            .get(usize::from(from)..usize::from(to))
            .unwrap_or_default()
    }
}

/// The form of a localpart under which an account is looked up and compared: what a login name (RFC 5802 §5.1, RFC 4616 §2)
/// or a registration (XEP-0077) must pass through before it is used.
pub fn prepare_username(name: &str) -> Result<String, JidError> {
    match name.len() {
        0 => Err(JidError::Empty(Part::Local)),
        bytes if bytes > JID_BYTES_MAX => Err(JidError::TooLong(Part::Local)),
        _ => prepare::local(name).map(Cow::into_owned),
    }
}

/// The form under which nicknames are compared (RFC 8266 §2.4): without regard to case, to width, and to spaces at the ends
/// or doubled. `None` if nothing is left. What comes in is the resource of an address, so it is prepared already.
pub fn nickname_key(nick: &str) -> Option<String> {
    let key = prepare::nickname_key(nick);
    (!key.is_empty()).then_some(key)
}

/// An address that has no resource: an account, a room, a host. As the key of a map it can be looked up by `&str`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BareJid(Jid);

impl BareJid {
    /// Reads an address that must not have a resource.
    pub fn parse(text: &str) -> Result<BareJid, JidError> {
        Jid::parse(text)?.try_into()
    }

    /// Builds a bare address of its parts.
    pub fn new(local: Option<&str>, domain: &str) -> Result<BareJid, JidError> {
        Jid::new(local, domain, None).map(BareJid)
    }
}

impl Deref for BareJid {
    type Target = Jid;

    fn deref(&self) -> &Jid {
        &self.0
    }
}

impl AsRef<Jid> for BareJid {
    fn as_ref(&self) -> &Jid {
        &self.0
    }
}

impl Borrow<Jid> for BareJid {
    fn borrow(&self) -> &Jid {
        &self.0
    }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Jid {
        bare.0
    }
}

impl TryFrom<Jid> for BareJid {
    type Error = JidError;

    fn try_from(jid: Jid) -> Result<BareJid, JidError> {
        if jid.is_bare() {
            Ok(BareJid(jid))
        } else {
            Err(JidError::NotBare)
        }
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Jid) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Jid {}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Jid) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Jid) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

/// What both address types do by their text alone.
macro_rules! by_text {
    ($($address:ident),*) => {$(
        impl Borrow<str> for $address {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $address {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $address {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl fmt::Display for $address {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $address {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl FromStr for $address {
            type Err = JidError;

            fn from_str(text: &str) -> Result<$address, JidError> {
                $address::parse(text)
            }
        }

        impl Serialize for $address {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $address {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$address, D::Error> {
                let text = String::deserialize(deserializer)?;
                $address::parse(&text).map_err(de::Error::custom)
            }
        }
    )*};
}

by_text!(Jid, BareJid);
