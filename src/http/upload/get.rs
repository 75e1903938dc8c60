//! A file goes: whole or in part, opened while it passes.

use std::io;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use kim_xep::xep0363_upload::api::File;

use super::range::{self, Part};
use super::sealed::Opener;
use super::{Upload, UploadProblem, headers};

/// Gives a file to whoever knows its address.
pub(super) async fn get(
    upload: &Upload,
    id: &str,
    name: &str,
    method: &Method,
    asked: &HeaderMap,
) -> Result<Response, UploadProblem> {
    let file = upload.uploads.find(id).await?.filter(|file| file.name == name);
    let Some(file) = file else {
        return Err(UploadProblem::Refused(
            StatusCode::NOT_FOUND,
            "there is no such file",
        ));
    };
    let etag = headers::etag(&file);
    let mut response = Response::new(Body::empty());
    headers::describe(&mut response, &file);
    let known = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known == "*" || known.split(',').any(|one| one.trim() == etag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    // RFC 9110 §14.2: a range means something for GET alone.
    let part = match *method {
        Method::GET => range::asked(asked, &etag, file.bytes),
        _ => Part::Whole,
    };
    let (first, last) = match part {
        Part::Whole => (0, file.bytes.saturating_sub(1)),
        Part::Nothing => return Err(UploadProblem::NoSuchRange(file.bytes)),
        Part::Bytes(first, last) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {first}-{last}/{}", file.bytes);
            if let Ok(range) = HeaderValue::try_from(range) {
                response.headers_mut().insert(header::CONTENT_RANGE, range);
            }
            (first, last)
        }
    };
    let length = HeaderValue::from(last - first + 1);
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    if *method == Method::GET {
        *response.body_mut() = Body::from_stream(content(upload, &file, first, last).await?);
    }
    Ok(response)
}

type Content = BoxStream<'static, io::Result<Bytes>>;

/// The bytes `first` to `last` of a file. Should one of them be wrong, the connection breaks: what came then is not whole.
async fn content(upload: &Upload, file: &File, first: u64, last: u64) -> Result<Content, UploadProblem> {
    let Some(key) = &file.key else {
        let stream = upload.objects.read(&file.object, first..last + 1).await?;
        return Ok(stream.map(|piece| piece.map_err(io::Error::other)).boxed());
    };
    let (opener, range) = Opener::new(key, file.bytes, first, last)
        .map_err(|_| UploadProblem::Failed("a key that is none".into()))?;
    let sealed = upload.objects.read(&file.object, range).await?;
    let object = file.object.clone();
    let opened = stream::try_unfold(
        (opener, sealed, object, false),
        |(mut opener, mut sealed, object, mut is_end)| async move {
            loop {
                match opener.next(is_end) {
                    Ok(Some(plain)) => return Ok(Some((plain, (opener, sealed, object, is_end)))),
                    Ok(None) if opener.is_done() => return Ok(None),
                    Ok(None) => {}
                    Err(_) => {
                        tracing::error!(event = "upload_unreadable", object);
                        return Err(io::Error::from(io::ErrorKind::InvalidData));
                    }
                }
                match sealed.next().await {
                    Some(Ok(piece)) => opener.push(&piece),
                    Some(Err(error)) => return Err(io::Error::other(error)),
                    None => is_end = true,
                }
            }
        },
    );
    Ok(opened.boxed())
}
