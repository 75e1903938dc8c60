//! Reading and replacing vCards (XEP-0054 §3).

use std::sync::Arc;

use kim_core::config::LimitsInForce;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::router::Destination;

use super::api::{Photo, PhotoChanged};
use super::avatar;
use super::store::Cards;

/// Shows a vCard to everybody (§3.1, §3.3, §5).
pub(super) struct Show(pub Arc<Cards>);

impl HandleIq for Show {
    async fn handle(&self, iq: &Request<'_>, _: &mut Cx) -> Result<Reply, Fault> {
        match self.0.get(iq.account).await? {
            Some(xml) => Ok(Reply::Payload(xml)),
            None if iq.from.bare() == *iq.account => Err(Condition::ItemNotFound.into()),
            // §3.3: as if there were no such account.
            None => Err(Condition::ServiceUnavailable.into()),
        }
    }
}

/// Replaces one's own vCard (§3.2). The answer leaves when it is stored.
pub(super) struct CardChange {
    pub cards: Arc<Cards>,
    pub limits: LimitsInForce,
}

impl HandleIq for CardChange {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let router = cx.router().clone();
        if router.destination(iq.account.domain()) != Destination::Users {
            return Err(Condition::ServiceUnavailable.into());
        }
        let is_empty = iq.payload.children().next().is_none();
        let xml = (!is_empty).then(|| iq.payload.to_xml());
        let bytes_max = self.limits.now().vcard_bytes_max;
        if xml.as_ref().is_some_and(|xml| xml.len() > bytes_max) {
            let text = format!("the vCard is too large; at most {bytes_max} bytes are allowed");
            return Err(StanzaError::new(Condition::PolicyViolation).text(text).into());
        }
        let before = self.cards.photo(iq.account).await?;
        let photo = avatar::hash(iq.payload);
        self.cards.put(iq.account, xml, photo.clone()).await?;
        if photo != before {
            avatar::show_again(&router, iq.account, photo.as_deref()).await;
            let mut changed = PhotoChanged {
                account: iq.account.clone(),
                photo: Photo::read(iq.payload),
            };
            router.tell(&mut changed, cx).await?;
        }
        Ok(Reply::Empty)
    }
}
