//! The only way XML is made outside the reader: it escapes everything and writes canonical form.

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use smallvec::SmallVec;

use crate::el::{self, Piece, Pieces};
use crate::{CONTENT_NS, El, Element, XML_NS, chars, escape, is_content_ns};

/// An element that has been started and not ended.
struct Open {
    tag_at: usize,
    tag_len: usize,
    /// Where the default namespace inside is written; `None` for the content namespace.
    scope: Option<(usize, usize)>,
    /// Generated prefixes declared so far.
    prefixes: usize,
}

/// Writes canonical XML. Calls that make no sense (an attribute after text, an end without a start) do nothing.
#[derive(Default)]
pub struct Writer {
    out: String,
    open: SmallVec<[Open; 8]>,
    /// The last opening tag still lacks its `>`.
    in_tag: bool,
}

impl Writer {
    /// An empty document in the content namespace.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// The default namespace where the writer stands.
    fn scope(&self) -> &str {
        match self.open.last().and_then(|open| open.scope) {
            Some((at, len)) => self.out.get(at..at + len).unwrap_or_default(),
            None => CONTENT_NS,
        }
    }

    fn close_tag(&mut self) {
        if std::mem::take(&mut self.in_tag) {
            self.out.push('>');
        }
    }

    /// Starts an element. The namespace is written where it differs from the parent's; it may be given as
    /// [`El::ns`] gives it. What a name cannot hold is replaced by `_`.
    pub fn start(&mut self, name: &str, ns: &str) -> &mut Self {
        if ns == XML_NS {
            let scope = self.scope().to_owned();
            return self.start_tag(&format!("xml:{}", name_of(name)), &scope);
        }
        self.start_tag(&name_of(name), &ns_of(ns))
    }

    /// Starts an element with the name and namespace of another one.
    pub(crate) fn start_like(&mut self, el: El<'_>) -> &mut Self {
        self.start_tag(el.tag(), el.scope())
    }

    /// Starts an element whose name and scope are canonical.
    fn start_tag(&mut self, tag: &str, scope: &str) -> &mut Self {
        self.close_tag();
        let scope = if is_content_ns(scope) { CONTENT_NS } else { scope };
        let same = self.scope() == scope;
        let inherited = self.open.last().and_then(|open| open.scope);
        self.out.push('<');
        let tag_at = self.out.len();
        self.out.push_str(tag);
        let mut written = inherited;
        if !same {
            self.out.push_str(" xmlns='");
            written = (scope != CONTENT_NS).then_some((self.out.len(), scope.len()));
            self.out.push_str(scope);
            self.out.push('\'');
        }
        self.open.push(Open {
            tag_at,
            tag_len: tag.len(),
            scope: written,
            prefixes: 0,
        });
        self.in_tag = true;
        self
    }

    /// Adds an attribute to the element just started. `xml:lang` and the like are written with their prefix.
    pub fn attr(&mut self, name: &str, value: &str) -> &mut Self {
        if self.in_tag {
            self.out.push(' ');
            if let Some(local) = name.strip_prefix("xml:") {
                self.out.push_str("xml:");
                self.out.push_str(&name_of(local));
            } else {
                self.out.push_str(&name_of(name));
            }
            self.out.push_str("='");
            escape::put_value(&mut self.out, value);
            self.out.push('\'');
        }
        self
    }

    /// Adds an attribute that has a namespace of its own. To keep canonical order, call it before [`Writer::attr`].
    pub fn attr_ns(&mut self, name: &str, ns: &str, value: &str) -> &mut Self {
        if ns == XML_NS {
            return self.attr(&format!("xml:{name}"), value);
        }
        let Some(open) = self.open.last_mut().filter(|_| self.in_tag) else {
            return self;
        };
        let prefix = format!("n{}", open.prefixes);
        open.prefixes += 1;
        // Declarations stand before the first attribute.
        let mut at = open.tag_at + open.tag_len;
        let head = self.out.get(at..).unwrap_or_default();
        at += el::raw_attrs(head)
            .take_while(|raw| raw.is_declaration())
            .map(|raw| raw.whole.len())
            .sum::<usize>();
        self.out
            .insert_str(at, &format!(" xmlns:{prefix}='{}'", ns_of(ns)));
        self.out.push_str(&format!(" {prefix}:{}='", name_of(name)));
        escape::put_value(&mut self.out, value);
        self.out.push('\'');
        self
    }

