//! An owned element: canonical bytes and a small index of the children.

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use smallvec::SmallVec;

use crate::el::{self, RawAttr};
use crate::{CONTENT_NS, El, Frame, Limits, Reader, WireError, Writer};

/// Where a namespace is written inside the element's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NsAt {
    at: u32,
    len: u32,
}

impl NsAt {
    /// Not written: the content namespace. (No written one stands at 0.)
    pub(crate) const CONTENT: NsAt = NsAt { at: 0, len: 0 };

    pub(crate) fn written(at: usize, len: usize) -> NsAt {
        NsAt {
            at: at as u32,
            len: len as u32,
        }
    }

    fn of(self, xml: &str) -> &str {
        if self == NsAt::CONTENT {
            CONTENT_NS
        } else {
            slice(xml, self.at, self.at + self.len)
        }
    }
}

/// One child in the index. Offsets are 32 bits; the reader's limits see to it that they suffice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    pub start: u32,
    pub end: u32,
    pub tag_len: u32,
    pub scope: NsAt,
}

/// As many as a chat message of today carries; more go to the heap.
pub(crate) type Children = SmallVec<[Child; 8]>;

/// An element on its own: a stanza, a nonza, a payload. Cheap to clone; the bytes are shared.
///
/// Two elements are equal if their canonical bytes are.
#[derive(Clone)]
pub struct Element {
    xml: ByteString,
    tag_len: u32,
    tail_at: u32,
    scope: NsAt,
    children: Children,
}

fn slice(xml: &str, from: u32, to: u32) -> &str {
    xml.get(from as usize..to as usize).unwrap_or_default()
}

impl Element {
    /// What the reader has written and indexed.
    pub(crate) fn indexed(
        xml: ByteString,
        tag_len: usize,
        tail_at: usize,
        scope: NsAt,
        children: Children,
    ) -> Element {
        Element {
            xml,
            tag_len: tag_len as u32,
            tail_at: tail_at as u32,
            scope,
            children,
        }
    }

    /// Reads one element, whose default namespace is `jabber:client` unless it says otherwise. The text is in memory
    /// already, so its size is not limited; the other limits are those of an authenticated stream.
    pub fn parse(xml: &str) -> Result<Element, WireError> {
        let limits = Limits {
            stanza_bytes_max: usize::MAX,
            namespaces_max: usize::MAX,
            children_max: usize::MAX,
            ..Limits::default()
        };
        Element::parse_within(xml, limits)
    }

    /// The same with limits of one's own.
    pub fn parse_within(xml: &str, limits: Limits) -> Result<Element, WireError> {
        let mut reader = Reader::documents(limits, CONTENT_NS);
        let mut input = BytesMut::from(xml);
        match reader.read(&mut input)? {
            Some(Frame::Element(element)) if input.iter().all(|b| crate::chars::is_space(*b)) => Ok(element),
            Some(_) => Err(WireError::NotWellFormed("more than one element")),
            None => Err(WireError::NotWellFormed("no whole element")),
        }
    }

    /// An element that this server wrote and stored. It is canonical, and no limit of today's applies to it.
    pub fn stored(xml: &str) -> Option<Element> {
        Element::from_canonical(ByteString::from(xml))
    }

    /// Indexes what is canonical already, if it is one element.
    pub(crate) fn from_canonical(xml: ByteString) -> Option<Element> {
        (el::element_end(&xml)? == xml.len()).then(|| Element::index(xml))
    }

