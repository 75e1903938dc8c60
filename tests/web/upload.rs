//! Files: taken once and exactly as agreed, stored sealed, given in whole and in part, and gone when they should be.

use std::path::Path;

use kim_xep::xep0363_upload::api::Uploads;
use tokio::io::AsyncWriteExt;

use crate::common::{Client, TestServer};
use crate::files::Files;
use crate::http::{self, Answer, Http};

/// Each story is told of files in a folder and, where there is an S3 server, of files in a bucket.
macro_rules! stories {
    ($($story:ident: $settings:expr,)*) => {
        mod folder {
            $(#[tokio::test]
            async fn $story() {
                super::$story(super::Files::in_folder($settings).await).await;
            })*
        }
        mod bucket {
            $(#[tokio::test]
            async fn $story() {
                if let Some(files) = super::Files::in_bucket($settings).await {
                    super::$story(files).await;
                }
            })*
        }
    };
}

stories! {
    a_file_goes_in_once_and_comes_out_as_it_was: "",
    parts_are_opened_where_they_lie: "",
    only_ciphertext_lies_on_the_disk: "",
    what_differs_from_the_slot_is_refused_and_leaves_nothing: "",
    a_torn_upload_leaves_nothing: "",
    two_at_once_make_one_file: "",
    only_what_is_encrypted_where_the_operator_wants_it_so: super::ENCRYPTED_ONLY,
    files_go_with_their_account: "",
    its_owner_lists_and_deletes_a_file: "",
}

/// What must not be found on the disk.
const MARKER: &[u8] = b"the meeting is at the old harbour at midnight";

/// A file of so many bytes that is full of the marker.
fn content(bytes: usize) -> Vec<u8> {
    MARKER.iter().copied().cycle().take(bytes).collect()
}

/// A slot, as paths to put to and to get from.
async fn slot(client: &mut Client, name: &str, bytes: usize, rest: &str) -> (String, String) {
    client
        .send(format!(
            "<iq type='get' id='slot' to='upload.localhost'>\
             <request xmlns='urn:xmpp:http:upload:0' filename='{name}' size='{bytes}' {rest}/></iq>"
        ))
        .await;
    let answer = client.next().await;
    let slot = answer.child("slot", "urn:xmpp:http:upload:0");
    let slot = slot.unwrap_or_else(|| panic!("{}", answer.as_str()));
    let url = |name| {
        let url = slot
            .child(name, "urn:xmpp:http:upload:0")
            .expect("an address")
            .attr("url")
            .expect("a url");
        url[url.find("/upload/").expect("a path")..].to_owned()
    };
    (url("put"), url("get"))
}

async fn put(server: &TestServer, path: &str, headers: &str, bytes: &[u8]) -> Answer {
    http::ask(server, &format!("PUT {path}"), headers, bytes).await
}

async fn get(server: &TestServer, path: &str, headers: &str) -> Answer {
    http::ask(server, &format!("GET {path}"), headers, b"").await
}

fn holds_marker(path: &Path) -> bool {
    let bytes = std::fs::read(path).expect("a file");
    bytes.windows(MARKER.len()).any(|part| part == MARKER)
}

async fn a_file_goes_in_once_and_comes_out_as_it_was(server: Files) {
    let mut alice = server.session("alice@localhost/phone").await;
    let file = content(200_000);
    let (put_path, get_path) = slot(
        &mut alice,
        "très cool.png",
        file.len(),
        "content-type='image/png'",
    )
    .await;
    assert!(get_path.ends_with("/tr%C3%A8s%20cool.png"), "{get_path}");
    assert_eq!(
        get(&server, &get_path, "").await.status,
        404,
        "not before it is there"
    );
    assert_eq!(
        put(&server, &put_path, "Content-Type: image/png\r\n", &file)
            .await
            .status,
        201
    );
    let whole = get(&server, &get_path, "").await;
    assert_eq!(whole.status, 200);
    assert!(whole.body == file);
    // docs/security.md, row 24
    for (name, value) in [
        ("content-type", "image/png"),
        (
            "content-disposition",
            "inline; filename*=UTF-8''tr%C3%A8s%20cool.png",
        ),
        ("x-content-type-options", "nosniff"),
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'; sandbox",
        ),
        ("accept-ranges", "bytes"),
        ("content-length", "200000"),
    ] {
        assert_eq!(whole.header(name), Some(value), "{name}");
    }
    let head = http::ask(&server, &format!("HEAD {get_path}"), "", b"").await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("200000"))
    );
    let etag = whole.header("etag").expect("an ETag").to_owned();
    let known = get(&server, &get_path, &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let again = put(&server, &put_path, "Content-Type: image/png\r\n", &file).await;
    assert_eq!(again.status, 409, "once");
    // Nobody learns anything by another name, or without the token.
    let (folder, _) = get_path.rsplit_once('/').expect("a folder");
    assert_eq!(get(&server, &format!("{folder}/other.png"), "").await.status, 404);
    assert_eq!(
        put(&server, &get_path, "Content-Type: image/png\r\n", &file)
            .await
            .status,
        403
    );
}

