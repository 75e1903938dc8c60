//! A file comes: checked against its slot, sealed while it passes, answered when it and its row are stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use kim_xep::xep0363_upload::api::{ContentKey, Slot, UploadRefusal};
use tokio::time::Instant;

use super::objects::Writer;
use super::sealed::{self, CHUNK_BYTES, Sealer};
use super::turns::{NoTurn, UploadTurn};
use super::{Upload, UploadProblem, plain};
use crate::http::client::Client;
use crate::http::{answer, body};

/// How often to look whether a file that pauses is late.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Takes the content of a slot, once.
pub(super) async fn put(
    upload: Arc<Upload>,
    client: Client,
    id: String,
    name: String,
    request: Request,
) -> Result<Response, UploadProblem> {
    let query = request.uri().query().unwrap_or_default();
    let token = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("slot="))
        .unwrap_or_default();
    let Some(slot) = upload.uploads.slot(&id, &name, token).await? else {
        return Err(UploadProblem::Refused(
            StatusCode::FORBIDDEN,
            "there is no such slot, or it is too old",
        ));
    };
    if !upload.is_known(&slot).await? {
        return Err(UploadProblem::Refused(
            StatusCode::FORBIDDEN,
            "the account is gone",
        ));
    }
    judge(&slot, request.headers())?;
    let turn = match upload.turns.take(upload.holder(&slot, &client)) {
        Ok(turn) => turn,
        Err(NoTurn::OfHolder) => {
            return Ok(answer::too_many(
                "this account has too many uploads under way; wait for one to end",
            ));
        }
        Err(NoTurn::OfAll) => {
            let mut response = answer::too_many("too many uploads at once; try again");
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(response);
        }
    };
    // A task of its own: should the connection go, it is still cleared away what came.
    let taking = tokio::spawn(async move { take(&upload, &slot, &turn, request.into_body()).await });
    taking
        .await
        .unwrap_or_else(|_| Err(UploadProblem::Failed("a panic".into())))?;
    Ok(answer::text(StatusCode::CREATED, "stored"))
}

/// XEP-0363 §7: the size must match, the type too if one was said.
fn judge(slot: &Slot, headers: &HeaderMap) -> Result<(), UploadProblem> {
    let refused = |status, why| Err(UploadProblem::Refused(status, why));
    let Some(length) = headers.get(header::CONTENT_LENGTH) else {
        return refused(StatusCode::LENGTH_REQUIRED, "the size is needed (Content-Length)");
    };
    let length = length.to_str().ok().and_then(|length| length.parse::<u64>().ok());
    if length != Some(slot.bytes) {
        return refused(StatusCode::BAD_REQUEST, "the size is not that of the slot");
    }
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media_type
        .and_then(|text| text.split(';').next())
        .map(|text| text.trim().to_ascii_lowercase());
    if slot.media_type.is_some() && slot.media_type != essence {
        return refused(StatusCode::BAD_REQUEST, "the type is not that of the slot");
    }
    Ok(())
}

async fn take(upload: &Upload, slot: &Slot, turn: &UploadTurn, body: Body) -> Result<(), UploadProblem> {
    let object = upload.uploads.begin(slot).await?;
    let taken = receive(upload, slot, turn, &object, body).await;
    let problem = match taken {
        Ok(key) => match upload.uploads.finish(slot, &object, key.as_ref()).await {
            Ok(()) => {
                if !upload.is_known(slot).await? {
                    // The account went while its file came.
                    upload.uploads.delete(&slot.account, &slot.id).await?;
                }
                upload.files.fetch_add(1, Ordering::Relaxed);
                upload.bytes.fetch_add(slot.bytes, Ordering::Relaxed);
                tracing::info!(event = "uploaded", account = %slot.account, bytes = slot.bytes);
                return Ok(());
            }
            // There may be a file now, which needs its object. If there is none, the object is waste in a day: `begin` said so.
            Err(UploadRefusal::Unknown) => return Err(UploadRefusal::Unknown.into()),
            Err(refusal) => refusal.into(),
        },
        Err(problem) => problem,
    };
    upload.objects.delete(&object).await?;
    upload.uploads.wasted(&object, true).await?;
    Err(problem)
}

