//! One bookmark, as both formats have it, and how one becomes the other (§5.3).

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
        is_one.then(|| Bookmark::read(id.to_owned(), payload.el()))
    }

    /// The rooms in a `<storage/>`. Of one that stands there twice the last counts; what has no address counts not at all.
    pub fn of_storage(storage: El<'_>) -> Vec<Bookmark> {
        let mut all: Vec<Bookmark> = Vec::new();
        for conference in storage.children().filter(|child| child.is("conference", STORAGE)) {
            let jid = conference.attr("jid").and_then(|jid| Jid::parse(&jid).ok());
            if let Some(jid) = jid {
                let bookmark = Bookmark::read(jid.as_str().to_owned(), conference);
                all.retain(|other| other.jid != bookmark.jid);
                all.push(bookmark);
            }
        }
        all
    }

    /// The payload of a native item. What other clients keep in the `<extensions/>` of the one there was stays.
    pub fn native(&self, before: Option<&Element>) -> Option<Element> {
        let mut xml = Writer::new();
        xml.start("conference", NATIVE);
        self.put(&mut xml, NATIVE);
        if let Some(extensions) = before.and_then(|before| before.child("extensions", NATIVE)) {
            xml.el(extensions);
        }
        xml.end();
        xml.finish_element()
    }

    fn write_old(&self, xml: &mut Writer) {
        xml.start("conference", STORAGE).attr("jid", &self.jid);
        self.put(xml, STORAGE);
        xml.end();
    }

    fn put(&self, xml: &mut Writer, ns: &str) {
        if let Some(name) = &self.name {
            xml.attr("name", name);
        }
        if self.autojoin {
            xml.attr("autojoin", "true");
        }
        for (name, text) in [("nick", &self.nick), ("password", &self.password)] {
            if let Some(text) = text {
                xml.start(name, ns).text(text).end();
            }
        }
    }
}

/// The `<storage/>` of these rooms, with what else stood in the one before: web pages, and what nobody here knows.
pub fn storage(bookmarks: &[Bookmark], before: Option<El<'_>>) -> Option<Element> {
    let mut xml = Writer::new();
    xml.start("storage", STORAGE);
    for bookmark in bookmarks {
        bookmark.write_old(&mut xml);
    }
    for other in before.iter().flat_map(|before| before.children()) {
        if !other.is("conference", STORAGE) {
            xml.el(other);
        }
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
                    .text("a bookmark is a conference under the address of its room")
                    .into());
            }
        }
        Ok(Flow::Next)
    }
}
