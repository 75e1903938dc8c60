//! The elements of server dialback (XEP-0220), read into types and written.

use kim_core::config::Domain;
use kim_core::error::{Condition, STANZA_ERRORS};
use kim_core::wire::{Element, escape_value};

/// The namespace of the elements; headers bind it to `db`.
pub const NS: &str = "jabber:server:dialback";
/// The stream feature that announces dialback and its errors (XEP-0220 §2.4.2).
pub const FEATURE: &str = "urn:xmpp:features:dialback";
/// The longest key that is passed on for verification. Those of XEP-0185 have 64 characters.
const KEY_BYTES_MAX: usize = 1_024;
/// The longest stream id that is compared.
const ID_BYTES_MAX: usize = 1_024;

/// A pair of domains: who speaks to whom. Prepared, so they can be compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Addresses {
    /// Who says this.
    pub from: String,
    /// To whom.
    pub to: String,
}

impl Addresses {
    /// The same in the other direction.
    pub fn swapped(&self) -> Addresses {
        Addresses {
            from: self.to.clone(),
            to: self.from.clone(),
        }
    }
}

/// What the other side answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key is right.
    Valid,
    /// It is not.
    Invalid,
    /// It could not be found out; the condition's name, as far as it is a known one (XEP-0220 §2.5).
    Error(Option<Condition>),
}

/// One element of dialback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialback {
    /// Step 1: a key as proof of `from`.
    Key(Addresses, String),
    /// Step 2: a question whether a key is right.
    Question(Addresses, String, String),
    /// Step 3: the answer to it, with the id of the stream that it is about.
    Answer(Addresses, String, Verdict),
    /// Step 4: whether the proof is accepted.
    Result(Addresses, Verdict),
}

/// Why an element of the dialback namespace is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// `from` or `to` is missing or is no domain.
    Address,
    /// Something else.
    Other,
}

impl Dialback {
    /// Reads an element; `None` if it belongs to another namespace.
    pub fn read(element: &Element) -> Option<Result<Dialback, Malformed>> {
        (element.ns() == NS).then(|| read(element))
    }
}

fn read(element: &Element) -> Result<Dialback, Malformed> {
    let domain = |name: &str| {
        let text = element.attr(name).ok_or(Malformed::Address)?;
        let domain = Domain::parse(&text).ok_or(Malformed::Address)?;
        Ok(domain.to_string())
    };
    let addresses = Addresses {
        from: domain("from")?,
        to: domain("to")?,
    };
    let verdict = match element.attr("type").as_deref() {
        None => None,
        Some("valid") => Some(Verdict::Valid),
        Some("invalid") => Some(Verdict::Invalid),
        Some("error") => Some(Verdict::Error(condition(element))),
        Some(_) => return Err(Malformed::Other),
    };
    let key = || {
        let text = element.text();
        let key = text.trim();
        let is_plausible = !key.is_empty() && key.len() <= KEY_BYTES_MAX;
        is_plausible.then(|| key.to_owned()).ok_or(Malformed::Other)
    };
    let id = || {
        let id = element.attr("id").ok_or(Malformed::Other)?;
        let is_plausible = !id.is_empty() && id.len() <= ID_BYTES_MAX;
        is_plausible.then(|| id.into_owned()).ok_or(Malformed::Other)
    };
    match (element.name(), verdict) {
        ("result", None) => Ok(Dialback::Key(addresses, key()?)),
        ("result", Some(verdict)) => Ok(Dialback::Result(addresses, verdict)),
        ("verify", None) => Ok(Dialback::Question(addresses, id()?, key()?)),
        ("verify", Some(verdict)) => Ok(Dialback::Answer(addresses, id()?, verdict)),
        _ => Err(Malformed::Other),
    }
}

/// The condition inside an error, if it is one that dialback knows.
fn condition(element: &Element) -> Option<Condition> {
    let error = element.children().find(|child| child.name() == "error")?;
    let named = error.children().find(|child| child.ns() == STANZA_ERRORS)?;
    let known = [
        Condition::ItemNotFound,
        Condition::RemoteServerNotFound,
        Condition::RemoteServerTimeout,
        Condition::PolicyViolation,
        Condition::NotAuthorized,
        Condition::Forbidden,
        Condition::NotAcceptable,
        Condition::ResourceConstraint,
    ];
    known
        .into_iter()
        .find(|condition| condition.as_str() == named.name())
}

/// `<db:result/>` with a key: asks to be accepted.
pub fn key(addresses: &Addresses, key: &str) -> String {
    element("result", addresses, None, None, key)
}

