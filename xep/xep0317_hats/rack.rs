//! The hats of a room and who wears them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Caches, Shared};
use kim_core::seal::Seals;
use kim_core::wire::{El, Element, Writer};
use tokio::sync::Mutex;

use super::NS;
use super::store::{HatChange, HatStore};
use crate::xep0045_muc::api::once_settled;

/// Rooms whose hats are remembered.
const ROOMS_MAX: usize = 10_000;
/// Hats of one room, and how often they may be worn in all.
const HATS_MAX: usize = 50;
const WORN_MAX: usize = 2_000;
/// Hats of one person: all of them stand in every presence.
const WORN_BY_ONE_MAX: usize = 10;
/// Characters of a title or a URI.
const TEXT_CHARS_MAX: usize = 300;
/// Bytes of a hue.
const HUE_BYTES_MAX: usize = 20;

/// A hat, but for its URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hat {
    /// What a human reads.
    pub title: Box<str>,
    /// Its colour, if it has one.
    pub hue: Option<Box<str>>,
}

/// All hats of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rack {
    /// By their URIs.
    pub hats: BTreeMap<Box<str>, Hat>,
    /// Which of them somebody wears.
    pub worn: BTreeMap<BareJid, BTreeSet<Box<str>>>,
}

fn full() -> Fault {
    StanzaError::new(Condition::ResourceConstraint)
        .text("this room has too many hats; destroy some")
        .into()
}

fn is_fitting(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX
}

impl Rack {
    /// §3.2: a new hat, or another title and colour for one that is there.
    pub fn put(&mut self, uri: &str, title: &str, hue: Option<&str>) -> Result<(), Fault> {
        let hue_is_right = hue.is_none_or(|hue| {
            let degrees = hue.parse::<f64>();
            hue.len() <= HUE_BYTES_MAX && degrees.is_ok_and(|degrees| (0.0..=360.0).contains(&degrees))
        });
        if !is_fitting(uri) || !is_fitting(title) || !hue_is_right {
            return Err(Condition::NotAcceptable.into());
        }
        if self.hats.len() >= HATS_MAX && !self.hats.contains_key(uri) {
            return Err(full());
        }
        let hat = Hat {
            title: title.into(),
            hue: hue.map(Box::from),
        };
        self.hats.insert(uri.into(), hat);
        Ok(())
    }

    /// §3.3: a hat goes, from everybody's head too; tells who wore it.
    pub fn take_away(&mut self, uri: &str) -> Result<Vec<BareJid>, Fault> {
        self.hats.remove(uri).ok_or(Condition::ItemNotFound)?;
        let wearers = self.wearers(uri);
        for wearer in &wearers {
            self.take_off(wearer, uri)?;
        }
        Ok(wearers)
    }

    /// Who wears a hat.
    pub fn wearers(&self, uri: &str) -> Vec<BareJid> {
        let wears = |(_, uris): &(&BareJid, &BTreeSet<Box<str>>)| uris.contains(uri);
        self.worn
            .iter()
            .filter(wears)
            .map(|(jid, _)| jid.clone())
            .collect()
    }

    /// §3.5
    pub fn put_on(&mut self, jid: &BareJid, uri: &str) -> Result<(), Fault> {
        if !self.hats.contains_key(uri) {
            return Err(Condition::ItemNotFound.into());
        }
        if self.worn.values().map(BTreeSet::len).sum::<usize>() >= WORN_MAX {
            return Err(full());
        }
        let uris = self.worn.entry(jid.clone()).or_default();
        if uris.len() >= WORN_BY_ONE_MAX && !uris.contains(uri) {
            return Err(full());
        }
        uris.insert(uri.into());
        Ok(())
    }

    /// §3.6
    pub fn take_off(&mut self, jid: &BareJid, uri: &str) -> Result<(), Fault> {
        let uris = self.worn.get_mut(jid).ok_or(Condition::ItemNotFound)?;
        if !uris.remove(uri) {
            return Err(Condition::ItemNotFound.into());
        }
        if uris.is_empty() {
            self.worn.remove(jid);
        }
        Ok(())
    }

    /// §3.1: the hats somebody wears, as presence shows them; nothing if there are none.
    pub fn shown(&self, jid: &BareJid) -> Option<String> {
        let uris = self.worn.get(jid)?;
        let mut xml = Writer::new();
        xml.start("hats", NS);
        for (uri, hat) in uris.iter().filter_map(|uri| Some((uri, self.hats.get(uri)?))) {
            write(&mut xml, uri, hat);
        }
        xml.end();
        Some(xml.finish_string())
    }