async fn parts_are_opened_where_they_lie(server: Files) {
    let mut alice = server.session("alice@localhost/phone").await;
    let file: Vec<u8> = (0..200_000_u32).flat_map(|n| n.to_be_bytes()).collect();
    let (put_path, get_path) = slot(&mut alice, "a.bin", file.len(), "").await;
    assert_eq!(put(&server, &put_path, "", &file).await.status, 201);
    for (range, first, last) in [
        ("0-0", 0, 0),
        ("65535-65536", 65_535, 65_536),
        ("100000-700000", 100_000, 700_000),
        ("-5", 799_995, 799_999),
        ("799999-", 799_999, 799_999),
        ("65536-9999999999999999999999", 65_536, 799_999),
    ] {
        let part = get(&server, &get_path, &format!("Range: bytes={range}\r\n")).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(
            part.header("content-range"),
            Some(format!("bytes {first}-{last}/800000").as_str())
        );
        assert!(part.body == file[first..=last], "{range}");
    }
    let nothing = get(&server, &get_path, "Range: bytes=800000-\r\n").await;
    assert_eq!(
        (nothing.status, nothing.header("content-range")),
        (416, Some("bytes */800000"))
    );
    for odd in ["bytes=5-1", "bytes=0-1,4-5", "pages=1-2", "bytes=x"] {
        assert_eq!(
            get(&server, &get_path, &format!("Range: {odd}\r\n")).await.status,
            200,
            "{odd}"
        );
    }
}

async fn only_ciphertext_lies_on_the_disk(server: Files) {
    let mut alice = server.session("alice@localhost/phone").await;
    let file = content(3_000_000);
    let (put_path, _) = slot(
        &mut alice,
        "secret-plan.txt",
        file.len(),
        "content-type='text/plain'",
    )
    .await;
    assert_eq!(
        put(&server, &put_path, "Content-Type: text/plain\r\n", &file)
            .await
            .status,
        201
    );
    // The control: what is looked for is found where it is.
    let control = server.home().join("control");
    std::fs::write(&control, &file).expect("written");
    assert!(holds_marker(&control));
    let stored = server.stored();
    assert_eq!(stored.len(), 1);
    assert!(!holds_marker(&stored[0]));
    assert_eq!(
        std::fs::metadata(&stored[0]).expect("a file").len(),
        3_000_000 + 46 * 16
    );
    // Neither does the database say what it is called.
    for name in ["kim.db", "kim.db-wal"] {
        let bytes = std::fs::read(server.home().join(name)).unwrap_or_default();
        let name = b"secret-plan";
        assert!(!bytes.windows(name.len()).any(|part| part == name));
    }
}

async fn what_differs_from_the_slot_is_refused_and_leaves_nothing(server: Files) {
    // §7
    let mut alice = server.session("alice@localhost/phone").await;
    let file = content(1_000);
    let (path, get_path) = slot(&mut alice, "a.png", file.len(), "content-type='image/png'").await;
    let png = "Content-Type: image/png\r\n";
    for (what, path, headers, bytes, status) in [
        ("shorter", path.clone(), png, &file[..999], 400),
        ("longer", path.clone(), png, &content(1_001)[..], 400),
        (
            "another type",
            path.clone(),
            "Content-Type: text/html\r\n",
            &file[..],
            400,
        ),
        ("no type", path.clone(), "", &file[..], 400),
        (
            "another name",
            path.replace("a.png", "a.html"),
            png,
            &file[..],
            403,
        ),
        ("a path", path.replace("a.png", "..%2Fa.png"), png, &file[..], 403),
        (
            "another token",
            format!("{}x", &path[..path.len() - 1]),
            png,
            &file[..],
            403,
        ),
        ("not UTF-8", path.replace("a.png", "%FF.png"), png, &file[..], 404),
    ] {
        let answer = put(&server, &path, headers, bytes).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        // Browsers are to read the error.
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{what}");
    }
    let mut chunked = Http::tls(server.https).await;
    chunked
        .send(format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\n{png}Transfer-Encoding: chunked\r\n\r\n"
        ))
        .await;
    assert_eq!(chunked.answer(false).await.expect("an answer").status, 411);
    assert!(server.stored().is_empty());
    assert_eq!(get(&server, &get_path, "").await.status, 404);
    // After all that the slot is still good.
    let with_charset = "Content-Type: Image/PNG; charset=binary\r\n";
    assert_eq!(put(&server, &path, with_charset, &file).await.status, 201);
}

