//! From the nodes to the vCard and back (XEP-0398 §3). A picture that is not for everybody (§7) is not put into the vCard,
//! and takes the one out that was there before.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::Hear;
use kim_core::jid::BareJid;

use super::metadata::{self, id_of, says_none, stored_here};
use super::{DATA, METADATA};
use crate::xep0054_vcard::api::{Photo, PhotoChanged, VCards};
use crate::xep0060_pubsub::api::{AccessModel, Draft, PubSub, Published, Retracted};

/// What a picture lies under when there is none.
const NOTHING: &str = "none";

/// Carries pictures from one to the other.
pub(super) struct Converter {
    pub pubsub: Arc<PubSub>,
    pub cards: Arc<VCards>,
}

/// From the nodes to the vCard (§3.1).
pub(super) struct ToCard(pub Arc<Converter>);

impl Hear<Published> for ToCard {
    async fn hear(&self, published: &mut Published, cx: &mut Cx) -> Result<(), Fault> {
        if published.owner.local().is_none() || published.node != METADATA || published.by_server {
            return Ok(());
        }
        let owner = published.owner.clone();
        let payload = published.items.last().and_then(|item| item.payload.as_ref());
        let Some(metadata) = payload.map(|payload| payload.el()) else {
            return Ok(());
        };
        if says_none(metadata) {
            self.0.cards.set_photo(cx.router(), &owner, None).await?;
        } else if let Some(info) = stored_here(metadata) {
            let photo = self.0.photo(&owner, &info, cx).await?;
            self.0
                .cards
                .set_photo(cx.router(), &owner, photo.as_ref())
                .await?;
        }
        Ok(())
    }
}

impl Hear<Retracted> for ToCard {
    async fn hear(&self, retracted: &mut Retracted, cx: &mut Cx) -> Result<(), Fault> {
        let is_avatar = retracted.node == METADATA && retracted.owner.local().is_some();
        if is_avatar && !retracted.by_server {
            let left = self
                .0
                .pubsub
                .items(cx.router(), &retracted.owner, METADATA, Some(1))
                .await?;
            if left.is_empty() {
                self.0
                    .cards
                    .set_photo(cx.router(), &retracted.owner.clone(), None)
                    .await?;
            }
        }
        Ok(())
    }
}

impl Converter {
    /// The picture that the metadata names, if it is there, is what it is said to be, and is for everybody.
    async fn photo(
        &self,
        owner: &BareJid,
        info: &metadata::PictureInfo,
        cx: &Cx,
    ) -> Result<Option<Photo>, Fault> {
        let config = self.pubsub.config(cx.router(), owner, DATA).await?;
        if config.is_none_or(|config| config.access != AccessModel::Open) {
            return Ok(None);
        }
        let item = self.pubsub.item(cx.router(), owner, DATA, &info.id).await?;
        let payload = item.as_ref().and_then(|item| item.payload.as_ref());
        let data = payload.and_then(|payload| metadata::picture(payload.el()));
        Ok(data.filter(|data| id_of(data) == info.id).map(|data| Photo {
            kind: info.kind.clone(),
            data,
        }))
    }
}

/// From the vCard to the nodes (§3.2).
pub(super) struct FromCard(pub Arc<Converter>);

impl Hear<PhotoChanged> for FromCard {
    async fn hear(&self, changed: &mut PhotoChanged, cx: &mut Cx) -> Result<(), Fault> {
        let (pubsub, account) = (&self.0.pubsub, changed.account.clone());
        let Some(photo) = &changed.photo else {
            // Nothing there, nothing to take back.
            let known = pubsub.items(cx.router(), &account, METADATA, Some(1)).await?;
            if let Some(none) = metadata::none().filter(|_| !known.is_empty()) {
                pubsub
                    .publish(&account, METADATA, vec![Draft::new(NOTHING, none)], cx)
                    .await?;
            }
            return Ok(());
        };
        let Some((data, metadata)) = metadata::payloads(photo) else {
            return Ok(());
        };
        // A vCard is for everybody, so its picture is at the nodes too.
        let id = id_of(&photo.data);
        pubsub
            .publish_openly(&account, DATA, vec![Draft::new(id.clone(), data)], cx)
            .await?;
        pubsub
            .publish_openly(&account, METADATA, vec![Draft::new(id, metadata)], cx)
            .await?;
        Ok(())
    }
}
