//! Expected XML. A pattern is XML that the actual element has to equal, with these freedoms:
//!
//! - an attribute value or a text `*` stands for anything that is there; `{name}` captures what is there, and where
//!   the name was captured before it has to be the same;
//! - at the root, `from`, `to`, `id` and `xml:lang` are compared only where the pattern names them; all other
//!   attributes, there and below, have to be exactly those of the pattern, except that a `code` of an `<error/>`
//!   (XEP-0086) need not be named;
//! - where a pattern's element has the text `...`, its children have to appear in the actual element, in that
//!   order, with anything between them; without it the children have to be exactly those;
//! - a `<stanza-id/>` that an archive here gave (XEP-0313 §3.5) need not be named in a message whose pattern names none:
//!   nearly every message has one;
//! - a `<mav/>`, the version of a room's lists (XEP-0463 §5.2), need not be named where the pattern names none: nearly every
//!   presence of one's own in a room has one.

use std::collections::HashMap;

use crate::wire::{El, Element};

/// What `{name}` stood for.
pub type Captures = HashMap<String, String>;

const FREE_AT_ROOT: [&str; 4] = ["from", "to", "id", "xml:lang"];

/// Replaces captured `{names}` in a text that is to be sent.
pub fn fill(text: &str, captures: &Captures) -> String {
    captures.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

/// Compares; on a difference says which, and captures nothing.
pub fn matches(expected: &str, actual: &str, captures: &mut Captures) -> Result<(), String> {
    let parse = |xml: &str| Element::parse(xml.trim()).map_err(|error| format!("not XML ({error}): {xml}"));
    let (expected, actual) = (parse(expected)?, parse(actual)?);
    let mut learnt = captures.clone();
    element(expected.el(), actual.el(), true, &mut learnt)?;
    *captures = learnt;
    Ok(())
}

fn element(expected: El<'_>, actual: El<'_>, root: bool, captures: &mut Captures) -> Result<(), String> {
    let name = expected.name();
    if (name, expected.ns()) != (actual.name(), actual.ns()) {
        return Err(format!(
            "<{name} xmlns='{}'> is <{} xmlns='{}'>",
            expected.ns(),
            actual.name(),
            actual.ns()
        ));
    }
    for (attr, wanted) in expected.attrs() {
        match actual.attr(attr) {
            Some(found) => {
                value(&wanted, &found, captures).map_err(|why| format!("{name}/@{attr}: {why}"))?
            }
            None => return Err(format!("{name}/@{attr} is missing")),
        }
    }
    for (attr, found) in actual.attrs() {
        let free = (root && FREE_AT_ROOT.contains(&attr)) || (name == "error" && attr == "code");
        if !free && expected.attr(attr).is_none() {
            return Err(format!("{name} has an attribute {attr}='{found}' too many"));
        }
    }
    let loose = expected.text().contains("...");
    let wanted_text = expected.text();
    let (wanted_text, actual_text) = (wanted_text.trim(), actual.text());
    let both_empty = wanted_text.is_empty() && actual_text.trim().is_empty();
    if !loose && !both_empty {
        value(wanted_text, actual_text.trim(), captures).map_err(|why| format!("{name}: {why}"))?;
    }
    children(expected, actual, loose, captures)
}

fn children(expected: El<'_>, actual: El<'_>, loose: bool, captures: &mut Captures) -> Result<(), String> {
    let ids_matter = expected.children().any(|child| is_archive_id(&child));
    let archived = expected.name() == "message" && !ids_matter;
    let versioned = !expected.children().any(|child| is_version(&child));
    let mut found = actual
        .children()
        .filter(|child| !(archived && is_archive_id(child) || versioned && is_version(child)));
    for wanted in expected.children() {
        loop {
            let Some(child) = found.next() else {
                return Err(format!("{} lacks {}", expected.name(), wanted.to_xml()));
            };
            let mut attempt = captures.clone();
            match element(wanted, child, false, &mut attempt) {
                Ok(()) => {
                    *captures = attempt;
                    break;
                }
                Err(_) if loose => {}
                Err(why) => return Err(why),
            }
        }
    }
    match found.next() {
        Some(extra) if !loose => Err(format!("{} has {} too many", expected.name(), extra.to_xml())),
        _ => Ok(()),
    }
}

/// Whether this is an id as archives here make them, or a pattern for one.
fn is_archive_id(child: &El<'_>) -> bool {
    let made_here = |id: &str| id.len() == 26 && id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
    let pattern = |id: &str| id == "*" || id.starts_with('{');
    child.is("stanza-id", "urn:xmpp:sid:0")
        && child.attr("id").is_some_and(|id| made_here(&id) || pattern(&id))
}

/// Whether this is the version of a room's lists.
fn is_version(child: &El<'_>) -> bool {
    child.is("mav", "urn:xmpp:muc:affiliations:1")
}

fn value(wanted: &str, found: &str, captures: &mut Captures) -> Result<(), String> {
    if wanted == "*" {
        return Ok(());
    }
    let name = wanted.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let wanted = match name {
        Some(name) => captures
            .entry(name.to_owned())
            .or_insert_with(|| found.to_owned())
            .as_str(),
        None => wanted,
    };
    if wanted == found {
        Ok(())
    } else {
        Err(format!("'{wanted}' is '{found}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expected: &str, actual: &str) -> Result<(), String> {
        matches(expected, actual, &mut Captures::new())
    }

    #[test]
    fn what_differs_is_found() {
        let actual = "<iq id='1' to='a@b/c' type='result'><q xmlns='x' ver='2'><i n='1'/><i n='2'/></q></iq>";
        assert_eq!(check(actual, actual), Ok(()));
        assert_eq!(
            check(
                "<iq type='result'><q xmlns='x' ver='*'><i n='1'/><i n='2'/></q></iq>",
                actual
            ),
            Ok(())
        );
        assert_eq!(
            check(
                "<iq type='result'><q xmlns='x' ver='2'>...<i n='2'/></q></iq>",
                actual
            ),
            Ok(())
        );
        for wrong in [
            "<iq type='error'><q xmlns='x' ver='2'><i n='1'/><i n='2'/></q></iq>",
            "<iq><q xmlns='x' ver='2'><i n='1'/><i n='2'/></q></iq>",
            "<iq type='result'><q xmlns='y' ver='2'><i n='1'/><i n='2'/></q></iq>",
            "<iq type='result'><q xmlns='x'><i n='1'/><i n='2'/></q></iq>",
            "<iq type='result'><q xmlns='x' ver='2'><i n='1'/></q></iq>",
            "<iq type='result'><q xmlns='x' ver='2'><i n='2'/><i n='1'/></q></iq>",
            "<iq type='result'><q xmlns='x' ver='2'>...<i n='3'/></q></iq>",
            "<iq type='result'><q xmlns='x' ver='2'>text<i n='1'/><i n='2'/></q></iq>",
            "<iq id='2' type='result'><q xmlns='x' ver='2'><i n='1'/><i n='2'/></q></iq>",
        ] {
            assert!(check(wrong, actual).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_archives_id_need_not_be_named() {
        let id = |id: &str| {
            format!("<message><stanza-id xmlns='urn:xmpp:sid:0' id='{id}' by='a@b'/><body/></message>")
        };
        let archived = id("hmuzcjdeundkc4t2uxrn5klvfq");
        for expected in [
            "<message><body/></message>",
            &id("*"),
            &id("{id}"),
            "<message>...<body/></message>",
        ] {
            assert_eq!(check(expected, &archived), Ok(()), "{expected}");
            assert!(check("<message><body/></message>", &id("forged")).is_err());
        }
        assert!(check(&id("*"), "<message><body/></message>").is_err());
    }

    #[test]
    fn a_version_of_lists_need_not_be_named() {
        let x = |inside: &str| format!("<presence><x xmlns='muc'>{inside}<i/></x></presence>");
        let version = |until: &str| {
            x(&format!(
                "<mav xmlns='urn:xmpp:muc:affiliations:1' until='{until}'/>"
            ))
        };
        for expected in [x(""), version("v1"), version("*")] {
            assert_eq!(check(&expected, &version("v1")), Ok(()), "{expected}");
        }
        assert!(check(&version("v2"), &version("v1")).is_err());
        assert!(check(&version("*"), &x("")).is_err());
        assert!(check(&x(""), &x("<mav xmlns='other'/>")).is_err());
    }

    #[test]
    fn captures_bind_and_compare() {
        let mut captures = Captures::new();
        matches("<a v='{x}'>{y}</a>", "<a v='1'>two</a>", &mut captures).unwrap();
        assert_eq!(fill("<b v='{x}'>{y}</b>", &captures), "<b v='1'>two</b>");
        assert!(matches("<a v='{x}'/>", "<a v='2'/>", &mut captures).is_err());
    }
}