/// So large that half of it is more than a part, in a folder and in a bucket.
const TORN_BYTES: usize = 20_000_000;

async fn a_torn_upload_leaves_nothing(server: Files) {
    let mut alice = server.session("alice@localhost/phone").await;
    let file = content(TORN_BYTES);
    let (path, get_path) = slot(&mut alice, "a.bin", file.len(), "").await;
    let mut torn = Http::tls(server.https).await;
    torn.send(format!(
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {TORN_BYTES}\r\n\r\n"
    ))
    .await;
    torn.send(&file[..TORN_BYTES / 2]).await;
    while server.stored().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let _ = torn.0.shutdown().await;
    drop(torn);
    while !server.stored().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(get(&server, &get_path, "").await.status, 404);
    assert_eq!(
        put(&server, &path, "", &file).await.status,
        201,
        "the client may try again"
    );
}

async fn two_at_once_make_one_file(server: Files) {
    let mut alice = server.session("alice@localhost/phone").await;
    let file = content(2_000_000);
    let (path, get_path) = slot(&mut alice, "a.bin", file.len(), "").await;
    let (one, other) = tokio::join!(put(&server, &path, "", &file), put(&server, &path, "", &file));
    let mut statuses = [one.status, other.status];
    statuses.sort();
    assert_eq!(statuses, [201, 409]);
    assert!(get(&server, &get_path, "").await.body == file);
    server
        .server()
        .upload()
        .expect("uploads")
        .clear()
        .await
        .expect("cleared");
    assert_eq!(server.stored().len(), 1);
}

#[tokio::test]
async fn an_account_uploads_a_few_files_at_once_and_hinders_nobody() {
    let server = TestServer::start().await;
    let mut alice = server.session("alice@localhost/phone").await;
    let mut bob = server.session("bob@localhost/phone").await;
    let file = content(1_000);
    let mut held = Vec::new();
    for _ in 0..4 {
        let (path, _) = slot(&mut alice, "a.bin", file.len(), "").await;
        let mut slow = Http::tls(server.https).await;
        slow.send(format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        ))
        .await;
        held.push(slow);
    }
    let refused = async {
        loop {
            let (path, _) = slot(&mut alice, "b.bin", file.len(), "").await;
            let answer = put(&server, &path, "", &file).await;
            if answer.status == 429 {
                assert!(answer.header("retry-after").is_some(), "{}", answer.head);
                return;
            }
            assert_eq!(answer.status, 201, "until the others have got their turns");
        }
    };
    tokio::time::timeout(crate::common::PATIENCE, refused)
        .await
        .expect("no fifth at once");
    let (path, _) = slot(&mut bob, "c.bin", file.len(), "").await;
    assert_eq!(put(&server, &path, "", &file).await.status, 201);
    // Those that wait come to their end.
    for mut slow in held {
        slow.send(&file).await;
        assert_eq!(slow.answer(false).await.expect("an answer").status, 201);
    }
}

#[tokio::test]
async fn pages_from_elsewhere_may_upload() {
    // §8
    let server = TestServer::start().await;
    let options = http::ask(
        &server,
        "OPTIONS /upload/x/y.png",
        "Origin: https://a.example\r\nAccess-Control-Request-Method: PUT\r\n",
        b"",
    )
    .await;
    assert_eq!(options.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "OPTIONS, HEAD, GET, PUT"),
        (
            "access-control-allow-headers",
            "Authorization, Content-Type, Range",
        ),
    ] {
        assert_eq!(options.header(name), Some(value), "{name}");
    }
    assert_eq!(
        http::ask(&server, "DELETE /upload/x/y.png", "", b"").await.status,
        405
    );
    assert_eq!(get(&server, "/upload/x/../../etc/passwd", "").await.status, 404);
}

#[tokio::test]
async fn nothing_in_a_file_is_run() {
    let server = TestServer::start().await;
    let mut alice = server.session("alice@localhost/phone").await;
    let page = b"<html><script>alert(1)</script></html>";
    for media_type in [
        "text/html",
        "image/svg+xml",
        "application/xhtml+xml",
        "application/javascript",
    ] {
        let (path, get_path) = slot(
            &mut alice,
            "x.html",
            page.len(),
            &format!("content-type='{media_type}'"),
        )
        .await;
        let headers = format!("Content-Type: {media_type}\r\n");
        assert_eq!(put(&server, &path, &headers, page).await.status, 201);
        let answer = get(&server, &get_path, "").await;
        assert_eq!(
            answer.header("content-type"),
            Some("application/octet-stream"),
            "{media_type}"
        );
        assert!(
            answer
                .header("content-disposition")
                .expect("one")
                .starts_with("attachment;")
        );
        assert!(
            answer
                .header("content-security-policy")
                .expect("one")
                .contains("sandbox")
        );
    }
}

