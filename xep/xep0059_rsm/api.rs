//! XEP-0059 Result Set Management: which page is asked for.

use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::wire::{El, Writer};

/// The namespace.
pub const NS: &str = "http://jabber.org/protocol/rsm";

/// A page that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How many at most (§2.1); 0 asks for the count alone (§2.7).
    pub max: Option<usize>,
    /// Behind this one (§2.2).
    pub after: Option<String>,
    /// Before this one (§2.3); an empty one asks for the last page (§2.5).
    pub before: Option<String>,
}

impl Asked {
    /// Reads the `<set/>` of a request, if there is one.
    pub fn parse(request: El<'_>) -> Result<Asked, Fault> {
        let Some(set) = request.child("set", NS) else {
            return Ok(Asked::default());
        };
        // §2.6: by its number no page is found without counting all those before it.
        if set.child("index", NS).is_some() {
            return Err(Condition::FeatureNotImplemented.into());
        }
        let text = |name| set.child(name, NS).map(|child| child.text().trim().to_owned());
        let max = match text("max") {
            None => None,
            Some(max) => Some(number(&max)?),
        };
        Ok(Asked {
            max,
            after: text("after").filter(|id| !id.is_empty()),
            before: text("before"),
        })
    }
}

/// Reads how many items are requested. A number too large for the machine means as many as there are; anything that is not a
/// number is `bad-request`.
pub fn number(text: &str) -> Result<usize, Fault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let error = StanzaError::new(Condition::BadRequest);
        return Err(error.text("max must be a non-negative number").into());
    }
    Ok(text.parse().unwrap_or(usize::MAX))
}

/// A page that is given: the ids of its ends, and how many there are in all, if that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The ids of the first and the last one.
    pub ends: Option<(String, String)>,
    /// How many there are in the whole result.
    pub count: Option<usize>,
}

impl Given {
    /// Writes the `<set/>`.
    pub fn write(&self, xml: &mut Writer) {
        xml.start("set", NS);
        if let Some((first, last)) = &self.ends {
            xml.start("first", NS).text(first).end();
            xml.start("last", NS).text(last).end();
        }
        if let Some(count) = self.count {
            xml.start("count", NS).text(&count.to_string()).end();
        }
        xml.end();
    }
}

/// The page of a list that is short enough to be in memory. An id that is asked for and not there is `item-not-found`
/// (§2.2); without `max` the page has `max_default` items, and never more than `max_most`.
pub fn page_of<'a, T>(
    all: &'a [T],
    id: impl Fn(&T) -> String,
    asked: &Asked,
    max_default: usize,
    max_most: usize,
) -> Result<(&'a [T], Given), Fault> {
    let place = |wanted: &str| {
        let place = all.iter().position(|item| id(item) == wanted);
        place.ok_or_else(|| Fault::from(Condition::ItemNotFound))
    };
    let max = asked.max.unwrap_or(max_default).min(max_most);
    let from = match &asked.after {
        Some(after) => place(after)? + 1,
        None => 0,
    };
    let to = match asked.before.as_deref() {
        None | Some("") => all.len(),
        Some(before) => place(before)?,
    };
    let within = all.get(from..to).unwrap_or_default();
    let page = if asked.before.is_some() {
        within.get(within.len().saturating_sub(max)..)
    } else {
        within.get(..max.min(within.len()))
    }
    .unwrap_or_default();
    let given = Given {
        ends: page
            .first()
            .zip(page.last())
            .map(|(first, last)| (id(first), id(last))),
        count: Some(all.len()),
    };
    Ok((page, given))
}
