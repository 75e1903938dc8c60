//! Moderators' requests (§3): who may, which message, and that it is gone for everybody.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::random;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::El;

use super::words::{self, Deed};
use super::{NS, OLD};
use crate::xep0045_muc::api::{HistoryChanged, OccupantView, Role, Rooms};
use crate::xep0313_mam::api::{MessageArchives, RETRACT};

/// The namespace of retractions that goes with version 0.2.
pub const OLD_RETRACT: &str = "urn:xmpp:message-retract:0";

/// What both forms come to.
pub struct Moderate {
    /// The rooms.
    pub rooms: Arc<Rooms>,
    /// Their archives.
    pub archives: Arc<MessageArchives>,
    /// `reason_chars_max`
    pub reason_chars_max: usize,
}

/// §3
pub struct New(pub Arc<Moderate>);

impl HandleIq for New {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        if !iq.payload.children().any(|child| child.is("retract", RETRACT)) {
            return Err(Condition::FeatureNotImplemented.into());
        }
        let reason = iq.payload.child("reason", NS);
        self.0.retract(iq, iq.payload, reason, cx).await
    }
}

/// Version 0.2, §4: `<apply-to><moderate/></apply-to>`.
pub struct Old(pub Arc<Moderate>);

impl HandleIq for Old {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let moderate = iq.payload.child("moderate", OLD);
        let moderate = moderate.ok_or(Condition::ServiceUnavailable)?;
        if !moderate.children().any(|child| child.name() == "retract") {
            return Err(Condition::FeatureNotImplemented.into());
        }
        let reason = moderate.child("reason", OLD);
        self.0.retract(iq, iq.payload, reason, cx).await
    }
}

impl Moderate {
    async fn moderator(&self, iq: &Request<'_>, cx: &Cx) -> Result<OccupantView, Fault> {
        let visitor = self.rooms.visitor(iq.account, iq.from, cx).await?;
        let visitor = visitor.ok_or(Condition::ItemNotFound)?;
        let who = visitor.occupant.ok_or(Condition::NotAcceptable)?;
        if who.role != Role::Moderator {
            // §3.2
            return Err(StanzaError::new(Condition::Forbidden)
                .kind(ErrorType::Modify)
                .text("only moderators are allowed to moderate other participants' messages")
                .into());
        }
        Ok(who)
    }

    async fn retract(
        &self,
        iq: &Request<'_>,
        named: El<'_>,
        reason: Option<El<'_>>,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let room = iq.account;
        let moderator = self.moderator(iq, cx).await?;
        let id = named.attr("id").ok_or(Condition::BadRequest)?.into_owned();
        let kept = self.archives.find(room, &id).await?;
        let kept = kept.ok_or(Condition::ItemNotFound)?;
        if kept.is_retracted() {
            // Two moderators at the same moment: it is as both want it.
            return Ok(Reply::Empty);
        }
        if kept.stanza.from.as_ref().is_none_or(|from| from.is_bare()) || kept.stanza.has("retract", RETRACT)
        {
            return Err(StanzaError::new(Condition::NotAllowed)
                .text("only messages from occupants can be moderated")
                .into());
        }
        let reason: String = reason
            .map(|reason| reason.text().trim().chars().take(self.reason_chars_max).collect())
            .unwrap_or_default();
        let retraction = random::token();
        let deed = Deed {
            message: &id,
            retraction: &retraction,
            moderator: &moderator,
            reason: &reason,
            stamp: cx.received,
        };
        let mut told = Stanza::new(Kind::Message(MessageType::Groupchat), &words::told(&deed));
        told.id = Some(retraction.as_str().into());
        let burial = self
            .archives
            .burial(room, &kept, &words::tombstone(&deed))
            .await?;
        let rows = |cx: &mut Cx| {
            burial.perform(cx);
            cx.learn(HistoryChanged);
        };
        self.rooms.announce(room, told, true, rows, cx).await?;
        Ok(Reply::Empty)
    }
}
