//! Serves what browsers fetch: the chat client that npm made (`build.rs` lists it) and the pages' own scripts and style.
//! Both have their contents' hash in their address, so that a browser may keep them for ever and never has an old one.

use std::sync::LazyLock;

use axum::body::Body as HttpBody;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use sha2::{Digest, Sha256};

/// A file of the chat client.
struct File {
    name: &'static str,
    body: Body,
}

#[cfg_attr(
    not(has_web_client),
    expect(dead_code, reason = "a build without npm has no files")
)]
enum Body {
    /// Compressed at build time; every browser takes one of the two.
    Compressed { br: &'static [u8], gzip: &'static [u8] },
    /// Of a kind that does not get smaller.
    Plain(&'static [u8]),
}

include!(concat!(env!("OUT_DIR"), "/web_client.rs"));

/// The pages' own files, by their names.
const OWN: &[(&str, &[u8])] = &[
    ("away.js", include_bytes!("../../../web/client/away.js")),
    ("elements.js", include_bytes!("../../../web/client/elements.js")),
    ("files.js", include_bytes!("../../../web/client/files.js")),
    ("furnish.js", include_bytes!("../../../web/client/furnish.js")),
    ("invite.js", include_bytes!("../../../web/client/invite.js")),
    ("welcome.js", include_bytes!("../../../web/client/welcome.js")),
    ("wording.js", include_bytes!("../../../web/client/wording.js")),
    ("contacts.js", include_bytes!("../../../web/client/contacts.js")),
    ("rooms.js", include_bytes!("../../../web/client/rooms.js")),
    ("secrecy.js", include_bytes!("../../../web/client/secrecy.js")),
    (
        "unreadable.js",
        include_bytes!("../../../web/client/unreadable.js"),
    ),
    ("occupants.js", include_bytes!("../../../web/client/occupants.js")),
    ("notify.js", include_bytes!("../../../web/client/notify.js")),
    ("password.js", include_bytes!("../../../web/client/password.js")),
    ("title.js", include_bytes!("../../../web/client/title.js")),
    ("ours.css", include_bytes!("../../../web/client/ours.css")),
    ("encrypt.js", include_bytes!("../../../web/client/encrypt.js")),
    ("reach.js", include_bytes!("../../../web/client/reach.js")),
    ("chat.js", include_bytes!("../../../web/client/chat.js")),
    ("register.js", include_bytes!("../../../web/client/register.js")),
    ("work.js", include_bytes!("../../../web/client/work.js")),
    ("pages.css", include_bytes!("../../../web/client/pages.css")),
    ("client.css", include_bytes!("../../../web/client/client.css")),
    ("kim.svg", include_bytes!("../../../web/client/kim.svg")),
    ("kim.ico", include_bytes!("../../../web/client/kim.ico")),
    ("icon-192.png", include_bytes!("../../../web/client/icon-192.png")),
    ("icon-512.png", include_bytes!("../../../web/client/icon-512.png")),
    ("worker.js", include_bytes!("../../../web/client/worker.js")),
    ("sealed.js", include_bytes!("../../../web/client/sealed.js")),
    ("vault.js", include_bytes!("../../../web/client/vault.js")),
    (
        "manifest.webmanifest",
        include_bytes!("../../../web/client/manifest.webmanifest"),
    ),
];

/// The name of the own files as they are now.
static OWN_VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, bytes) in OWN {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
});

/// Where the chat client lies, with a slash at the end; `None` if this build has none.
pub(super) fn base() -> Option<String> {
    (!VERSION.is_empty()).then(|| format!("/client/{VERSION}/"))
}

/// The address of one of the own files.
pub(super) fn own(name: &str) -> String {
    format!("/assets/{}/{name}", *OWN_VERSION)
}

