//! The headers that make a file safe to look at, whatever is in it (docs/security.md, row 24; XEP-0363 §9.1).

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use kim_xep::xep0363_upload::api::{File, encode_name};

/// Nothing in a file runs, loads or is framed, even opened by itself.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
/// Types that browsers show and that hold no script.
const SHOWN: [&str; 22] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/heic",
    "image/bmp",
    "audio/mpeg",
    "audio/ogg",
    "audio/opus",
    "audio/aac",
    "audio/mp4",
    "audio/x-m4a",
    "audio/wav",
    "audio/x-wav",
    "audio/flac",
    "audio/webm",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "video/3gpp",
];
/// Said as it is, but saved and not shown.
const SAVED: [&str; 4] = ["application/pdf", "application/zip", "text/plain", "text/vcard"];

/// On every answer at a file's address, errors included.
pub(super) fn for_files(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(
        HeaderName::from_static("cross-origin-resource-policy"),
        "cross-origin",
    );
    set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(header::ACCESS_CONTROL_ALLOW_METHODS, "OPTIONS, HEAD, GET, PUT");
    set(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Authorization, Content-Type, Range",
    );
    set(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "Content-Length, Content-Range, Content-Disposition, ETag",
    );
    response
}

/// What a file is and how it is called. An unknown type is only bytes.
pub(super) fn describe(response: &mut Response, file: &File) {
    let media_type = file.media_type.as_deref().unwrap_or_default();
    let shown = SHOWN.iter().find(|known| **known == media_type);
    let known = shown.or_else(|| SAVED.iter().find(|known| **known == media_type));
    let headers = response.headers_mut();
    let media_type = known.copied().unwrap_or("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    let how = if shown.is_some() { "inline" } else { "attachment" };
    // RFC 6266 §4.3: the encoded form alone, which holds nothing that could end the header.
    let disposition = format!("{how}; filename*=UTF-8''{}", encode_name(&file.name));
    if let Ok(value) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    if let Ok(value) = HeaderValue::try_from(etag(file)) {
        headers.insert(header::ETAG, value);
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=86400, immutable"),
    );
}

/// A file never changes, so its id is what it is.
pub(super) fn etag(file: &File) -> String {
    format!("\"{}\"", file.id)
}
