//! Requests for slots (§4) and why they are refused (§6).

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::db::DbError;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::router::Destination;
use kim_core::wire::{El, Writer};

use super::api::{Purpose, UploadRefusal, UploadWish, Uploads};
use super::{NS, PURPOSES};

/// Answers them.
pub(super) struct UploadRequests(pub Arc<Uploads>);

impl HandleIq for UploadRequests {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let (filename, size) = (iq.payload.attr("filename"), iq.payload.attr("size"));
        let (Some(filename), Some(Ok(bytes))) = (filename, size.map(|size| size.parse::<u64>())) else {
            return Err(StanzaError::new(Condition::BadRequest)
                .text("filename and size are required")
                .into());
        };
        let account = iq.from.bare();
        let is_guest = match cx.router().destination(account.domain()) {
            Destination::Users if !account.is_domain() => false,
            Destination::Guests => true,
            _ => return Err(Condition::Forbidden.into()),
        };
        let media_type = iq.payload.attr("content-type");
        let wish = UploadWish {
            name: &filename,
            bytes,
            media_type: media_type.as_deref(),
            purpose: purpose(iq.payload)?,
            is_guest,
        };
        let offer = self.0.offer(&account, wish).await.map_err(fault)?;
        let mut xml = Writer::new();
        xml.start("slot", NS);
        xml.start("put", NS).attr("url", &offer.put).end();
        xml.start("get", NS).attr("url", &offer.get).end();
        xml.end();
        Ok(xml.into())
    }
}

/// What the file is for (§5).
fn purpose(request: El<'_>) -> Result<Purpose, Fault> {
    let Some(purpose) = request.children().find(|child| child.ns() == PURPOSES) else {
        return Ok(Purpose::Message);
    };
    Ok(match purpose.name() {
        "message" => Purpose::Message,
        "profile" => Purpose::Profile,
        "permanent" => Purpose::Permanent,
        "ephemeral" => {
            let before = purpose.attr("expire-before");
            let before = before.and_then(|before| Timestamp::parse(&before));
            Purpose::Ephemeral(before.ok_or(Condition::BadRequest)?)
        }
        _ => return Err(Condition::FeatureNotImplemented.into()),
    })
}

/// A refusal as clients know it.
fn fault(refusal: UploadRefusal) -> Fault {
    match refusal {
        UploadRefusal::TooLarge { bytes_max } => {
            let mut xml = Writer::new();
            xml.start("file-too-large", NS)
                .start("max-file-size", NS)
                .text(&bytes_max.to_string())
                .end()
                .end();
            StanzaError::new(Condition::NotAcceptable)
                .text(format!("File too large. The maximum size is {bytes_max} bytes"))
                .payload(xml)
                .into()
        }
        UploadRefusal::Quota { retry } => {
            let mut error = StanzaError::new(Condition::ResourceConstraint)
                .kind(ErrorType::Wait)
                .text("Upload quota reached. Delete some files or try again later.");
            if let Some(retry) = retry {
                error = error.payload(retry_at(retry));
            }
            error.into()
        }
        UploadRefusal::TooFast { retry } => StanzaError::new(Condition::ResourceConstraint)
            .kind(ErrorType::Wait)
            .text("Too many upload slots requested. Try again later.")
            .payload(retry_at(retry))
            .into(),
        UploadRefusal::NotAllowed => StanzaError::new(Condition::Forbidden)
            .kind(ErrorType::Auth)
            .text("Only accounts of this server can upload files.")
            .into(),
        UploadRefusal::Impossible(why) => StanzaError::new(Condition::BadRequest).text(why).into(),
        UploadRefusal::Unsupported => Condition::FeatureNotImplemented.into(),
        UploadRefusal::Used => Condition::Conflict.into(),
        UploadRefusal::Unknown => DbError::OutcomeUnknown.into(),
        UploadRefusal::Failed(fault) => *fault,
    }
}

/// When to ask again (§6).
fn retry_at(time: Timestamp) -> Writer {
    let mut xml = Writer::new();
    xml.start("retry", NS).attr("stamp", &time.to_string()).end();
    xml
}
