//! Scans one tag. A tag is consumed only when it is whole, so the scan keeps its place: bytes that have been looked at
//! are not looked at again, however small the pieces are in which a tag arrives.

use super::qname::{QName, bytes, qname};
use crate::{Limits, WireError, chars};

/// An attribute or a declaration. Offsets count from the `<`.
#[derive(Clone, Copy)]
pub(super) struct Attr {
    pub name: QName,
    value_at: u32,
    value_len: u32,
    /// The value is in canonical form already.
    pub plain: bool,
    /// The quotes are `"`.
    double: bool,
    /// Which generated prefix it gets; meaningful only for a name with a prefix other than `xml`.
    pub generated: u32,
}

impl Attr {
    /// Whether it has a prefix that canonical form does not keep.
    pub fn is_foreign(&self, tag: &[u8]) -> bool {
        self.name.has_prefix() && self.name.prefix(tag) != b"xml"
    }

    pub fn value<'t>(&self, tag: &'t [u8]) -> &'t [u8] {
        bytes(tag, self.value_at, self.value_len)
    }

    /// Where in the tag the value stands.
    pub fn value_at(&self) -> usize {
        self.value_at as usize
    }

    /// Whether this comes directly after the element's name, in a tag that is tight.
    pub fn is_first(&self, name: QName) -> bool {
        self.name.at == 1 + name.len + 1
    }

    /// Makes the quotes single in a copy of the tag.
    pub fn single_quotes(&self, copy: &mut [u8]) {
        if self.double {
            for at in [self.value_at - 1, self.value_at + self.value_len] {
                if let Some(quote) = copy.get_mut(at as usize) {
                    *quote = b'\'';
                }
            }
        }
    }
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Name,
    Gap,
    AttrName,
    Equals,
    Quote,
    Value,
    Slash,
    EndGap,
}

/// The attribute under way.
#[derive(Clone, Copy, Default)]
struct Begun {
    name: QName,
    quote: u8,
    value_at: usize,
    plain: bool,
    high: bool,
}

impl Begun {
    fn value(&mut self, quote: u8, at: usize) {
        (self.quote, self.value_at, self.plain, self.high) = (quote, at, true, false);
    }
}

/// A tag being scanned, or just scanned.
#[derive(Default)]
pub(super) struct TagScan {
    /// Bytes looked at so far; 0 when no tag is under way.
    at: usize,
    phase: Phase,
    begun: Begun,
    /// Written without any white space but single blanks between attributes: what canonical form would keep.
    pub tight: bool,
    pub name: QName,
    /// The tag was `<x/>`.
    pub empty: bool,
    pub attrs: Vec<Attr>,
    pub declarations: Vec<Attr>,
}

const FORBIDDEN: WireError = WireError::NotWellFormed("a character that XML forbids");

impl TagScan {
    /// Scans an opening tag. Returns its length once it is whole; the tag is then described by the fields.
    pub fn opening(&mut self, tag: &[u8], limits: &Limits) -> Result<Option<usize>, WireError> {
        if self.at == 0 {
            self.attrs.clear();
            self.declarations.clear();
            self.phase = Phase::Name;
        }
        // Whether a tag that came in pieces is tight is not worth remembering.
        self.tight = self.at == 0;
        // What changes with every byte is kept in registers and stored only if the tag is not whole.
        let (mut at, mut phase, mut begun) = (self.at.max(1), self.phase, self.begun);
        loop {
            match phase {
                Phase::Name => {
                    let Some(name) = qname(tag, 1, limits)? else { break };
                    self.name = name;
                    at = 1 + name.len as usize;
                    phase = Phase::Gap;
                }
                Phase::Gap => {
                    let gap_at = at;
                    at = skip_space(tag, at);
                    match tag.get(at) {
                        None => break,
                        Some(b'>') => {
                            self.tight &= at == gap_at;
                            return Ok(self.done(at, false));
                        }
                        Some(b'/') => {
                            self.tight &= at == gap_at;
                            at += 1;
                            phase = Phase::Slash;
                        }
                        Some(_) if tag.get(at - 1).is_some_and(|b| chars::is_space(*b)) => {
                            self.tight &= at == gap_at + 1 && tag.get(gap_at) == Some(&b' ');
                            phase = Phase::AttrName;
                        }
                        Some(_) => return Err(WireError::NotWellFormed("no space before an attribute")),
                    }
                }
                Phase::AttrName => {
                    let Some(name) = qname(tag, at, limits)? else {
                        break;
                    };
                    begun.name = name;
                    at += name.len as usize;
                    phase = Phase::Equals;
                    if let Some([b'=', quote @ (b'\'' | b'"')]) = tag.get(at..at + 2) {
                        at += 2;
                        begun.value(*quote, at);
                        phase = Phase::Value;
                    }
                }
                Phase::Equals => {
                    at = skip_space(tag, at);
                    match tag.get(at) {
                        None => break,
                        Some(b'=') => at += 1,
                        Some(_) => return Err(WireError::NotWellFormed("an attribute without =")),
                    }
                    phase = Phase::Quote;
                }
                Phase::Quote => {
                    at = skip_space(tag, at);
                    match tag.get(at) {
                        None => break,
                        Some(quote @ (b'\'' | b'"')) => {
                            at += 1;
                            self.tight = false;
                            begun.value(*quote, at);
                            phase = Phase::Value;
                        }
                        Some(_) => return Err(WireError::NotWellFormed("an attribute without quotes")),
                    }
                }
                Phase::Value => {
                    let (len, high) = chars::value_run(tag, at);
                    at += len;
                    begun.high |= high;
                    match tag.get(at) {
                        None => break,
                        Some(quote) if *quote == begun.quote => {
                            self.attribute(tag, &begun, at, limits)?;
                            phase = Phase::Gap;
                        }
                        Some(b'<') => return Err(WireError::NotWellFormed("< in an attribute")),
                        Some(b'"') => {}
                        Some(b'&' | b'>' | b'\'' | b'\t' | b'\n' | b'\r') => begun.plain = false,
                        Some(_) => return Err(FORBIDDEN),
                    }
                    at += 1;
                }
                Phase::Slash => match tag.get(at) {
                    None => break,
                    Some(b'>') => return Ok(self.done(at, true)),
                    Some(_) => return Err(WireError::NotWellFormed("a / inside a tag")),
                },
                Phase::EndGap => return Err(WireError::NotWellFormed("an end tag out of place")),
            }
        }
        (self.at, self.phase, self.begun) = (at, phase, begun);
        Ok(None)
    }

