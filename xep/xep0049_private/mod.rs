//! XEP-0049 Private XML Storage 1.2: keeps XML for an account's own clients, one entry for each element name and namespace.
//! The answer to a set leaves after its commit. All entries of an account together are bounded by
//! `private_bytes_max` in `[limits]`.

use kim_core::accounts::Eraser;
use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::db::Migration;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::hook::Flow;
use kim_core::module::{At, HandleIq, Module, Registrar, Reply, Request, Spec};
use kim_core::ns;
use kim_core::router::Destination;
use kim_core::stanza::IqType;
use kim_core::wire::{El, Writer};

pub mod api;
mod store;
#[cfg(test)]
mod tests;

use api::{Reading, Writing};
use store::{PrivateEntry, PrivateStore};

const NS: &str = "jabber:iq:private";

/// Elements that one set may hold.
const ELEMENTS_MAX: usize = 64;

/// The module.
pub struct PrivateXml;

impl Module for PrivateXml {
    type Config = NoSettings;
    const NAME: &'static str = "xep0049_private";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0049", "Private XML Storage", "1.2")];
    const MIGRATIONS: &'static [Migration] = &[
        Migration {
            module: "xep0049_private",
            name: "0001_private",
            sql: include_str!("migrations/0001_private.sql"),
        },
        Migration {
            module: "xep0049_private",
            name: "0002_sealed",
            sql: include_str!("migrations/0002_sealed.sql"),
        },
    ];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        for kind in [IqType::Get, IqType::Set] {
            let handler = Keeper(PrivateStore::new(house.db, house.seals, house.limits));
            house.iq(&[At::Own], kind, "query", NS, handler);
            // §2.3: "forbidden" is preferred.
            house.refuse_others(kind, "query", NS, Condition::Forbidden);
        }
        // The text names no place; clients look at the server.
        house.feature(&[At::Server], NS);
        Ok(())
    }
}

/// Keeps and gives back.
struct Keeper(PrivateStore);

impl HandleIq for Keeper {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        if cx.router().destination(iq.account.domain()) != Destination::Users {
            return Err(Condition::ServiceUnavailable.into());
        }
        let elements: Vec<El<'_>> = iq.payload.children().take(ELEMENTS_MAX + 1).collect();
        let namespace = namespace(&elements)?;
        if !iq.is_set() {
            let &[asked] = elements.as_slice() else {
                return Err(not_acceptable("one element at a time"));
            };
            let mut reading = Reading {
                account: iq.account.clone(),
                ns: namespace.to_owned(),
                name: asked.name().to_owned(),
                xml: None,
            };
            let kept = match cx.router().clone().raise(&mut reading, cx).await? {
                Flow::Done => reading.xml,
                Flow::Next => self.0.get(iq.account, namespace, asked.name()).await?,
            };
            return Ok(write(asked, kept.as_deref()));
        }
        if elements.len() > ELEMENTS_MAX {
            return Err(not_acceptable("too many elements at once"));
        }
        let mut kept_here = Vec::new();
        for entry in entries(&elements) {
            let mut writing = Writing {
                account: iq.account.clone(),
                ns: namespace.to_owned(),
                name: entry.name.clone(),
                xml: entry.xml.clone(),
            };
            if cx.router().clone().raise(&mut writing, cx).await? == Flow::Next {
                kept_here.push(entry);
            }
        }
        if kept_here.is_empty() {
            return Ok(Reply::Empty);
        }
        if !self.0.put(iq.account, namespace, kept_here).await? {
            let error = StanzaError::new(Condition::PolicyViolation)
                .text("your private storage is full; delete some of it");
            return Err(error.kind(ErrorType::Cancel).into());
        }
        Ok(Reply::Empty)
    }
}

/// §2.3: at least one element with a namespace of its own, and all of the same one.
fn namespace<'a>(elements: &[El<'a>]) -> Result<&'a str, Fault> {
    let first = elements
        .first()
        .map(El::ns)
        .ok_or_else(|| not_acceptable("an element is missing"))?;
    if first.is_empty() || first == NS || first == ns::CLIENT {
        return Err(not_acceptable("the element needs a namespace of its own"));
    }
    if elements.iter().any(|element| element.ns() != first) {
        return Err(not_acceptable("one namespace at a time"));
    }
    Ok(first)
}

fn not_acceptable(why: &'static str) -> Fault {
    StanzaError::new(Condition::NotAcceptable).text(why).into()
}

/// One entry for each name; elements of the same name belong together. One without attributes and content leaves nothing
/// to keep: asked for later, it is given back just the same.
fn entries(elements: &[El<'_>]) -> Vec<PrivateEntry> {
    let mut entries: Vec<PrivateEntry> = Vec::new();
    for element in elements {
        let is_empty = element.attrs().next().is_none() && element.xml().ends_with("/>");
        let xml = if is_empty { String::new() } else { element.to_xml() };
        match entries.iter_mut().find(|entry| entry.name == element.name()) {
            Some(entry) => entry.xml.push_str(&xml),
            None => entries.push(PrivateEntry {
                name: element.name().to_owned(),
                xml,
            }),
        }
    }
    entries
}

/// What is kept, or the element that was asked for.
fn write(asked: El<'_>, kept: Option<&str>) -> Reply {
    let mut xml = Writer::new();
    xml.start("query", NS);
    match kept {
        Some(kept) => xml.raw(kept),
        None => xml.start(asked.name(), asked.ns()).end(),
    };
    xml.end();
    xml.into()
}
