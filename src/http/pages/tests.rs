//! The pages as a browser gets them, over a guide that knows two rooms and one invitation.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tower_service::Service;

use super::guide::{Invitation, Keeping, PublicRoom};
use super::*;

struct Toy;

fn lobby() -> PublicRoom {
    PublicRoom {
        name: "lobby".to_owned(),
        title: "The <Lobby> & \"more\"".to_owned(),
        about: "</p><script>alert(1)</script>".to_owned(),
        occupants: Some(3),
        admits_guests: true,
        keeping: Keeping::Days(30),
    }
}

impl Guide for Toy {
    fn rooms(&self) -> BoxFuture<'_, Result<Vec<PublicRoom>, Unavailable>> {
        async { Ok(vec![lobby()]) }.boxed()
    }

    fn room<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<PublicRoom>, Unavailable>> {
        async move {
            match name {
                "lobby" => Ok(Some(lobby())),
                "staff" => Ok(Some(PublicRoom {
                    admits_guests: false,
                    ..lobby()
                })),
                "broken" => Err(Unavailable),
                _ => Ok(None),
            }
        }
        .boxed()
    }

    fn invitation<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Invitation>, Unavailable>> {
        let uri = |uri: &str| uri.to_owned();
        let invitation = match token {
            "good" => Some(Invitation {
                inviter: Some("alice@example.org".to_owned()),
                room: None,
                keeping: None,
                username: None,
                may_register: true,
                uri: uri("xmpp:example.org?register;preauth=good"),
            }),
            "evil" => Some(Invitation {
                inviter: None,
                room: None,
                keeping: None,
                username: None,
                may_register: false,
                uri: uri("javascript:alert(1)"),
            }),
            _ => None,
        };
        async move { Ok(invitation) }.boxed()
    }
}

fn settings() -> Settings {
    Settings {
        domain: "example.org".to_owned(),
        origin: "https://chat.example.org:5443".to_owned(),
        uploads: Some("https://upload.example.org".to_owned()),
        rooms: vec!["lobby".to_owned()],
        registration_open: true,
        guests: true,
        push: Some("push.kim.example".to_owned()),
        plain_login: false,
        security_contacts: vec!["mailto:security@example.org".to_owned()],
    }
}

async fn get_from(
    pages: &Arc<Pages>,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut routes: Router = pages.routes();
    let response = routes.call(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    (
        parts.status,
        parts.headers,
        String::from_utf8_lossy(&body).into_owned(),
    )
}

async fn get_page(path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    get_from(&Pages::new(settings(), Toy), path, headers).await
}

#[tokio::test]
async fn every_page_is_closed_to_what_is_not_ours() {
    for path in [
        "/",
        "/register",
        "/apps",
        "/rooms",
        "/room/lobby",
        "/room/none",
        "/invite/good",
        "/invite/over",
    ] {
        let (_, headers, body) = get_page(path, &[]).await;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}"
        );
        let scripts = policy
            .split("; ")
            .find(|part| part.starts_with("script-src"))
            .unwrap();
        assert_eq!(scripts, "script-src 'self' 'wasm-unsafe-eval'", "{path}");
        assert!(
            policy.contains("connect-src 'self' wss://chat.example.org:5443 https://upload.example.org;"),
            "{path}"
        );
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer", "{path}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
        // Scripts stand in files: no script has text of its own, no element a handler.
        assert!(
            !body.contains("<script>") && !body.contains(" onclick") && !body.contains("style=\""),
            "{path}"
        );
        for tag in body.split("<script").skip(1) {
            assert!(tag.contains("src=\"/") && tag.contains("></script>"), "{path}");
        }
        for source in body
            .split("src=\"")
            .skip(1)
            .chain(body.split("<link rel").skip(1))
        {
            assert!(
                !source[..source.find('>').unwrap()].contains("http"),
                "{path}: {source:.80}"
            );
        }
    }
}

#[tokio::test]
async fn what_people_wrote_is_text_on_every_page() {
    for path in [
        "/rooms",
        "/room/lobby",
        "/room/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    ] {
        let (_, _, body) = get_page(path, &[]).await;
        assert!(!body.contains("<script>alert") && body.contains("&lt;"), "{path}");
    }
    let (_, _, body) = get_page("/room/%22%20onfocus=x", &[]).await;
    assert!(!body.contains("\" onfocus"));
}

#[tokio::test]
async fn a_guest_gets_the_door_of_a_public_room() {
    let (status, _, body) = get_page("/room/lobby", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("The &lt;Lobby&gt; &amp; &quot;more&quot;"));
    assert!(body.contains("xmpp:lobby@conference.example.org?join"));
    assert_eq!(body.contains("id=\"visit\""), client::base().is_some());
}

#[tokio::test]
async fn no_guest_form_where_guests_may_not_enter() {
    let (status, _, body) = get_page("/room/staff", &[]).await;
    assert!(status.is_success() && !body.contains("id=\"visit\""));
    let closed = Pages::new(
        Settings {
            guests: false,
            ..settings()
        },
        Toy,
    );
    let (status, _, body) = get_from(&closed, "/room/lobby", &[]).await;
    assert!(status.is_success() && !body.contains("id=\"visit\""));
}