    /// Scans a closing tag, which must be that of the given name. Returns its length once it is whole.
    pub fn closing(&mut self, tag: &[u8], prefix: &[u8], local: &[u8]) -> Result<Option<usize>, WireError> {
        const MISMATCH: WireError = WireError::NotWellFormed("an end tag that does not match");
        let colon: &[u8] = if prefix.is_empty() { b"" } else { b":" };
        if self.at == 0 {
            // Nearly all end tags are whole, without prefix and without white space.
            let len = local.len() + 3;
            if prefix.is_empty() && tag.get(len - 1) == Some(&b'>') && same(tag.get(2..len - 1), local) {
                return Ok(Some(len));
            }
            let mut rest = tag.get(2..).unwrap_or_default();
            for part in [prefix, colon, local] {
                let len = part.len().min(rest.len());
                if part.get(..len) != rest.get(..len) {
                    return Err(MISMATCH);
                }
                if len < part.len() {
                    return Ok(None);
                }
                rest = rest.get(len..).unwrap_or_default();
            }
            self.phase = Phase::EndGap;
            self.at = tag.len() - rest.len();
        }
        let at = skip_space(tag, self.at);
        match tag.get(at) {
            None => {
                self.at = at;
                Ok(None)
            }
            Some(b'>') => Ok(self.done(at, false)),
            Some(_) => Err(MISMATCH),
        }
    }

    fn done(&mut self, at: usize, empty: bool) -> Option<usize> {
        self.at = 0;
        self.empty = empty;
        Some(at + 1)
    }

    /// Takes the attribute whose value ends at `end`.
    #[inline(always)]
    fn attribute(&mut self, tag: &[u8], begun: &Begun, end: usize, limits: &Limits) -> Result<(), WireError> {
        let attr = Attr {
            name: begun.name,
            value_at: begun.value_at as u32,
            value_len: (end - begun.value_at) as u32,
            plain: begun.plain,
            double: begun.quote == b'"',
            generated: 0,
        };
        if begun.high {
            chars::check_whole_utf8(attr.value(tag))?;
        }
        let name = attr.name.whole(tag);
        let declares = name.starts_with(b"xmlns") && (name.len() == 5 || attr.name.prefix_len == 5);
        let (list, most, limit) = if declares {
            (&mut self.declarations, limits.namespaces_max, "namespaces_max")
        } else {
            (&mut self.attrs, limits.attributes_max, "attributes_max")
        };
        if list
            .iter()
            .any(|other| other.name.len == attr.name.len && same(Some(other.name.whole(tag)), name))
        {
            return Err(WireError::NotWellFormed("the same attribute twice"));
        }
        if list.len() >= most {
            return Err(WireError::TooBig(limit));
        }
        list.push(attr);
        Ok(())
    }
}

/// Whether two short byte strings are the same. Names are a few bytes, and have often just been written: a plain loop
/// is several times faster than a call of memcmp.
#[inline(always)]
fn same(a: Option<&[u8]>, b: &[u8]) -> bool {
    a.is_some_and(|a| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b))
}

fn skip_space(tag: &[u8], mut at: usize) -> usize {
    while tag.get(at).is_some_and(|b| chars::is_space(*b)) {
        at += 1;
    }
    at
}
