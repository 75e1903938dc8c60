//! A cursor over canonical XML: an element seen without building a tree.
//!
//! It relies on what canonical form promises (see the crate's page): `<` and `>` appear only as the ends of tags, quotes
//! are single, `xmlns` stands directly after the name. On other text it finds nothing; it never panics.

use std::borrow::Cow;
use std::fmt;

use crate::escape::unescape;
use crate::{Element, Writer, XML_NS};

/// One element of canonical XML. Cheap to copy: three slices.
#[derive(Clone, Copy)]
pub struct El<'a> {
    /// From the `<` to behind the last `>`.
    xml: &'a str,
    /// The name as written, so with `xml:` for the elements of that namespace.
    tag: &'a str,
    /// The default namespace inside the element; for all but `xml:` elements also its own.
    scope: &'a str,
}

impl<'a> El<'a> {
    /// The element that `xml` consists of, standing where `scope` is the default namespace.
    pub(crate) fn new(xml: &'a str, scope: &'a str) -> Option<El<'a>> {
        let bytes = xml.as_bytes();
        let end = bytes.iter().position(|b| matches!(b, b' ' | b'>' | b'/'))?;
        let tag = xml.get(1..end)?;
        let scope = match xml.get(end..)?.strip_prefix(" xmlns='") {
            Some(rest) => rest.split_once('\'')?.0,
            None => scope,
        };
        Some(El { xml, tag, scope })
    }

    /// The same for an element whose name and namespace are known already.
    pub(crate) fn known(xml: &'a str, tag: &'a str, scope: &'a str) -> El<'a> {
        El { xml, tag, scope }
    }

    /// The local name.
    pub fn name(&self) -> &'a str {
        self.tag.strip_prefix("xml:").unwrap_or(self.tag)
    }

    /// The namespace; [`CONTENT_NS`](crate::CONTENT_NS) for each of the content namespaces.
    ///
    /// It is in canonical form: in a namespace name that holds `&`, `<`, `>` or `'` these stay escaped. [`Writer`] takes
    /// it like that.
    pub fn ns(&self) -> &'a str {
        if self.tag.starts_with("xml:") {
            XML_NS
        } else {
            self.scope
        }
    }

    /// Whether this is the element called so.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name() == name && self.ns() == ns
    }

    /// The default namespace that the children inherit.
    pub(crate) fn scope(&self) -> &'a str {
        self.scope
    }

    /// The name as it is written.
    pub(crate) fn tag(&self) -> &'a str {
        self.tag
    }

    /// What is written between the name and the end of the opening tag.
    pub(crate) fn head(&self) -> &'a str {
        let rest = self.xml.get(1 + self.tag.len()..).unwrap_or_default();
        let end = memchr::memchr(b'>', rest.as_bytes()).unwrap_or(rest.len());
        let head = rest.get(..end).unwrap_or_default();
        head.strip_suffix('/').unwrap_or(head)
    }

    /// What is written between the opening and the closing tag.
    pub(crate) fn inner(&self) -> &'a str {
        let Some(open) = memchr::memchr(b'>', self.xml.as_bytes()) else {
            return "";
        };
        let close = self.xml.len().saturating_sub(self.tag.len() + 3);
        self.xml.get(open + 1..close).unwrap_or_default()
    }

    /// The value of an attribute, by its name as written: `id`, `xml:lang`.
    pub fn attr(&self, name: &str) -> Option<Cow<'a, str>> {
        self.raw_attrs()
            .find(|raw| raw.name == name)
            .map(|raw| unescape(raw.value))
    }

    /// The value of an attribute that has a namespace of its own, whatever its prefix.
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<Cow<'a, str>> {
        let prefix_of = |prefix: &str| {
            let declaration = |raw: &RawAttr<'a>| raw.name.strip_prefix("xmlns:") == Some(prefix);
            if prefix == "xml" {
                Some(XML_NS)
            } else {
                raw_attrs(self.head()).find(declaration).map(|raw| raw.value)
            }
        };
        self.raw_attrs()
            .find(|raw| match raw.name.split_once(':') {
                Some((prefix, local)) => local == name && prefix_of(prefix) == Some(ns),
                None => false,
            })
            .map(|raw| unescape(raw.value))
    }

    /// The attributes in source order, by their names as written, without namespace declarations.
    pub fn attrs(&self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> + use<'a> {
        self.raw_attrs().map(|raw| (raw.name, unescape(raw.value)))
    }

    fn raw_attrs(&self) -> impl Iterator<Item = RawAttr<'a>> + use<'a> {
        raw_attrs(self.head()).filter(|raw| !raw.is_declaration())
    }

    /// The child elements.
    pub fn children(&self) -> impl Iterator<Item = El<'a>> + use<'a> {
        elements(self.inner(), self.scope)
    }

    /// The first child called so.
    pub fn child(&self, name: &str, ns: &str) -> Option<El<'a>> {
        self.children().find(|child| child.is(name, ns))
    }

    /// The text directly inside the element, without that of its children.
    pub fn text(&self) -> Cow<'a, str> {
        let inner = self.inner();
        let mut pieces = Pieces { rest: inner };
        match pieces.next() {
            None => Cow::Borrowed(""),
            Some(Piece::Text(all)) if all.len() == inner.len() => unescape(all),
            Some(first) => {
                let mut out = String::new();
                for piece in std::iter::once(first).chain(pieces) {
                    if let Piece::Text(text) = piece {
                        out.push_str(&unescape(text));
                    }
                }
                Cow::Owned(out)
            }
        }
    }

    /// The element as it stands in its parent: its namespace may be inherited and not written.
    pub fn xml(&self) -> &'a str {
        self.xml
    }

    /// The element for itself: its namespace is written unless it is a content namespace.
    pub fn to_xml(&self) -> String {
        Writer::new().el(*self).finish_string()
    }

    /// The element as an owned one.
    pub fn to_element(&self) -> Element {
        Element::from_el(*self)
    }
}

