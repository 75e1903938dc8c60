//! Names of elements and attributes, with their prefixes.

use crate::chars::{self, HIGH, NAME, NAME_START, Wide};
use crate::{Limits, WireError};

/// A name with its prefix, if it has one.
#[derive(Clone, Copy, Default)]
pub(super) struct QName {
    pub at: u32,
    pub len: u32,
    /// 0 if there is no prefix; otherwise the colon follows.
    pub prefix_len: u32,
}

impl QName {
    pub fn whole<'t>(&self, tag: &'t [u8]) -> &'t [u8] {
        bytes(tag, self.at, self.len)
    }

    pub fn prefix<'t>(&self, tag: &'t [u8]) -> &'t [u8] {
        bytes(tag, self.at, self.prefix_len)
    }

    pub fn local<'t>(&self, tag: &'t [u8]) -> &'t [u8] {
        let skip = if self.prefix_len == 0 {
            0
        } else {
            self.prefix_len + 1
        };
        bytes(tag, self.at + skip, self.len - skip)
    }

    pub fn has_prefix(&self) -> bool {
        self.prefix_len != 0
    }
}

pub(super) fn bytes(tag: &[u8], at: u32, len: u32) -> &[u8] {
    tag.get(at as usize..(at + len) as usize).unwrap_or_default()
}

/// The name at `at` (Namespaces in XML §4), or `None` if it may go on behind the end of what is there.
#[inline(always)]
pub(super) fn qname(tag: &[u8], at: usize, limits: &Limits) -> Result<Option<QName>, WireError> {
    let rest = tag.get(at..).unwrap_or_default();
    let len = rest
        .iter()
        .position(|b| !chars::is(*b, NAME))
        .unwrap_or(rest.len());
    if let (Some(first), Some(after)) = (rest.first(), rest.get(len))
        && chars::is(*first, NAME_START)
        && len <= limits.name_bytes_max
        && *after != b':'
        && *after < 0x80
    {
        return Ok(Some(QName {
            at: at as u32,
            len: len as u32,
            prefix_len: 0,
        }));
    }
    long_qname(tag, at, limits)
}

/// The same for any name.
#[cold]
fn long_qname(tag: &[u8], at: usize, limits: &Limits) -> Result<Option<QName>, WireError> {
    let mut end = at;
    let mut prefix_len = 0;
    // Whether the next character begins a part of the name.
    let mut begins = true;
    loop {
        if end - at > limits.name_bytes_max {
            return Err(WireError::TooBig("name_bytes_max"));
        }
        let Some(&byte) = tag.get(end) else {
            return Ok(None);
        };
        if chars::is(byte, if begins { NAME_START } else { NAME }) {
            end += 1;
        } else if byte == b':' {
            if begins || prefix_len != 0 {
                return Err(WireError::NotWellFormed("a colon out of place"));
            }
            prefix_len = end - at;
            end += 1;
            begins = true;
            continue;
        } else if chars::is(byte, HIGH) {
            match chars::wide(tag.get(end..).unwrap_or_default())? {
                Wide::Cut => return Ok(None),
                Wide::Char(c, len)
                    if if begins {
                        chars::is_name_start(c)
                    } else {
                        chars::is_name_char(c)
                    } =>
                {
                    end += len;
                }
                Wide::Char(..) => return Err(WireError::NotWellFormed("a character that no name may hold")),
            }
        } else if begins {
            return Err(WireError::NotWellFormed("a name is missing"));
        } else {
            return Ok(Some(QName {
                at: at as u32,
                len: (end - at) as u32,
                prefix_len: prefix_len as u32,
            }));
        }
        begins = false;
    }
}
