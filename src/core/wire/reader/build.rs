//! Builds a stanza in canonical form from what the reader has scanned, with the index of the children.

use bytes::BytesMut;
use bytestring::ByteString;

use super::canon::UNBOUND;
use super::names::{Mark, Namespaces, Ns};
use super::tag::TagScan;
use crate::element::{Child, Children, NsAt};
use crate::{Element, Limits, WireError};

/// Finished stanzas share chunks of at least this size, which are used again once their stanzas are gone.
const CHUNK_BYTES: usize = 2048;

const TOO_BIG: WireError = WireError::TooBig("stanza_bytes_max");

/// Where an element stands: what its parent (or the stream) has in force.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// What a name without prefix means.
    pub default: Ns,
    /// The default namespace of the canonical form, and where it is written.
    pub scope: Ns,
    pub scope_at: NsAt,
}

/// An element whose end has not come.
struct Open {
    place: Place,
    tag_at: usize,
    tag_len: usize,
    /// Bytes at the end of `prefixes`.
    prefix_len: usize,
    /// Where its content begins.
    content_at: usize,
    /// What was declared outside it.
    outside: Mark,
}

/// The stanza being written, and all memory that reading needs. Nothing of it is kept while a stream is idle.
#[derive(Default)]
pub(super) struct Work {
    pub tag: TagScan,
    pub out: Vec<u8>,
    open: Vec<Open>,
    /// The prefixes of the open elements as the peer wrote them, one after another, for their end tags.
    prefixes: Vec<u8>,
    /// The namespaces of generated prefixes on the element under way.
    pub generated: Vec<Ns>,
    children: Children,
    /// Elements inside the stanza so far, at every level.
    elements: usize,
    /// Namespace declarations in the stanza so far.
    pub declarations: usize,
    root_tail_at: usize,
    chunk: BytesMut,
}

impl Work {
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    #[cfg(test)]
    pub fn held_bytes(&self) -> usize {
        size_of::<Work>()
            + self.out.capacity()
            + self.open.capacity() * size_of::<Open>()
            + self.prefixes.capacity()
            + self.children.len() * size_of::<Child>()
            + self.chunk.capacity()
    }

    /// The place inside the innermost open element.
    fn place(&self, outside: Place) -> Place {
        self.open.last().map_or(outside, |open| open.place)
    }

    /// Opens the element just scanned, `outside` being the place of the root.
    pub fn open(
        &mut self,
        names: &mut Namespaces,
        tag: &[u8],
        outside: Place,
        limits: &Limits,
    ) -> Result<(), WireError> {
        if self.open.len() >= limits.depth_max {
            return Err(WireError::TooBig("depth_max"));
        }
        if self.open.is_empty() {
            (self.elements, self.declarations) = (0, 0);
        } else {
            self.elements += 1;
            if self.elements > limits.children_max {
                return Err(WireError::TooBig("children_max"));
            }
        }
        let mark = names.mark();
        let start = self.out.len();
        let place = self.write_tag(names, tag, self.place(outside), limits, UNBOUND)?;
        if self.out.len() > limits.stanza_bytes_max {
            return Err(TOO_BIG);
        }
        let (tag_at, tag_len) = (start + 1, self.tag_len(tag));
        match self.open.len() {
            0 => self.root_tail_at = self.out.len(),
            1 => {
                let scope = place.scope_at;
                self.children.push(Child {
                    start: start as u32,
                    end: 0,
                    tag_len: tag_len as u32,
                    scope,
                });
            }
            _ => {}
        }
        let prefix = if self.is_xml(tag) {
            b""
        } else {
            self.tag.name.prefix(tag)
        };
        self.prefixes.extend_from_slice(prefix);
        self.out.push(b'>');
        let content_at = self.out.len();
        self.open.push(Open {
            place,
            tag_at,
            tag_len,
            prefix_len: prefix.len(),
            content_at,
            outside: mark,
        });
        Ok(())
    }

    /// Writes a stream header as an empty element. Its declarations stay in force.
    pub fn header(
        &mut self,
        names: &mut Namespaces,
        tag: &[u8],
        outside: Place,
        limits: &Limits,
    ) -> Result<(ByteString, Ns), WireError> {
        self.out.clear();
        self.declarations = 0;
        let unbound = WireError::BadNamespacePrefix;
        let place = self.write_tag(names, tag, outside, limits, unbound)?;
        self.out.extend_from_slice(b"/>");
        let xml = ByteString::try_from(self.out.as_slice()).map_err(|_| WireError::InvalidUtf8)?;
        self.out.clear();
        Ok((xml, place.default))
    }

    /// Scans the end tag of the innermost open element.
    pub fn closing(&mut self, tag: &[u8]) -> Result<Option<usize>, WireError> {
        let Some(open) = self.open.last() else {
            return Err(WireError::NotWellFormed("an end tag out of place"));
        };
        let prefix = self
            .prefixes
            .get(self.prefixes.len() - open.prefix_len..)
            .unwrap_or_default();
        let local = self
            .out
            .get(open.tag_at..open.tag_at + open.tag_len)
            .unwrap_or_default();
        self.tag.closing(tag, prefix, local)
    }

    /// Closes the innermost open element. Returns whether it was the root.
    pub fn close(&mut self, names: &mut Namespaces, limits: &Limits) -> Result<bool, WireError> {
        let Some(open) = self.open.last() else {
            return Ok(false);
        };
        if self.out.len() == open.content_at {
            self.out.pop();
            self.out.extend_from_slice(b"/>");
        } else {
            self.out.extend_from_slice(b"</");
            self.out
                .extend_from_within(open.tag_at..open.tag_at + open.tag_len);
            self.out.push(b'>');
        }
        if self.out.len() > limits.stanza_bytes_max {
            return Err(TOO_BIG);
        }
        names.cut(open.outside);
        self.prefixes.truncate(self.prefixes.len() - open.prefix_len);
        match self.open.len() {
            // The root stays until it is taken.
            1 => return Ok(true),
            2 => {
                if let Some(child) = self.children.last_mut() {
                    child.end = self.out.len() as u32;
                }
            }
            _ => {}
        }
        self.open.pop();
        Ok(false)
    }

    /// Takes the element whose root was closed.
    #[inline(always)]
    pub fn finish(&mut self) -> Result<Element, WireError> {
        let root = self.open.pop();
        let (tag_len, scope) = root.map_or((0, NsAt::CONTENT), |root| (root.tag_len, root.place.scope_at));
        let len = self.out.len();
        if self.chunk.capacity() < len {
            self.chunk.reserve(len.max(CHUNK_BYTES));
        }
        self.chunk.extend_from_slice(&self.out);
        self.out.clear();
        // All parts have been checked when they were read; this is what lets the rest of kIM use them as `str`.
        let xml = ByteString::try_from(self.chunk.split().freeze()).map_err(|_| WireError::InvalidUtf8)?;
        let children = std::mem::take(&mut self.children);
        Ok(Element::indexed(xml, tag_len, self.root_tail_at, scope, children))
    }
}
