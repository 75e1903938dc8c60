//! The namespaces in force while reading: declarations are pushed with an element and cut off again with it.

use crate::{WireError, XML_NS, XMLNS_NS, is_content_ns};

/// A declaration that Namespaces in XML §3 forbids.
const RESERVED: WireError = WireError::NotWellFormed("a reserved namespace or prefix, declared");

/// A namespace: where (above) and how long (below) its canonical text is among [`Namespaces`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ns(u64);

impl Ns {
    /// One number, so that it is written and read in one piece: it is read soon after it was written, and a processor
    /// waits long for a word that it wrote in halves.
    const fn new(at: usize, len: usize) -> Ns {
        Ns((at as u64) << 32 | len as u64)
    }

    fn at(self) -> usize {
        (self.0 >> 32) as usize
    }

    fn len(self) -> usize {
        self.0 as u32 as usize
    }

    /// Any of the content namespaces, when it names an element.
    pub const CONTENT: Ns = Ns::new(u32::MAX as usize, 0);
    /// No namespace.
    pub const EMPTY: Ns = Ns::new(0, 0);
}

#[derive(Clone, Copy)]
struct Binding {
    /// Where the prefix stands, in the manner of a namespace.
    prefix: Ns,
    ns: Ns,
}

/// How much was in force at some point.
#[derive(Clone, Copy, Default)]
pub(super) struct Mark {
    text: usize,
    bindings: usize,
}

/// Text and bindings of the namespaces in force.
#[derive(Default)]
pub(super) struct Namespaces {
    text: Vec<u8>,
    bindings: Vec<Binding>,
}

impl Namespaces {
    pub fn mark(&self) -> Mark {
        Mark {
            text: self.text.len(),
            bindings: self.bindings.len(),
        }
    }

    /// Forgets what was declared since.
    pub fn cut(&mut self, mark: Mark) {
        self.text.truncate(mark.text);
        self.bindings.truncate(mark.bindings);
    }

    /// Prefixes in force.
    pub fn prefixes(&self) -> usize {
        self.bindings.len()
    }

    /// Gives memory back that nothing in force needs.
    pub fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.bindings.shrink_to_fit();
    }

    #[cfg(test)]
    pub fn held_bytes(&self) -> usize {
        self.text.capacity() + self.bindings.capacity() * size_of::<Binding>()
    }

    /// The canonical text of a namespace that is not [`Ns::CONTENT`].
    pub fn text(&self, ns: Ns) -> &[u8] {
        self.text.get(ns.at()..ns.at() + ns.len()).unwrap_or_default()
    }

    /// Keeps a namespace; `write` appends its canonical text.
    pub fn keep(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), WireError>,
    ) -> Result<Ns, WireError> {
        let at = self.text.len();
        write(&mut self.text)?;
        Ok(Ns::new(at, self.text.len() - at))
    }

    /// The namespace as that of an element.
    pub fn of_element(&self, ns: Ns) -> Ns {
        // All content namespaces have one of these lengths: most others need no comparison.
        if !matches!(ns.len(), 13 | 23) {
            return ns;
        }
        match std::str::from_utf8(self.text(ns)) {
            Ok(text) if is_content_ns(text) => Ns::CONTENT,
            _ => ns,
        }
    }

    /// Whether two namespaces of elements are the same.
    pub fn same(&self, a: Ns, b: Ns) -> bool {
        a == b || (a != Ns::CONTENT && b != Ns::CONTENT && self.text(a) == self.text(b))
    }

    /// Judges `xmlns='…'` (Namespaces in XML §3).
    pub fn check_default(&self, ns: Ns) -> Result<(), WireError> {
        let text = self.text(ns);
        if text == XML_NS.as_bytes() || text == XMLNS_NS.as_bytes() {
            return Err(RESERVED);
        }
        Ok(())
    }

    /// Puts `xmlns:prefix='…'` in force if it may be (Namespaces in XML §3).
    pub fn bind(&mut self, prefix: &[u8], ns: Ns) -> Result<(), WireError> {
        let text = self.text(ns);
        let is_xml = text == XML_NS.as_bytes();
        match prefix {
            b"xml" if is_xml => return Ok(()),
            b"xml" | b"xmlns" => return Err(RESERVED),
            _ if is_xml || text == XMLNS_NS.as_bytes() => return Err(RESERVED),
            _ if text.is_empty() => {
                return Err(WireError::NotWellFormed("a namespace prefix without a namespace"));
            }
            _ => {}
        }
        let prefix_at = self.text.len();
        self.text.extend_from_slice(prefix);
        let prefix = Ns::new(prefix_at, prefix.len());
        self.bindings.push(Binding { prefix, ns });
        Ok(())
    }

    /// What a prefix is bound to; `None` if nothing declares it. `xml` is not asked for here.
    pub fn of_prefix(&self, prefix: &[u8]) -> Option<Ns> {
        let bound = self
            .bindings
            .iter()
            .rev()
            .find(|binding| self.text(binding.prefix) == prefix);
        bound.map(|binding| binding.ns)
    }
}
