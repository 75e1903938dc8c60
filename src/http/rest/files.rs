//! Files (XEP-0363): a slot to upload one, which files there are, and deleting them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::clock::Timestamp;
use kim_core::error::Fault;
use kim_core::jid::Jid;
use kim_core::stanza::IqType;
use kim_core::wire::Writer;
use kim_xep::xep0363_upload::api::{File, UploadRefusal, Uploads};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::body::{Asked, Given, Segment};
use super::guard::{Manage, May, Read, Send};
use super::problem::{Problem, written};
use super::visit;
use crate::http::Web;

const UPLOAD: &str = "urn:xmpp:http:upload:0";
/// Files in a page, at most and by default.
const FILES_MAX: u32 = 100;

/// A file to be uploaded.
#[derive(Deserialize)]
pub(super) struct WantedFiles {
    filename: String,
    size: u64,
    content_type: Option<String>,
}

/// A page of the list, the newest first.
#[derive(Deserialize)]
pub(super) struct FilePage {
    limit: Option<u32>,
    before: Option<String>,
}

fn uploads(web: &Web) -> Result<Arc<Uploads>, Problem> {
    let uploads = web.router().fact::<Uploads>();
    uploads.ok_or_else(|| Problem::off("uploads"))
}

impl From<UploadRefusal> for Problem {
    fn from(refusal: UploadRefusal) -> Problem {
        match refusal {
            UploadRefusal::Failed(fault) => Problem::from(*fault),
            other => Problem::from(Fault::Us(format!("{other:?}").into())),
        }
    }
}

/// `POST /api/upload/slot` (§4)
pub(super) async fn slot(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Send>,
    Given(wanted): Given<WantedFiles>,
) -> Result<Response, Problem> {
    uploads(&web)?;
    let service = Jid::new(None, &format!("upload.{}", caller.account.domain()), None);
    let service = service.map_err(|_| Problem::ours())?;
    let mut xml = Writer::new();
    xml.start("request", UPLOAD)
        .attr("filename", &wanted.filename)
        .attr("size", &wanted.size.to_string());
    if let Some(content_type) = &wanted.content_type {
        xml.attr("content-type", content_type);
    }
    xml.end();
    let answer = visit::iq(&web, &caller, IqType::Get, Some(service), xml).await?;
    let slot = answer.child("slot", UPLOAD).ok_or_else(Problem::ours)?;
    let url = |name| Some(slot.child(name, UPLOAD)?.attr("url")?.into_owned());
    let mut headers = Map::new();
    if let Some(put) = slot.child("put", UPLOAD) {
        headers.extend(
            put.children()
                .filter(|child| child.is("header", UPLOAD))
                .filter_map(|header| {
                    Some((
                        header.attr("name")?.into_owned(),
                        header.text().into_owned().into(),
                    ))
                }),
        );
    }
    if let Some(content_type) = wanted.content_type {
        headers.insert("Content-Type".to_owned(), content_type.into());
    }
    Ok(written(
        StatusCode::OK,
        &json!({ "put": { "url": url("put"), "headers": headers }, "get": { "url": url("get") } }),
    ))
}

/// `GET /api/files`
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
    Asked(page): Asked<FilePage>,
) -> Result<Response, Problem> {
    let uploads = uploads(&web)?;
    let limit = page.limit.unwrap_or(FILES_MAX);
    if !(1..=FILES_MAX).contains(&limit) {
        return Err(Problem::bad(format!("\"limit\" must be from 1 to {FILES_MAX}")));
    }
    let before = page.before.as_deref().map(|before| {
        let before = Timestamp::parse(before).ok_or_else(|| {
            Problem::bad("\"before\" must be a timestamp (RFC 3339), such as 2026-01-31T12:00:00Z")
        })?;
        Ok::<_, Problem>(before.0)
    });
    let files = uploads.list(&caller.account, before.transpose()?, limit).await?;
    let is_complete = files.len() < limit as usize;
    let told: Vec<Value> = files.iter().map(|file| told(&uploads, file)).collect();
    Ok(written(
        StatusCode::OK,
        &json!({ "files": told, "complete": is_complete }),
    ))
}

fn told(uploads: &Uploads, file: &File) -> Value {
    json!({
        "id": file.id,
        "filename": file.name,
        "size": file.bytes,
        "content_type": file.media_type,
        "url": uploads.address(&file.id, &file.name),
        "created_at": Timestamp(file.created_at).to_string(),
        "expires_at": file.expires_at.map(|at| Timestamp(at).to_string()),
    })
}

/// `DELETE /api/files/{id}`
pub(super) async fn remove(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Segment(id): Segment<String>,
) -> Result<Response, Problem> {
    match uploads(&web)?.delete(&caller.account, &id).await? {
        true => Ok(written(StatusCode::OK, &json!({}))),
        false => Err(Problem::not_found(format!(
            "you have no file with the id \"{id}\""
        ))),
    }
}
