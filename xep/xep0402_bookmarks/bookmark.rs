//! One bookmark, as both formats have it, and how one becomes the other (§5.3).

use std::collections::HashMap;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::hook::{Flow, On};
use kim_core::jid::Jid;
use kim_core::wire::{El, Element, Writer};

use super::{NATIVE, STORAGE};
use crate::xep0060_pubsub::api::Publishing;

/// A bookmarked room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// The address of the room.
    pub jid: String,
    name: Option<String>,
    autojoin: bool,
    nick: Option<String>,
    password: Option<String>,
}

impl Bookmark {
    fn read(jid: String, conference: El<'_>) -> Bookmark {
        let child = |name| {
            conference
                .child(name, conference.ns())
                .map(|child| child.text().into_owned())
        };
        Bookmark {
            jid,
            name: conference.attr("name").map(|name| name.into_owned()),
            autojoin: matches!(conference.attr("autojoin").as_deref(), Some("1" | "true")),
            nick: child("nick"),
            password: child("password"),
        }
    }

    /// From an item of the native node.
    pub fn of_item(id: &str, payload: &Element) -> Option<Bookmark> {
        let is_one = payload.is("conference", NATIVE);
        is_one.then(|| Bookmark::read(room_of(id), payload.el()))
    }

    /// The rooms in a `<storage/>`. Of one that stands there twice the last counts; what has no address counts not at all.
    pub fn of_storage(storage: El<'_>) -> Vec<Bookmark> {
        let mut all: Vec<Bookmark> = Vec::new();
        for conference in storage.children().filter(|child| child.is("conference", STORAGE)) {
            if let Some(jid) = address(conference) {
                let bookmark = Bookmark::read(jid, conference);
                all.retain(|other| other.jid != bookmark.jid);
                all.push(bookmark);
            }
        }
        all
    }

    /// The payload of a native item, which replaces `before`.
    pub fn native(&self, before: Option<&Element>) -> Option<Element> {
        let mut xml = Writer::new();
        self.write(&mut xml, NATIVE, before.map(Element::el));
        xml.finish_element()
    }

    /// Writes the bookmark in the place of `before`. Whatever nobody here knows stays as it was: attributes, children, and
    /// the `<extensions/>` of other clients (§3).
    fn write(&self, xml: &mut Writer, ns: &'static str, before: Option<El<'_>>) {
        let was = before.map(|before| Bookmark::read(self.jid.clone(), before));
        let is_old = ns == STORAGE;
        xml.start("conference", ns);
        if is_old {
            let jid = before.and_then(|before| before.attr("jid"));
            xml.attr("jid", jid.as_deref().unwrap_or(&self.jid));
        }
        if let Some(name) = &self.name {
            xml.attr("name", name);
        }
        let same_autojoin = was.as_ref().is_some_and(|was| was.autojoin == self.autojoin);
        match before
            .filter(|_| same_autojoin)
            .map(|before| before.attr("autojoin"))
        {
            Some(Some(word)) => drop(xml.attr("autojoin", &word)),
            None if self.autojoin => drop(xml.attr("autojoin", "true")),
            Some(None) | None => {}
        }
        let known: &[&str] = if is_old {
            &["jid", "name", "autojoin"]
        } else {
            &["name", "autojoin"]
        };
        if let Some(before) = before {
            xml.attrs_of(&before.to_element(), known);
        }
        let mut left = vec![
            ("nick", self.nick.as_deref()),
            ("password", self.password.as_deref()),
        ];
        for child in before.iter().flat_map(|before| before.children()) {
            let own = |(name, _): &(&str, Option<&str>)| child.is(name, ns);
            match left.iter().position(own).map(|at| left.remove(at)) {
                // Not known here, or said a second time.
                None => drop(xml.el(child)),
                Some((_, Some(text))) if child.text() == text => drop(xml.el(child)),
                Some((name, text)) => write_text(xml, name, ns, text),
            }
        }
        for (name, text) in left {
            write_text(xml, name, ns, text);
        }
        xml.end();
    }
}

fn write_text(xml: &mut Writer, name: &str, ns: &str, text: Option<&str>) {
    if let Some(text) = text {
        xml.start(name, ns).text(text).end();
    }
}

/// The room that an item of the native node is about. Some clients name it as it was typed.
pub fn room_of(id: &str) -> String {
    Jid::parse(id).map_or_else(|_| id.to_owned(), |jid| jid.as_str().to_owned())
}

/// The address of a conference in a `<storage/>`, as native items are called by it.
fn address(conference: El<'_>) -> Option<String> {
    let jid = conference.attr("jid").and_then(|jid| Jid::parse(&jid).ok());
    jid.map(|jid| jid.as_str().to_owned())
}

/// The `<storage/>` that follows `before` when the account has these bookmarks and those of which `is_gone` says so have been
/// removed. Everything else in it stays where and as it was: web pages, conferences without an address, and what nobody
/// here knows.
pub fn storage(
    bookmarks: &[Bookmark],
    is_gone: impl Fn(&str) -> bool,
    before: Option<El<'_>>,
) -> Option<Element> {
    let mut left: Vec<&Bookmark> = bookmarks.iter().collect();
    let wanted: HashMap<&str, &Bookmark> = bookmarks.iter().map(|one| (one.jid.as_str(), one)).collect();
    let children: Vec<El<'_>> = before.iter().flat_map(|before| before.children()).collect();
    let addresses: Vec<Option<String>> = children
        .iter()
        .map(|child| address(*child).filter(|_| child.is("conference", STORAGE)))
        .collect();
    // Of a room that stands there twice the last one counts.
    let counts: HashMap<&str, usize> = addresses
        .iter()
        .enumerate()
        .filter_map(|(at, address)| Some((address.as_deref()?, at)))
        .collect();
    let mut xml = Writer::new();
    xml.start("storage", STORAGE);
    if let Some(before) = before {
        xml.attrs_of(&before.to_element(), &[]);
    }
    for (at, (child, address)) in children.iter().zip(&addresses).enumerate() {
        let Some(address) = address.as_deref() else {
            xml.el(*child);
            continue;
        };
        match wanted.get(address) {
            Some(now)
                if counts.get(address) == Some(&at)
                    && Bookmark::read(address.to_owned(), *child) != **now =>
            {
                now.write(&mut xml, STORAGE, Some(*child));
            }
            None if is_gone(address) => {}
            Some(_) | None => drop(xml.el(*child)),
        }
    }
    left.retain(|bookmark| !counts.contains_key(bookmark.jid.as_str()));
    for bookmark in left {
        bookmark.write(&mut xml, STORAGE, None);
    }
    xml.end();
    xml.finish_element()
}

/// §2: the id of a native item is the address of a room, its payload one conference.
pub struct Sound;

impl On<Publishing> for Sound {
    async fn on(&self, publishing: &mut Publishing, _: &mut Cx) -> Result<Flow, Fault> {
        if publishing.owner.local().is_none() || publishing.node != NATIVE || publishing.by_server {
            return Ok(Flow::Next);
        }
        for draft in &publishing.items {
            let is_conference = draft
                .payload
                .as_ref()
                .is_some_and(|payload| payload.is("conference", NATIVE));
            if !is_conference || Jid::parse(&draft.id).is_err() {
                let error = StanzaError::new(Condition::NotAcceptable);
                return Err(error
                    .text("a bookmark must be a conference element whose item id is the address of the room")
                    .into());
            }
        }
        Ok(Flow::Next)
    }
}
