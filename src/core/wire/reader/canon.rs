//! Writes opening tags in canonical form: namespaces resolved, prefixes gone or generated, quotes single.

use std::io::Write;

use super::build::{Place, Work};
use super::names::{Namespaces, Ns};
use super::tag::{Attr, TagScan};
use crate::element::NsAt;
use crate::{CONTENT_NS, Limits, WireError, escape};

/// Namespaces in XML §5: a prefix that no declaration binds.
pub(super) const UNBOUND: WireError = WireError::NotWellFormed("a namespace prefix that is not declared");

impl Work {
    pub(super) fn is_xml(&self, tag: &[u8]) -> bool {
        self.tag.name.prefix(tag) == b"xml"
    }

    /// The length of the name as canonical form has it.
    pub(super) fn tag_len(&self, tag: &[u8]) -> usize {
        if self.is_xml(tag) {
            self.tag.name.whole(tag).len()
        } else {
            self.tag.name.local(tag).len()
        }
    }

    /// Puts the declarations of a tag in force and writes it without its end. `unbound` is the error for a name whose prefix
    /// is not declared.
    #[inline(always)]
    pub(super) fn write_tag(
        &mut self,
        names: &mut Namespaces,
        tag: &[u8],
        parent: Place,
        limits: &Limits,
        unbound: WireError,
    ) -> Result<Place, WireError> {
        let default = self.declare(names, tag, parent.default, limits)?;
        let name = self.tag.name;
        let (written_name, scope) = match name.prefix(tag) {
            b"" => (name.whole(tag), default),
            // There is no way to write an element of this namespace but with this prefix (Namespaces in XML §3).
            b"xml" => (name.whole(tag), default),
            prefix => {
                let ns = names.of_prefix(prefix).ok_or(unbound)?;
                (name.local(tag), names.of_element(ns))
            }
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
            if attr.is_foreign(tag) {
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
        if !self.tag.tight || name.has_prefix() || attrs.iter().any(|a| !a.plain || a.is_foreign(tag)) {
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
        &mut self,
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
        self.declarations += self.tag.declarations.len();
        if self.declarations > limits.namespaces_max || names.prefixes() > limits.namespaces_max {
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
            if !attr.is_foreign(tag) {
                continue;
            }
            let ns = names.of_prefix(attr.name.prefix(tag)).ok_or(UNBOUND)?;
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
            let same = |other: &Attr| {
                other.is_foreign(tag)
                    && other.generated == attr.generated
                    && other.name.local(tag) == attr.name.local(tag)
            };
            if before.iter().any(same) {
                return Err(WireError::NotWellFormed("the same attribute twice"));
            }
        }
        Ok(())
    }
}

/// Writes a generated prefix.
fn write_prefix(out: &mut Vec<u8>, number: u32) {
    // Writing into memory cannot fail.
    let _ = write!(out, "n{number}");
}