    /// Adds the attributes of an element that exists already, but not the named ones, to the element just started.
    pub fn attrs_of(&mut self, element: &Element, but: &[&str]) -> &mut Self {
        let Some(open) = self.open.last().filter(|_| self.in_tag) else {
            return self;
        };
        let is_declaration = |attr: &&str| attr.starts_with(" xmlns:");
        let tag_end = open.tag_at + open.tag_len;
        let head = self.out.get(tag_end..).unwrap_or_default();
        let own = el::raw_attrs(head).find(|raw| raw.name == "xmlns");
        let declared_at = tag_end + own.map_or(0, |raw| raw.whole.len());
        let declarations: String = element.extra_attrs(but).filter(is_declaration).collect();
        self.out.insert_str(declared_at, &declarations);
        element
            .extra_attrs(but)
            .filter(|attr| !is_declaration(attr))
            .for_each(|attr| self.out.push_str(attr));
        self
    }

    /// Adds text. Characters that XML cannot carry become U+FFFD.
    pub fn text(&mut self, text: &str) -> &mut Self {
        if !text.is_empty() && !self.open.is_empty() {
            self.close_tag();
            escape::put_text(&mut self.out, text);
        }
        self
    }

    /// Adds an element that exists already, with all that is in it.
    pub fn el(&mut self, el: El<'_>) -> &mut Self {
        self.start_like(el);
        let head = el.head();
        let attrs = head
            .find(" xmlns='")
            .filter(|at| *at == 0)
            .and_then(|_| el::raw_attrs(head).next());
        self.out.push_str(
            head.get(attrs.map_or(0, |xmlns| xmlns.whole.len())..)
                .unwrap_or_default(),
        );
        self.put_inner(el.inner());
        self.end()
    }

    /// Adds canonical XML that stands for itself, as [`El::to_xml`] gives it: elements, with or without text between.
    pub fn raw(&mut self, canonical: &str) -> &mut Self {
        for piece in (Pieces { rest: canonical }) {
            match piece {
                Piece::Element(xml) => {
                    if let Some(el) = El::new(xml, CONTENT_NS) {
                        self.el(el);
                    }
                }
                Piece::Text(text) => {
                    self.put_inner(text);
                }
            }
        }
        self
    }

    /// Adds attributes that are canonical already.
    pub(crate) fn put_head(&mut self, attrs: &str) {
        self.out.push_str(attrs);
    }

    /// Adds content that is canonical already and was written for this scope.
    pub(crate) fn put_inner(&mut self, inner: &str) {
        if !inner.is_empty() && !self.open.is_empty() {
            self.close_tag();
            self.out.push_str(inner);
        }
    }

    /// Ends the element started last.
    pub fn end(&mut self) -> &mut Self {
        if let Some(open) = self.open.pop() {
            if std::mem::take(&mut self.in_tag) {
                self.out.push_str("/>");
            } else {
                self.out.push_str("</");
                self.out
                    .extend_from_within(open.tag_at..open.tag_at + open.tag_len);
                self.out.push('>');
            }
        }
        self
    }

    /// Ends what is still open and gives what was written; the writer is empty again.
    pub fn finish_string(&mut self) -> String {
        while !self.open.is_empty() {
            self.end();
        }
        std::mem::take(&mut self.out)
    }

    /// The same as bytes.
    pub fn finish(&mut self) -> Bytes {
        Bytes::from(self.finish_string())
    }

    /// The same as an element, if exactly one was written.
    pub fn finish_element(&mut self) -> Option<Element> {
        Element::from_canonical(ByteString::from(self.finish_string()))
    }
}

/// A name that XML allows: names come from code, but a slip there must not break a recipient's stream.
fn name_of(name: &str) -> Cow<'_, str> {
    let good = |(at, c): (usize, char)| {
        if at == 0 {
            chars::is_name_start(c)
        } else {
            chars::is_name_char(c)
        }
    };
    if !name.is_empty() && name.char_indices().all(good) {
        return Cow::Borrowed(name);
    }
    let mut out: String = name
        .char_indices()
        .map(|pair| if good(pair) { pair.1 } else { '_' })
        .collect();
    if out.is_empty() {
        out.push('_');
    }
    Cow::Owned(out)
}

/// A namespace in canonical form: what is escaped already stays.
fn ns_of(ns: &str) -> Cow<'_, str> {
    if chars::value_run(ns.as_bytes(), 0) == (ns.len(), false) {
        return Cow::Borrowed(ns);
    }
    let mut out = String::new();
    escape::put_value(&mut out, &escape::unescape(ns));
    Cow::Owned(out)
}