/// Receives and stores the content; gives the key it was sealed with.
async fn receive(
    upload: &Upload,
    slot: &Slot,
    turn: &UploadTurn,
    object: &str,
    content: Body,
) -> Result<Option<ContentKey>, UploadProblem> {
    let mut incoming = Incoming {
        body: content,
        left: slot.bytes,
        rest: Bytes::new(),
        turn,
        begun: Instant::now(),
        come: 0,
    };
    let first = incoming.chunk().await?;
    let policy = upload.uploads.config();
    let needs_look = policy.ciphertext_only || !policy.seal_encrypted;
    let is_plain = needs_look && plain::is_plain(&first);
    if policy.ciphertext_only && is_plain {
        let why = "only encrypted files are taken here: use OMEMO";
        return Err(UploadProblem::Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let key = (policy.seal_encrypted || is_plain).then(sealed::new_key);
    let mut writer = upload.objects.create(object, slot.bytes);
    let copied = copy(&mut incoming, first, key.as_ref(), slot.bytes, &mut writer).await;
    if let Err(problem) = copied {
        writer.give_up().await;
        return Err(problem);
    }
    Ok(key)
}

async fn copy(
    incoming: &mut Incoming<'_>,
    first: BytesMut,
    key: Option<&ContentKey>,
    bytes: u64,
    writer: &mut Writer,
) -> Result<(), UploadProblem> {
    let failed = |_| UploadProblem::Failed("sealing failed".into());
    let mut sealer = key
        .map(|key| Sealer::new(key, bytes))
        .transpose()
        .map_err(failed)?;
    let mut chunk = first;
    loop {
        if let Some(sealer) = &mut sealer {
            sealer.seal(&mut chunk).map_err(failed)?;
        }
        writer.write(&chunk).await?;
        if incoming.left == 0 {
            return Ok(writer.finish().await?);
        }
        chunk = incoming.chunk().await?;
    }
}

/// The body of a request, in chunks.
struct Incoming<'a> {
    body: Body,
    /// Bytes still to come.
    left: u64,
    /// Came with the last piece and belongs to the next chunk.
    rest: Bytes,
    turn: &'a UploadTurn,
    begun: Instant,
    /// Bytes that have come.
    come: u64,
}

impl Incoming<'_> {
    /// The next chunk: full, but for the last.
    async fn chunk(&mut self) -> Result<BytesMut, UploadProblem> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        // Room for the tag too, so that it is not moved for that.
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES + 16);
        while chunk.len() < most {
            if self.rest.is_empty() {
                self.rest = self.piece().await?;
            }
            let part = self.rest.split_to(self.rest.len().min(most - chunk.len()));
            chunk.extend_from_slice(&part);
        }
        self.left -= most as u64;
        Ok(chunk)
    }

    async fn piece(&mut self) -> Result<Bytes, UploadProblem> {
        let torn = || UploadProblem::Refused(StatusCode::BAD_REQUEST, "the file did not come as a whole");
        let slow = || UploadProblem::Refused(StatusCode::REQUEST_TIMEOUT, "the file came too slowly");
        loop {
            // How fast it must be depends on how many others there are, so it is asked again now and then.
            let due = self.begun + self.turn.pace().allowed(self.come);
            let now = Instant::now();
            if due <= now {
                return Err(slow());
            }
            let Ok(frame) = tokio::time::timeout_at(due.min(now + LOOK_EVERY), self.body.frame()).await
            else {
                continue;
            };
            let piece = match frame {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) if body::is_stalled(&error) => return Err(slow()),
                Some(Err(_)) | None => return Err(torn()),
            };
            self.come += piece.len() as u64;
            return Ok(piece);
        }
    }
}