impl fmt::Debug for El<'_> {
    /// The name and size only: content has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<{} xmlns='{}'> of {} bytes",
            self.name(),
            self.ns(),
            self.xml.len()
        )
    }
}

/// An attribute or declaration as it is written.
#[derive(Clone, Copy)]
pub(crate) struct RawAttr<'a> {
    /// Everything, with the blank before it.
    pub whole: &'a str,
    pub name: &'a str,
    pub value: &'a str,
}

impl RawAttr<'_> {
    pub(crate) fn is_declaration(&self) -> bool {
        self.name == "xmlns" || self.name.starts_with("xmlns:")
    }
}

/// The attributes and declarations in the head of a canonical opening tag.
pub(crate) fn raw_attrs(head: &str) -> impl Iterator<Item = RawAttr<'_>> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let equals = memchr::memchr(b'=', rest.as_bytes())?;
        let value_at = equals + 2;
        let len = memchr::memchr(b'\'', rest.as_bytes().get(value_at..)?)?;
        let attr = RawAttr {
            whole: rest.get(..value_at + len + 1)?,
            name: rest.get(1..equals)?,
            value: rest.get(value_at..value_at + len)?,
        };
        rest = rest.get(value_at + len + 1..)?;
        Some(attr)
    })
}

/// What canonical content consists of.
pub(crate) enum Piece<'a> {
    Text(&'a str),
    Element(&'a str),
}

/// Walks canonical content.
pub(crate) struct Pieces<'a> {
    pub rest: &'a str,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let end = match memchr::memchr(b'<', self.rest.as_bytes()) {
            Some(0) => element_end(self.rest)?,
            Some(at) => at,
            None => self.rest.len(),
        };
        let (piece, rest) = (self.rest.get(..end)?, self.rest.get(end..)?);
        self.rest = rest;
        Some(if piece.starts_with('<') {
            Piece::Element(piece)
        } else {
            Piece::Text(piece)
        })
    }
}

/// The elements that stand next to one another in canonical content.
pub(crate) fn elements<'a>(content: &'a str, scope: &'a str) -> impl Iterator<Item = El<'a>> + use<'a> {
    Pieces { rest: content }.filter_map(move |piece| match piece {
        Piece::Element(xml) => El::new(xml, scope),
        Piece::Text(_) => None,
    })
}

/// The length of the element that canonical XML begins with. A loop and a count, so depth costs no stack.
pub(crate) fn element_end(xml: &str) -> Option<usize> {
    let bytes = xml.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    loop {
        let open = at + memchr::memchr(b'<', bytes.get(at..)?)?;
        let close = open + memchr::memchr(b'>', bytes.get(open..)?)?;
        at = close + 1;
        if bytes.get(open + 1) == Some(&b'/') {
            depth = depth.checked_sub(1)?;
        } else if bytes.get(close - 1) != Some(&b'/') {
            depth += 1;
        }
        if depth == 0 {
            return Some(at);
        }
    }
}
