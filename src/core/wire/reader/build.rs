//! Writes the canonical form of what the reader has scanned, and the index of the children.

use std::io::Write;

use bytes::BytesMut;
use bytestring::ByteString;

use super::names::{Mark, Namespaces, Ns};
use super::tag::TagScan;
use crate::element::{Child, Children, NsAt};
use crate::{CONTENT_NS, Element, Limits, WireError, escape};

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
    generated: Vec<Ns>,
    children: Children,
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
        let mark = names.mark();
        let start = self.out.len();
        let place = self.write_tag(names, tag, self.place(outside), limits)?;
        if self.out.len() > limits.stanza_bytes_max {
            return Err(TOO_BIG);
        }
        let (tag_at, tag_len) = (start + 1, self.tag_len(tag));
        match self.open.len() {
            0 => self.root_tail_at = self.out.len(),
            1 => {
                if self.children.len() >= limits.children_max {
                    return Err(WireError::TooBig("children_max"));
                }
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
        let place = self.write_tag(names, tag, outside, limits)?;
        self.out.extend_from_slice(b"/>");
        let xml = ByteString::try_from(self.out.as_slice()).map_err(|_| WireError::InvalidUtf8)?;
        self.out.clear();
        Ok((xml, place.default))
    }

    fn is_xml(&self, tag: &[u8]) -> bool {
        self.tag.name.prefix(tag) == b"xml"
    }

    /// The length of the name as canonical form has it.
    fn tag_len(&self, tag: &[u8]) -> usize {
        if self.is_xml(tag) {
            self.tag.name.whole(tag).len()
        } else {
            self.tag.name.local(tag).len()
        }
    }

    /// Puts the declarations of a tag in force and writes it without its end.
    #[inline(always)]
    fn write_tag(
        &mut self,
        names: &mut Namespaces,
        tag: &[u8],
        parent: Place,
        limits: &Limits,
    ) -> Result<Place, WireError> {
        let default = self.declare(names, tag, parent.default, limits)?;
        let name = self.tag.name;
        let (written_name, scope) = match name.prefix(tag) {
            b"" => (name.whole(tag), default),
            // There is no way to write an element of this namespace but with this prefix (Namespaces in XML §3).
            b"xml" => (name.whole(tag), default),
            prefix => (name.local(tag), names.of_element(names.of_prefix(prefix)?)),
        };
        if let Some(scope_at) = self.copy_tag(names, tag, parent, scope) {
            return Ok(Place {
                default,
                scope,
                scope_at,
            });
        }
        let out = &mut self.out;
        out.push(b'<');
        out.extend_from_slice(written_name);
        let mut scope_at = parent.scope_at;
        if !names.same(scope, parent.scope) {
            out.extend_from_slice(b" xmlns='");
            if scope == Ns::CONTENT {
                out.extend_from_slice(CONTENT_NS.as_bytes());
                scope_at = NsAt::CONTENT;
            } else {
                let text = names.text(scope);
                scope_at = NsAt::written(out.len(), text.len());
                out.extend_from_slice(text);
            }
            out.push(b'\'');
        }
        self.generate(names, tag)?;
        for attr in &self.tag.attrs {
            let out = &mut self.out;
            out.push(b' ');
            if attr.name.has_prefix() && attr.name.prefix(tag) != b"xml" {
                write_prefix(out, attr.generated);
                out.push(b':');
                out.extend_from_slice(attr.name.local(tag));
            } else {
                out.extend_from_slice(attr.name.whole(tag));
            }
            out.extend_from_slice(b"='");
            if attr.plain {
                out.extend_from_slice(attr.value(tag));
            } else {
                escape::put_raw_value(out, attr.value(tag))?;
            }
            out.push(b'\'');
        }
        Ok(Place {
            default,
            scope,
            scope_at,
        })
    }

    /// Copies a tag that is in canonical form as it stands, but for its quotes: most are. Returns where its scope is
    /// written, or `None` if the tag must be put together.
    #[inline(always)]
    fn copy_tag(&mut self, names: &Namespaces, tag: &[u8], parent: Place, scope: Ns) -> Option<NsAt> {
        let TagScan {
            name,
            attrs,
            declarations,
            ..
        } = &self.tag;
        if !self.tag.tight || name.has_prefix() || attrs.iter().any(|a| !a.plain || a.name.has_prefix()) {
            return None;
        }
        let written = !names.same(scope, parent.scope);
        let scope_at = match &declarations[..] {
            [] if !written => parent.scope_at,
            [xmlns]
                if written
                    && scope != Ns::CONTENT
                    && xmlns.is_first(*name)
                    && !xmlns.name.has_prefix()
                    && xmlns.plain =>
            {
                NsAt::written(self.out.len() + xmlns.value_at(), xmlns.value(tag).len())
            }
            _ => return None,
        };
        let at = self.out.len();
        let end = tag.len() - if self.tag.empty { 2 } else { 1 };
        self.out.extend_from_slice(tag.get(..end)?);
        let copy = self.out.get_mut(at..)?;
        for attr in attrs.iter().chain(declarations) {
            attr.single_quotes(copy);
        }
        Some(scope_at)
    }

    /// Puts the declarations of a tag in force. Returns the default namespace.
    #[inline(always)]
    fn declare(
        &self,
        names: &mut Namespaces,
        tag: &[u8],
        mut default: Ns,
        limits: &Limits,
    ) -> Result<Ns, WireError> {
        for declaration in &self.tag.declarations {
            let value = declaration.value(tag);
            let ns = names.keep(|text| {
                if declaration.plain {
                    text.extend_from_slice(value);
                    return Ok(());
                }
                escape::put_raw_value(text, value)
            })?;
            if declaration.name.has_prefix() {
                names.bind(declaration.name.local(tag), ns)?;
            } else {
                names.check_default(ns)?;
                default = names.of_element(ns);
            }
        }
        if names.prefixes() > limits.namespaces_max {
            return Err(WireError::TooBig("namespaces_max"));
        }
        Ok(default)
    }

    /// Gives every namespace among the attributes a prefix and declares it; refuses attributes that are the same.
    fn generate(&mut self, names: &Namespaces, tag: &[u8]) -> Result<(), WireError> {
        self.generated.clear();
        for at in 0..self.tag.attrs.len() {
            let (before, rest) = self.tag.attrs.split_at_mut(at);
            let Some(attr) = rest.first_mut() else { break };
            if !attr.name.has_prefix() || attr.name.prefix(tag) == b"xml" {
                continue;
            }
            let ns = names.of_prefix(attr.name.prefix(tag))?;
            let known = self
                .generated
                .iter()
                .position(|other| names.text(*other) == names.text(ns));
            attr.generated = known.unwrap_or(self.generated.len()) as u32;
            if known.is_none() {
                self.out.extend_from_slice(b" xmlns:");
                write_prefix(&mut self.out, attr.generated);
                self.out.extend_from_slice(b"='");
                self.out.extend_from_slice(names.text(ns));
                self.out.push(b'\'');
                self.generated.push(ns);
            }
            let same = |other: &super::tag::Attr| {
                other.name.has_prefix()
                    && other.name.prefix(tag) != b"xml"
                    && other.generated == attr.generated
                    && other.name.local(tag) == attr.name.local(tag)
            };
            if before.iter().any(same) {
                return Err(WireError::NotWellFormed("the same attribute twice"));
            }
        }
        Ok(())
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

/// Writes a generated prefix.
fn write_prefix(out: &mut Vec<u8>, number: u32) {
    // Writing into memory cannot fail.
    let _ = write!(out, "n{number}");
}
