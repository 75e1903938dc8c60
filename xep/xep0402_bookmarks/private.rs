//! Bookmarks in private XML (XEP-0048, XEP-0049): a view of the private node.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Flow, On};
use kim_core::wire::Element;

use super::bookmark::storage;
use super::step::BookmarkKeeper;
use super::{CURRENT, STORAGE};
use crate::xep0049_private::api::{Reading, Writing};
use crate::xep0060_pubsub::api::Draft;

/// Answers for private XML.
pub struct PrivateBookmarks(pub Arc<BookmarkKeeper>);

impl On<Reading> for PrivateBookmarks {
    async fn on(&self, reading: &mut Reading, cx: &mut Cx) -> Result<Flow, Fault> {
        if reading.ns != STORAGE || reading.name != "storage" {
            return Ok(Flow::Next);
        }
        match self.0.storage(&reading.account, cx).await? {
            Some(storage) => {
                reading.xml = Some(storage.as_str().to_owned());
                Ok(Flow::Done)
            }
            // What was put into private XML before there were nodes.
            None => Ok(Flow::Next),
        }
    }
}

impl On<Writing> for PrivateBookmarks {
    async fn on(&self, writing: &mut Writing, cx: &mut Cx) -> Result<Flow, Fault> {
        if writing.ns != STORAGE || writing.name != "storage" {
            return Ok(Flow::Next);
        }
        let now = match Element::stored(&writing.xml) {
            Some(now) => Some(now),
            None if writing.xml.is_empty() => storage(&[], |_| true, None),
            // Several at once: no client does that.
            None => return Ok(Flow::Next),
        };
        let Some(now) = now else { return Ok(Flow::Next) };
        let account = writing.account.clone();
        if self.0.storage(&account, cx).await?.as_ref() != Some(&now) {
            let draft = Draft::new(CURRENT, now.clone());
            self.0.pubsub.publish(&account, STORAGE, vec![draft], cx).await?;
        }
        self.0.to_native(&account, now.el(), cx).await?;
        Ok(Flow::Done)
    }
}
