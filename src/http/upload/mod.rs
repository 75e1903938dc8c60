//! The content of files (XEP-0363): taken once at the address of a slot, given to whoever has the address of the file. Who may
//! upload what is `kim_xep::xep0363_upload`'s; here it is moved, sealed ([`sealed`]) and stored ([`objects`]).

mod bucket;
mod get;
mod headers;
mod objects;
mod plain;
mod put;
mod range;
mod sealed;
mod turns;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use self::objects::Objects;
pub use self::objects::StoreError;
use self::turns::{Holder, Turns};
use super::client::Client;
use super::{Web, answer};
use crate::c2s::Origin;
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use kim_core::config::Config;
use kim_core::router::{Destination, Router};
use kim_xep::xep0363_upload::api::{Slot, UploadRefusal, Uploads};

/// Where files are.
pub(super) const PATH: &str = "/upload/{id}/{name}";
/// How often what is over is cleared away.
const CLEAR_EVERY: Duration = Duration::from_secs(60);
/// Objects cleared away in one go.
const CLEARED_MAX: u32 = 500;

/// Files and where they are.
pub struct Upload {
    router: Arc<Router>,
    uploads: Arc<Uploads>,
    objects: Objects,
    turns: Arc<Turns>,
    /// Files taken since the start, and their bytes.
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Upload {
    /// Opens the store, if the module is there.
    pub fn open(router: &Arc<Router>, config: &Config) -> Result<Option<Arc<Upload>>, StoreError> {
        let Some(uploads) = router.fact::<Uploads>() else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Upload {
            router: router.clone(),
            uploads,
            objects: Objects::open(config)?,
            turns: Arc::default(),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })))
    }

    fn is_guest(&self, slot: &Slot) -> bool {
        self.router.destination(slot.account.domain()) == Destination::Guests
    }

    /// Whose turn the upload of a slot takes.
    fn holder(&self, slot: &Slot, client: &Client) -> Holder {
        match self.is_guest(slot) {
            true => Holder::Guest(Origin::of(client.address)),
            false => Holder::Account(slot.account.clone()),
        }
    }

    /// Whether whoever got a slot is still there.
    async fn is_known(&self, slot: &Slot) -> Result<bool, UploadProblem> {
        if self.is_guest(slot) {
            return Ok(true);
        }
        let known = self.router.accounts().exists(&slot.account).await;
        known.map_err(|error| UploadProblem::Failed(error.to_string()))
    }

    /// Clears away now and then what is over and what nobody needs. A store that cannot be used is told at once, and nobody
    /// is kept from chatting by it.
    pub async fn keep_clear(&self) {
        if let Err(error) = self.objects.try_out().await {
            tracing::error!(event = "uploads_unusable", %error);
        }
        loop {
            if let Err(problem) = self.clear().await {
                tracing::error!(event = "uploads_not_cleared", ?problem);
            }
            tokio::time::sleep(CLEAR_EVERY).await;
        }
    }

    /// Clears it away now; tells how many objects were deleted.
    pub async fn clear(&self) -> Result<usize, UploadProblem> {
        self.uploads.expire().await?;
        let mut cleared = 0;
        loop {
            let waste = self.uploads.waste(CLEARED_MAX).await?;
            if waste.is_empty() {
                return Ok(cleared);
            }
            for object in waste {
                self.objects.delete(&object).await?;
                self.uploads.wasted(&object, true).await?;
                cleared += 1;
            }
        }
    }
}

/// Tries where files would be kept, by writing there.
pub async fn try_out(config: &Config) -> Result<(), StoreError> {
    Objects::open(config)?.try_out().await
}

/// Why a file is not taken or not given.
#[derive(Debug)]
pub enum UploadProblem {
    /// The client's doing; it is told.
    Refused(StatusCode, &'static str),
    /// A range that is not there, of so many bytes.
    NoSuchRange(u64),
    /// Ours; it is logged.
    Failed(String),
}

impl From<UploadRefusal> for UploadProblem {
    fn from(refusal: UploadRefusal) -> UploadProblem {
        match refusal {
            UploadRefusal::Used => UploadProblem::Refused(StatusCode::CONFLICT, "this slot was used"),
            // The slot is there, so this can only be about slots to come.
            UploadRefusal::TooFast { .. } => {
                UploadProblem::Refused(StatusCode::TOO_MANY_REQUESTS, "too many slots")
            }
            UploadRefusal::Quota { .. } => {
                UploadProblem::Refused(StatusCode::INSUFFICIENT_STORAGE, "your quota is reached")
            }
            UploadRefusal::TooLarge { .. } => {
                UploadProblem::Refused(StatusCode::PAYLOAD_TOO_LARGE, "the file is too large")
            }
            UploadRefusal::NotAllowed | UploadRefusal::Unsupported => {
                UploadProblem::Refused(StatusCode::FORBIDDEN, "not allowed")
            }
            UploadRefusal::Impossible(why) => UploadProblem::Refused(StatusCode::BAD_REQUEST, why),
            UploadRefusal::Unknown => {
                UploadProblem::Failed("it is not known whether the file was stored".into())
            }
            UploadRefusal::Failed(fault) => UploadProblem::Failed(format!("{fault:?}")),
        }
    }
}

impl From<object_store::Error> for UploadProblem {
    fn from(error: object_store::Error) -> UploadProblem {
        UploadProblem::Failed(error.to_string())
    }
}

impl UploadProblem {
    fn answer(self) -> Response {
        match self {
            UploadProblem::Refused(status, text) => answer::text(status, text),
            UploadProblem::NoSuchRange(bytes) => {
                let mut response = answer::text(StatusCode::RANGE_NOT_SATISFIABLE, "there is no such part");
                if let Ok(range) = HeaderValue::try_from(format!("bytes */{bytes}")) {
                    response.headers_mut().insert(header::CONTENT_RANGE, range);
                }
                response
            }
            UploadProblem::Failed(why) => {
                tracing::error!(event = "upload_failed", why);
                answer::text(StatusCode::INTERNAL_SERVER_ERROR, "this did not work; try again")
            }
        }
    }
}

/// Serves a file's address. Whatever the answer is, pages of every origin may read it: browsers upload too.
pub(super) async fn serve(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    request: Request,
) -> Response {
    let (Some(upload), Ok(Path((id, name)))) = (web.parts.upload.clone(), path) else {
        return headers::for_files(answer::not_found().await);
    };
    let served = match *request.method() {
        Method::PUT => put::put(upload, client, id, name, request).await,
        Method::GET | Method::HEAD => {
            let (parts, _) = request.into_parts();
            get::get(&upload, &id, &name, &parts.method, &parts.headers).await
        }
        Method::OPTIONS => Ok(answer::preflight(
            "OPTIONS, HEAD, GET, PUT",
            "Authorization, Content-Type, Range",
        )),
        _ => Err(UploadProblem::Refused(
            StatusCode::METHOD_NOT_ALLOWED,
            "PUT, GET and HEAD only",
        )),
    };
    headers::for_files(served.unwrap_or_else(UploadProblem::answer))
}
