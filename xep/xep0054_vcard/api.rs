//! What other modules may use: the picture in an account's vCard.

use std::sync::Arc;

use data_encoding::BASE64;
use kim_core::error::Fault;
use kim_core::hook::Notice;
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::wire::{El, Element, Writer};

pub use super::NS;
use super::avatar;
pub use super::avatar::UPDATE;
use super::store::Cards;

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Its media type, as whoever published it says; possibly empty.
    pub kind: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

impl Photo {
    /// The picture in a vCard, if it is in there and base64 (XEP-0153 §4.6).
    pub fn read(card: El<'_>) -> Option<Photo> {
        let photo = card.child("PHOTO", NS)?;
        let data = avatar::picture(&photo.child("BINVAL", NS)?.text())?;
        let kind = photo.child("TYPE", NS).map(|kind| kind.text().trim().to_owned());
        Some(Photo {
            kind: kind.unwrap_or_default(),
            data,
        })
    }

    /// Its hash, as presence carries it (XEP-0153 §3.1).
    pub fn hash(&self) -> String {
        avatar::hash_of(&self.data)
    }
}

/// A client has replaced its account's vCard, and the picture in it is another one; that is committed.
pub struct PhotoChanged {
    /// Whose.
    pub account: BareJid,
    /// The picture now.
    pub photo: Option<Photo>,
}

impl Notice for PhotoChanged {
    const NAME: &'static str = "vcard-photo-changed";
}

/// The vCards of accounts.
pub struct VCards {
    cards: Arc<Cards>,
}

impl VCards {
    pub(super) fn new(cards: Arc<Cards>) -> VCards {
        VCards { cards }
    }

    /// The hash of the picture in an account's vCard, as presence carries it.
    pub async fn photo_hash(&self, account: &BareJid) -> Result<Option<String>, Fault> {
        Ok(self.cards.photo(account).await?)
    }

    /// Replaces the picture in an account's vCard; the rest of it stays. Presence shows the new one.
    pub async fn set_photo(
        &self,
        router: &Arc<Router>,
        account: &BareJid,
        photo: Option<&Photo>,
    ) -> Result<(), Fault> {
        let card = self.cards.get(account).await?;
        let card = card.and_then(|xml| Element::stored(&xml));
        let mut xml = Writer::new();
        xml.start("vCard", NS);
        for child in card.iter().flat_map(|card| card.children()) {
            if !child.is("PHOTO", NS) {
                xml.el(child);
            }
        }
        if let Some(photo) = photo {
            xml.start("PHOTO", NS);
            xml.start("TYPE", NS).text(&photo.kind).end();
            xml.start("BINVAL", NS).text(&BASE64.encode(&photo.data)).end();
            xml.end();
        }
        let is_empty = card.is_none() && photo.is_none();
        let hash = photo.map(|photo| avatar::hash_of(&photo.data));
        if is_empty || self.cards.photo(account).await? == hash {
            return Ok(());
        }
        xml.end();
        self.cards
            .put(account, Some(xml.finish_string()), hash.clone())
            .await?;
        avatar::show_again(router, account, hash.as_deref()).await;
        Ok(())
    }
}