    /// Indexes one canonical element.
    fn index(xml: ByteString) -> Element {
        let root = El::new(&xml, CONTENT_NS).unwrap_or(El::known(&xml, "", CONTENT_NS));
        // Every slice below lies inside `xml`, so the distance of its first byte is its offset.
        let offset = |part: &str| (part.as_ptr() as usize).wrapping_sub(xml.as_ptr() as usize);
        let scope_at = |el: El<'_>, inherited: NsAt| {
            if el.head().starts_with(" xmlns='") {
                NsAt::written(offset(el.scope()), el.scope().len())
            } else {
                inherited
            }
        };
        let scope = scope_at(root, NsAt::CONTENT);
        let child = |child: El<'_>| {
            let start = offset(child.xml());
            Child {
                start: start as u32,
                end: (start + child.xml().len()) as u32,
                tag_len: child.tag().len() as u32,
                scope: scope_at(child, scope),
            }
        };
        let children = root.children().map(child).collect();
        let tag_len = root.tag().len();
        let tail_at = 1 + tag_len + root.head().len();
        Element::indexed(xml.clone(), tag_len, tail_at, scope, children)
    }

    pub(crate) fn from_el(el: El<'_>) -> Element {
        Element::index(ByteString::from(el.to_xml()))
    }

    /// An element in the content namespace around canonical children, possibly none: a stanza of the server's own.
    pub fn around(name: &str, children: &str) -> Element {
        let mut xml = Writer::new();
        xml.start(name, CONTENT_NS).raw(children).end();
        Element::index(ByteString::from(xml.finish_string()))
    }

    /// The element as a cursor.
    pub fn el(&self) -> El<'_> {
        El::known(
            &self.xml,
            slice(&self.xml, 1, 1 + self.tag_len),
            self.scope.of(&self.xml),
        )
    }

    /// The local name.
    pub fn name(&self) -> &str {
        self.el().name()
    }

    /// The namespace; [`CONTENT_NS`] for a stanza on any kind of stream. See [`El::ns`].
    pub fn ns(&self) -> &str {
        self.el().ns()
    }

    /// Whether this is the element called so.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.el().is(name, ns)
    }

    /// The value of an attribute, by its name as written: `id`, `xml:lang`.
    pub fn attr(&self, name: &str) -> Option<Cow<'_, str>> {
        self.el().attr(name)
    }

    /// The value of an attribute that has a namespace of its own.
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<Cow<'_, str>> {
        self.el().attr_ns(name, ns)
    }

    /// The attributes in source order, by their names as written, without namespace declarations.
    pub fn attrs(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        self.el().attrs()
    }

    /// The attributes other than the named ones, as they are written (each with a blank before it) and with the
    /// declarations that they need: what to carry over when the opening tag is written anew.
    pub fn extra_attrs(&self, but: &[&str]) -> impl Iterator<Item = &str> {
        el::raw_attrs(self.head())
            .filter(move |RawAttr { name, .. }| *name != "xmlns" && !but.contains(name))
            .map(|raw| raw.whole)
    }

    fn head(&self) -> &str {
        slice(&self.xml, 1 + self.tag_len, self.tail_at)
    }

    /// The text directly inside the element.
    pub fn text(&self) -> Cow<'_, str> {
        self.el().text()
    }

    /// The child elements, from the index.
    pub fn children(&self) -> impl Iterator<Item = El<'_>> {
        self.children.iter().map(|child| {
            let xml = slice(&self.xml, child.start, child.end);
            El::known(xml, slice(xml, 1, 1 + child.tag_len), child.scope.of(&self.xml))
        })
    }

    /// The first child called so.
    pub fn child(&self, name: &str, ns: &str) -> Option<El<'_>> {
        self.children().find(|child| child.is(name, ns))
    }

    /// The canonical bytes. The content namespace is not written.
    pub fn bytes(&self) -> &Bytes {
        self.xml.as_bytes()
    }

    /// The canonical bytes as text.
    pub fn as_str(&self) -> &str {
        &self.xml
    }

    /// The canonical bytes, given away.
    pub fn into_bytes(self) -> Bytes {
        self.xml.into_bytes()
    }

    /// What follows the root's attributes, shared: `>…</message>` or `/>`.
    pub fn tail(&self) -> Bytes {
        self.bytes().slice(self.tail_at as usize..)
    }

    /// The same element with one attribute of the root set, or removed. An attribute that is new comes last.
    pub fn with_attr(&self, name: &str, value: Option<&str>) -> Element {
        let mut writer = Writer::new();
        writer.start_like(self.el());
        let mut value = value;
        for raw in el::raw_attrs(self.head()).filter(|raw| raw.name != "xmlns") {
            if raw.name != name {
                writer.put_head(raw.whole);
            } else if let Some(value) = value.take() {
                writer.attr(name, value);
            }
        }
        if let Some(value) = value {
            writer.attr(name, value);
        }
        writer.put_inner(self.el().inner());
        writer.end();
        writer.finish_element().unwrap_or_else(|| self.clone())
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Element) -> bool {
        self.xml == other.xml
    }
}

impl Eq for Element {}

impl fmt::Debug for Element {
    /// The name and size only: content has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.el().fmt(f)
    }
}