/// `/client/{version}/{file}`
pub(super) async fn serve(Path((version, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let found = FILES.iter().find(|file| file.name == name);
    let Some(file) = found.filter(|_| version == VERSION) else {
        return missing();
    };
    let (bytes, encoding) = match &file.body {
        Body::Plain(bytes) => (*bytes, None),
        Body::Compressed { br, .. } if accepts_brotli(&headers) => (*br, Some("br")),
        // Also for who says nothing about it: RFC 9110 §12.5.3 allows any coding then.
        Body::Compressed { gzip, .. } => (*gzip, Some("gzip")),
    };
    let mut response = answer(&name, bytes, true);
    if let Some(encoding) = encoding {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
}

/// `/assets/{version}/{file}`
pub(super) async fn serve_own(Path((version, name)): Path<(String, String)>) -> Response {
    match OWN.iter().find(|(own, _)| *own == name) {
        // An address from before the last update: the file is there, but is not what that address promised.
        Some((_, bytes)) => answer(&name, bytes, version == *OWN_VERSION),
        None => missing(),
    }
}

/// `/manifest.webmanifest`, the icons that it names, and `/worker.js`: own files that lie at the top under their own names,
/// because others expect them there. Where a service worker lies says which pages are its own (Service Workers §3.4.5).
pub(super) async fn at_the_top(uri: Uri) -> Response {
    let name = uri.path().trim_start_matches('/').to_owned();
    serve_own(Path((String::new(), name))).await
}

/// `/favicon.svg`, whose address others expect to stay.
pub(super) async fn icon() -> Response {
    serve_own(Path((String::new(), "kim.svg".to_owned()))).await
}

/// See [`icon`]; for browsers that ask for nothing else.
pub(super) async fn old_icon() -> Response {
    serve_own(Path((String::new(), "kim.ico".to_owned()))).await
}

fn answer(name: &str, bytes: &'static [u8], for_ever: bool) -> Response {
    let mut response = Response::new(HttpBody::from(bytes));
    let cache = match for_ever {
        true => "public, max-age=31536000, immutable",
        false => "public, max-age=300",
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type(name)),
        (header::CACHE_CONTROL, cache),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // An SVG is a document of its own when somebody opens it as a page.
    if name.ends_with(".svg") {
        let nothing = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
    }
    response
}

fn missing() -> Response {
    let mut response = Response::new(HttpBody::from("not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn accepts_brotli(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_zero = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|weight| weight.trim_matches(['0', '.']).is_empty());
        name.trim().eq_ignore_ascii_case("br") && !is_zero
    })
}

/// Modules are run, and WebAssembly is compiled, only under their right types.
fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or("") {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "ttf" => "font/ttf",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(codings: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(codings))])
    }

    async fn get(version: &str, name: &str, headers: HeaderMap) -> Response {
        serve(Path((version.to_owned(), name.to_owned())), headers).await
    }

    #[test]
    fn brotli_only_for_those_who_take_it() {
        assert!(accepts_brotli(&asking("gzip, deflate, br")) && accepts_brotli(&asking("BR;q=0.5")));
        for codings in ["gzip", "br;q=0", "br;q=0.0", "brotli", ""] {
            assert!(!accepts_brotli(&asking(codings)), "{codings}");
        }
        assert!(!accepts_brotli(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn the_pages_own_files_are_kept_for_ever_under_their_hash_alone() {
        let version = OWN_VERSION.clone();
        let cache = |response: &Response| {
            response.headers()[header::CACHE_CONTROL]
                .to_str()
                .unwrap()
                .to_owned()
        };
        let response = serve_own(Path((version, "chat.js".to_owned()))).await;
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/javascript; charset=utf-8"
        );
        assert!(cache(&response).contains("immutable"));
        let old = serve_own(Path(("0".to_owned(), "chat.js".to_owned()))).await;
        assert!(old.status().is_success() && !cache(&old).contains("immutable"));
        let none = serve_own(Path(("0".to_owned(), "../../Cargo.toml".to_owned()))).await;
        assert_eq!(none.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_client_is_served_compressed_or_is_missing_altogether() {
        let response = get(VERSION, "converse.min.js", asking("br")).await;
        let Some(base) = base() else {
            // Built without npm: nothing is there, and nothing else breaks.
            assert!(FILES.is_empty());
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            return;
        };
        assert!(base.contains(VERSION));
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "br");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/javascript; charset=utf-8"
        );
        let plain = get(VERSION, "curve25519_compiled.wasm", HeaderMap::new()).await;
        assert_eq!(plain.headers()[header::CONTENT_ENCODING], "gzip");
        assert_eq!(plain.headers()[header::CONTENT_TYPE], "application/wasm");
        assert_eq!(
            get("old", "converse.min.js", asking("br")).await.status(),
            StatusCode::NOT_FOUND
        );
        assert_eq!(
            get(VERSION, "converse.min.js.br", asking("br")).await.status(),
            StatusCode::NOT_FOUND
        );
        for license in ["LICENSE.converse.txt", "NOTICE.txt"] {
            assert_eq!(
                get(VERSION, license, asking("br")).await.status(),
                StatusCode::OK,
                "{license}"
            );
        }
    }
}