/// `<db:verify/>` with a key: asks the authoritative server about it.
pub fn question(addresses: &Addresses, id: &str, key: &str) -> String {
    element("verify", addresses, Some(id), None, key)
}

/// The answer to a question.
pub fn answer(addresses: &Addresses, id: &str, verdict: &Verdict) -> String {
    verdict_of("verify", addresses, Some(id), verdict)
}

/// The answer to a key.
pub fn result(addresses: &Addresses, verdict: &Verdict) -> String {
    verdict_of("result", addresses, None, verdict)
}

fn verdict_of(name: &str, addresses: &Addresses, id: Option<&str>, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Valid => element(name, addresses, id, Some("valid"), ""),
        Verdict::Invalid => element(name, addresses, id, Some("invalid"), ""),
        Verdict::Error(condition) => {
            let condition = condition.unwrap_or(Condition::RemoteServerTimeout);
            let (kind, name_of) = (condition.default_type().as_str(), condition.as_str());
            let inner = format!("<error type='{kind}'><{name_of} xmlns='{STANZA_ERRORS}'/></error>");
            let mut xml = opening(name, addresses, id, Some("error"));
            xml.push_str(&format!(">{inner}</db:{name}>"));
            xml
        }
    }
}

fn element(name: &str, addresses: &Addresses, id: Option<&str>, kind: Option<&str>, text: &str) -> String {
    let mut xml = opening(name, addresses, id, kind);
    if text.is_empty() {
        xml.push_str("/>");
    } else {
        xml.push('>');
        escape_value(&mut xml, text);
        xml.push_str(&format!("</db:{name}>"));
    }
    xml
}

fn opening(name: &str, addresses: &Addresses, id: Option<&str>, kind: Option<&str>) -> String {
    let mut xml = format!("<db:{name}");
    let attributes = [
        ("from", Some(addresses.from.as_str())),
        ("to", Some(addresses.to.as_str())),
        ("id", id),
        ("type", kind),
    ];
    for (attribute, value) in attributes {
        if let Some(value) = value {
            xml.push_str(&format!(" {attribute}='"));
            escape_value(&mut xml, value);
            xml.push('\'');
        }
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(xml: &str) -> Option<Result<Dialback, Malformed>> {
        let xml = xml.replace("<db:", "<").replace("</db:", "</");
        let xml = xml.replacen("<result", "<result xmlns='jabber:server:dialback'", 1);
        let xml = xml.replacen("<verify", "<verify xmlns='jabber:server:dialback'", 1);
        Dialback::read(&Element::parse(&xml).expect("well-formed"))
    }

    fn pair() -> Addresses {
        Addresses {
            from: "capulet.example".into(),
            to: "montague.example".into(),
        }
    }

    /// What is written is read as the same.
    #[test]
    fn each_step_survives_the_wire() {
        let error = Verdict::Error(Some(Condition::ItemNotFound));
        for (xml, meant) in [
            (key(&pair(), "abc"), Dialback::Key(pair(), "abc".into())),
            (
                question(&pair(), "417'GAF", "abc"),
                Dialback::Question(pair(), "417'GAF".into(), "abc".into()),
            ),
            (
                answer(&pair(), "417", &Verdict::Invalid),
                Dialback::Answer(pair(), "417".into(), Verdict::Invalid),
            ),
            (
                result(&pair(), &Verdict::Valid),
                Dialback::Result(pair(), Verdict::Valid),
            ),
            (result(&pair(), &error), Dialback::Result(pair(), error.clone())),
        ] {
            assert_eq!(parse(&xml), Some(Ok(meant)), "{xml}");
        }
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        for (xml, wrong) in [
            ("<db:result to='b.example'>k</db:result>", Malformed::Address),
            ("<db:result from='a.example'>k</db:result>", Malformed::Address),
            (
                "<db:result from='x@a.example' to='b.example'>k</db:result>",
                Malformed::Address,
            ),
            ("<db:result from='a.example' to='b.example'/>", Malformed::Other),
            (
                "<db:result from='a.example' to='b.example' type='maybe'/>",
                Malformed::Other,
            ),
            (
                "<db:verify from='a.example' to='b.example'>k</db:verify>",
                Malformed::Other,
            ),
            (
                "<db:verify from='a.example' to='b.example' id=''>k</db:verify>",
                Malformed::Other,
            ),
        ] {
            assert_eq!(parse(xml), Some(Err(wrong)), "{xml}");
        }
        let long = "k".repeat(2_000);
        let xml = format!("<db:result from='a.example' to='b.example'>{long}</db:result>");
        assert_eq!(parse(&xml), Some(Err(Malformed::Other)));
        let other = Element::parse("<message/>").expect("well-formed");
        assert_eq!(Dialback::read(&other), None);
    }
}