/// Only what is encrypted is taken, and kept as it comes.
const ENCRYPTED_ONLY: &str = "[xep0363_upload]\nciphertext_only = true\nseal_encrypted = false\n";

async fn only_what_is_encrypted_where_the_operator_wants_it_so(server: Files) {
    let mut alice = server.session("alice@localhost/phone").await;
    let plain = content(10_000);
    let (path, _) = slot(&mut alice, "a.bin", plain.len(), "").await;
    let refused = put(&server, &path, "", &plain).await;
    assert_eq!(refused.status, 415);
    assert!(refused.text().contains("OMEMO"));
    let noise: Vec<u8> = (0..10_000)
        .flat_map(|_| kim_core::random::bytes::<10>())
        .collect();
    let (path, get_path) = slot(&mut alice, "a.bin", noise.len(), "").await;
    assert_eq!(put(&server, &path, "", &noise).await.status, 201);
    assert!(get(&server, &get_path, "").await.body == noise);
    let part = get(&server, &get_path, "Range: bytes=70000-70009\r\n").await;
    assert!(part.body == noise[70_000..70_010]);
    let stored = server.stored();
    assert!(std::fs::read(&stored[0]).expect("a file") == noise, "as it came");
}

async fn files_go_with_their_account(server: Files) {
    let mut alice = server.session("alice@localhost/phone").await;
    let account = kim_core::jid::BareJid::parse("alice@localhost").expect("a JID");
    let (path, get_path) = slot(&mut alice, "a.bin", 1_000, "").await;
    let (unused, _) = slot(&mut alice, "b.bin", 1_000, "").await;
    assert_eq!(put(&server, &path, "", &content(1_000)).await.status, 201);
    assert_eq!(server.stored().len(), 1);
    server
        .server()
        .house()
        .router
        .erase_account(&account)
        .await
        .expect("erased");
    assert_eq!(get(&server, &get_path, "").await.status, 404, "at once");
    assert_eq!(
        server
            .server()
            .upload()
            .expect("uploads")
            .clear()
            .await
            .expect("cleared"),
        1
    );
    assert!(server.stored().is_empty());
    assert_eq!(
        put(&server, &unused, "", &content(1_000)).await.status,
        403,
        "nobody's slot"
    );
}

async fn its_owner_lists_and_deletes_a_file(server: Files) {
    let mut alice = server.session("alice@localhost/phone").await;
    let account = kim_core::jid::BareJid::parse("alice@localhost").expect("a JID");
    let other = server.account("bob@localhost").await;
    // Larger than a part of a bucket.
    let file = content(9_000_000);
    let (path, get_path) = slot(&mut alice, "plan.bin", file.len(), "").await;
    assert_eq!(put(&server, &path, "", &file).await.status, 201);
    assert!(get(&server, &get_path, "").await.body == file);
    let uploads = server
        .server()
        .house()
        .router
        .fact::<Uploads>()
        .expect("the module");
    let list = uploads.list(&account, None, 10).await.expect("a list");
    let [one] = &list[..] else {
        panic!("one file, not {list:?}")
    };
    assert_eq!((one.name.as_str(), one.bytes), ("plan.bin", 9_000_000));
    assert!(
        !uploads.delete(&other, &one.id).await.expect("an answer"),
        "not his"
    );
    assert_eq!(server.stored().len(), 1);
    assert!(uploads.delete(&account, &one.id).await.expect("an answer"));
    assert_eq!(get(&server, &get_path, "").await.status, 404, "at once");
    let upload = server.server().upload().expect("uploads");
    assert_eq!(upload.clear().await.expect("cleared"), 1);
    assert!(server.stored().is_empty());
}

#[tokio::test]
async fn without_its_bucket_the_server_is_there_and_files_are_not() {
    let Some(server) = Files::in_bucket("").await else {
        return;
    };
    std::fs::remove_dir_all(server.folder()).expect("removed");
    let mut alice = server.session("alice@localhost/phone").await;
    let file = content(1_000);
    let (path, get_path) = slot(&mut alice, "a.bin", file.len(), "").await;
    let failed = put(&server, &path, "", &file).await;
    assert_eq!(failed.status, 500, "{}", failed.text());
    assert_eq!(get(&server, &get_path, "").await.status, 404);
    // When it is back, so are they.
    std::fs::create_dir(server.folder()).expect("made");
    assert_eq!(put(&server, &path, "", &file).await.status, 201);
    assert!(get(&server, &get_path, "").await.body == file);
}