#[tokio::test]
async fn a_room_that_is_not_there_and_a_server_that_cannot_answer() {
    let long = format!("/room/{}", "x".repeat(ASKED_BYTES_MAX + 1));
    for path in ["/room/none", long.as_str(), "/invite/over"] {
        assert_eq!(get_page(path, &[]).await.0, StatusCode::NOT_FOUND, "{path:.20}");
    }
    assert_eq!(
        get_page("/room/broken", &[]).await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn an_invitation_shows_a_code_a_link_and_a_form() {
    let (status, _, body) = get_page("/invite/good", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("alice@example.org invites you"));
    assert!(body.contains("href=\"xmpp:example.org?register;preauth=good\""));
    assert!(body.contains("<svg"));
    assert_eq!(body.contains("id=\"register\""), client::base().is_some());
    for app in ["Conversations", "Monal", "Gajim", "Dino"] {
        assert!(body.contains(app), "{app}");
    }
}

#[tokio::test]
async fn a_link_leads_to_chat_apps_and_nowhere_else() {
    let (_, _, body) = get_page("/invite/evil", &[]).await;
    assert!(!body.contains("javascript:") && !body.contains("id=\"register\""));
}

#[tokio::test]
async fn both_languages_by_browser_by_switch_and_by_cookie() {
    let (_, headers, body) = get_page("/", &[("accept-language", "zh-CN")]).await;
    assert!(body.contains("lang=\"zh-Hans\"") && body.contains("欢迎来到 example.org"));
    assert_eq!(headers[header::CONTENT_LANGUAGE], "zh-Hans");
    assert!(
        headers.get(header::SET_COOKIE).is_none(),
        "nothing is kept that nobody chose"
    );
    let (_, headers, body) = get_page("/rooms?language=en", &[("accept-language", "zh-CN")]).await;
    assert!(body.contains("Public rooms"));
    let cookie = headers[header::SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.starts_with("kim-language=en;")
            && cookie.contains("; Secure")
            && cookie.contains("SameSite=Lax")
    );
    let (_, _, body) = get_page(
        "/rooms",
        &[("cookie", "kim-language=zh"), ("accept-language", "en")],
    )
    .await;
    assert!(body.contains("公共聊天室") && body.contains("href=\"/rooms?language=en\""));
}

#[tokio::test]
async fn registration_is_offered_where_it_is_open() {
    let (_, _, body) = get_page("/", &[]).await;
    assert!(body.contains("href=\"/register\""));
    let closed = Pages::new(
        Settings {
            registration_open: false,
            ..settings()
        },
        Toy,
    );
    let (_, _, body) = get_from(&closed, "/", &[]).await;
    assert!(!body.contains("href=\"/register\"") && body.contains("You need an invitation"));
    let (_, _, body) = get_from(&closed, "/register", &[]).await;
    assert!(!body.contains("id=\"register\"") && body.contains("Registration is closed"));
}

#[tokio::test]
async fn files_are_found_by_their_address() {
    let (_, _, body) = get_page("/", &[]).await;
    let style = body
        .split("rel=\"stylesheet\" href=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let (status, headers, _) = get_page(&style, &[]).await;
    assert!(status.is_success() && headers[header::CONTENT_TYPE] == "text/css; charset=utf-8");
    for path in [
        "/favicon.svg",
        "/manifest.webmanifest",
        "/icon-192.png",
        "/icon-512.png",
        "/worker.js",
    ] {
        assert_eq!(get_page(path, &[]).await.0, StatusCode::OK, "{path}");
    }
    assert_eq!(
        get_page("/assets/x/..%2fpages.css", &[]).await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn whoever_enters_a_room_reads_first_how_long_it_keeps_what_they_say() {
    for (language, kept) in [
        (
            "en",
            "The room keeps what you write for 30 days, under your nickname.",
        ),
        ("zh", "聊天室会以您的昵称保存您发送的消息，保存 30 天。"),
    ] {
        let (_, _, body) = get_page("/room/lobby", &[("accept-language", language)]).await;
        assert!(body.contains(kept), "{language}");
    }
    // Between two people nothing of the kind is promised or threatened.
    let (_, _, body) = get_page("/invite/good", &[]).await;
    assert!(body.contains("Chats between two people are end-to-end encrypted when both apps support it."));
    assert!(!body.contains("id=\"kept\""));
}

#[tokio::test]
async fn machines_find_what_they_look_for() {
    let (status, headers, body) = get_page("/robots.txt", &[]).await;
    assert!(status.is_success() && headers[header::CONTENT_TYPE] == "text/plain; charset=utf-8");
    assert!(body.starts_with("User-agent: *\n") && body.contains("\nDisallow: /invite/\n"));

    let (status, headers, body) = get_page("/.well-known/security.txt", &[]).await;
    assert!(status.is_success() && headers[header::CONTENT_TYPE] == "text/plain; charset=utf-8");
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(lines[0], "Contact: mailto:security@example.org");
    let expires = lines[1].strip_prefix("Expires: ").unwrap();
    let expires = kim_core::clock::Timestamp::parse(expires).unwrap();
    let days = (expires.0 - kim_core::clock::Clock::system().now().0) / 86_400_000_000;
    assert!((100..365).contains(&days), "{days}");
    let canonical = "Canonical: https://chat.example.org:5443/.well-known/security.txt";
    assert_eq!(lines[2..], [canonical]);

    let nobody = Settings {
        security_contacts: Vec::new(),
        ..settings()
    };
    let (status, _, _) = get_from(&Pages::new(nobody, Toy), "/.well-known/security.txt", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (_, headers, _) = get_page("/favicon.ico", &[]).await;
    assert_eq!(headers[header::CONTENT_TYPE], "image/x-icon");
}