    fn to_xml(&self) -> String {
        let mut xml = Writer::new();
        xml.start("rack", NS);
        for (uri, hat) in &self.hats {
            write(&mut xml, uri, hat);
        }
        for (jid, uris) in &self.worn {
            for uri in uris {
                xml.start("worn", NS)
                    .attr("jid", jid.as_str())
                    .attr("uri", uri)
                    .end();
            }
        }
        xml.end();
        xml.finish_string()
    }

    fn read(xml: El<'_>) -> Rack {
        let mut rack = Rack::default();
        for child in xml.children() {
            let attr = |name| child.attr(name).map(|value| value.into_owned().into_boxed_str());
            let Some(uri) = attr("uri") else { continue };
            if child.is("hat", NS) {
                let hat = Hat {
                    title: attr("title").unwrap_or_default(),
                    hue: attr("hue"),
                };
                rack.hats.insert(uri, hat);
            } else if let Some(jid) = attr("jid").and_then(|jid| Jid::parse(&jid).ok()) {
                rack.worn.entry(jid.bare()).or_default().insert(uri);
            }
        }
        rack
    }
}

fn write(xml: &mut Writer, uri: &str, hat: &Hat) {
    xml.start("hat", NS).attr("title", &hat.title).attr("uri", uri);
    if let Some(hue) = &hat.hue {
        xml.attr("hue", hue);
    }
    xml.end();
}

/// The hats of all rooms.
pub struct Racks {
    store: HatStore,
    seals: Seals,
    rooms: Shared<BareJid, Arc<Rack>>,
    /// One change at a time.
    changing: Mutex<()>,
}

fn aad(room: &BareJid) -> [&[u8]; 2] {
    [b"room hats", room.as_str().as_bytes()]
}

impl Racks {
    /// Nothing is in memory yet.
    pub(super) fn new(caches: &Caches, store: HatStore, seals: Seals) -> Racks {
        Racks {
            store,
            seals,
            rooms: Shared::new(caches, "hats.racks", ROOMS_MAX),
            changing: Mutex::new(()),
        }
    }

    /// The hats of a room.
    pub async fn of(&self, room: &BareJid) -> Result<Arc<Rack>, Fault> {
        let read = || async {
            let Some(sealed) = self.store.of(room).await? else {
                return Ok::<_, Fault>(Arc::default());
            };
            let key = self.seals.key(room.as_str()).await?;
            let text = key.open(&aad(room), &sealed).ok();
            let xml = text
                .and_then(|text| String::from_utf8(text).ok())
                .and_then(|text| Element::stored(&text));
            if xml.is_none() {
                tracing::warn!(event = "hats_damaged", %room, "the room goes on without hats");
            }
            Ok(Arc::new(xml.map(|xml| Rack::read(xml.el())).unwrap_or_default()))
        };
        self.rooms.read(room, read).await
    }

    /// Changes a room's hats; what is shown of them waits for the commit.
    pub async fn change<T>(
        &self,
        room: &BareJid,
        change: impl FnOnce(&mut Rack) -> Result<T, Fault>,
        cx: &mut Cx,
    ) -> Result<T, Fault> {
        let _turn = self.changing.lock().await;
        let mark = self.rooms.mark(room);
        let mut rack = Rack::clone(&*self.of(room).await?);
        let outcome = change(&mut rack)?;
        let key = self.seals.key(room.as_str()).await?;
        let row = HatChange {
            room: room.clone(),
            state: Some(key.seal(&aad(room), rack.to_xml().as_bytes())),
        };
        cx.store(&self.store.sink, row);
        // What follows is a room's own sending, which does not wait for this context.
        if let Err(error) = cx.committed().await {
            // It may be there all the same; what is in the database is right.
            self.rooms.invalidate(room);
            return Err(error.into());
        }
        self.rooms.put(room, Arc::new(rack), mark);
        Ok(outcome)
    }

    /// An account is gone, and whoever gets its name has no hats yet.
    pub async fn forget_account(&self, account: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let mut after = String::new();
        loop {
            let page = self.store.rooms(&after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.as_str().to_owned();
            for room in &page {
                if self.of(room).await?.worn.contains_key(account) {
                    let undress = |rack: &mut Rack| Ok(rack.worn.remove(account));
                    self.change(room, undress, cx).await?;
                }
            }
        }
    }

    /// A room is gone.
    pub fn forget(&self, room: &BareJid, cx: &mut Cx) {
        let gone = HatChange {
            room: room.clone(),
            state: None,
        };
        cx.store(&self.store.sink, gone);
        let (rooms, room) = (self.rooms.clone(), room.clone());
        once_settled(cx, move |_| {
            rooms.invalidate(&room);
        });
    }
}
