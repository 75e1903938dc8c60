//! What people see in a browser: signing in, registering, public rooms that a guest enters in one step, invitations, and the
//! chat client behind them. Pages are made here whole and hold no script; what they need of the house they ask a [`Guide`].
//!
//! There is no form that the server answers: signing in happens over XMPP as in every chat app, registering over the API,
//! with the limits of every door. So these pages have no sessions, no state, and nothing that a foreign page could make a
//! browser do here.

mod client;
pub mod guide;
mod house;
mod html;
mod policy;
mod script_words;
#[cfg(test)]
mod tests;
mod well_known;
mod words;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use maud::Markup;

use guide::{Guide, Unavailable};
use html::Reader;
use words::{COOKIE, Language};

use super::answer;
use super::client::Client;

/// The longest name of a room and the longest token that the house is asked about; RFC 7622 allows localparts no longer.
const ASKED_BYTES_MAX: usize = 1_023;

/// What the pages know without asking.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The domain that people have their accounts at.
    pub domain: String,
    /// Where browsers find us: scheme, host and port.
    pub origin: String,
    /// Where files are uploaded to and fetched from: scheme, host and port; `None` without uploads.
    pub uploads: Option<String>,
    /// The service that browsers are woken by; `None` without one.
    pub push: Option<String>,
    /// The names of the rooms that every newcomer is shown.
    pub rooms: Vec<String>,
    /// Anybody may make an account.
    pub registration_open: bool,
    /// People may come without one.
    pub guests: bool,
    /// Clients on this machine may sign in without TLS.
    pub plain_login: bool,
    /// Whom to tell about a vulnerability: URIs, the best first.
    pub security_contacts: Vec<String>,
}

impl Settings {
    fn guest_domain(&self) -> String {
        format!("guest.{}", self.domain)
    }

    fn conference_domain(&self) -> String {
        format!("conference.{}", self.domain)
    }
}

/// The pages of one server.
pub struct Pages {
    settings: Settings,
    guide: Box<dyn Guide>,
    /// The policy that every page has.
    policy: HeaderValue,
}

impl Pages {
    /// The pages of a server that `guide` knows.
    pub fn new(settings: Settings, guide: impl Guide) -> Arc<Pages> {
        let policy = HeaderValue::from_str(&policy::of(&settings.origin, settings.uploads.as_deref()));
        Arc::new(Pages {
            settings,
            guide: Box::new(guide),
            // An address that cannot stand in a header is none that a browser could connect to.
            policy: policy.unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")),
        })
    }

    /// The paths of the pages, to be merged with those of the other doors.
    pub fn routes<S: Clone + Send + Sync + 'static>(self: &Arc<Pages>) -> Router<S> {
        Router::new()
            .route("/", get(home))
            .route("/register", get(register))
            .route("/apps", get(apps))
            .route("/rooms", get(rooms))
            .route("/room/{name}", get(room))
            .route("/invite/{token}", get(invitation))
            .route("/robots.txt", get(well_known::robots))
            .route("/.well-known/security.txt", get(well_known::security))
            .route("/favicon.svg", get(client::icon))
            .route("/favicon.ico", get(client::old_icon))
            .route("/manifest.webmanifest", get(client::at_the_top))
            .route("/icon-192.png", get(client::at_the_top))
            .route("/icon-512.png", get(client::at_the_top))
            .route("/worker.js", get(client::at_the_top))
            .route("/assets/{version}/{name}", get(client::serve_own))
            .route("/client/{version}/{*name}", get(client::serve))
            .with_state(self.clone())
    }

    fn answer(&self, status: StatusCode, reader: &Visit, page: Markup) -> Response {
        let mut response = Response::new(page.into_string().into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_LANGUAGE, reader.language.tag()),
            (header::VARY, "accept-language, cookie"),
            // Rooms and invitations come and go, and invitations are nobody else's business.
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("permissions-policy"),
                "camera=(), geolocation=(), microphone=()",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(chosen) = reader.chosen {
            let secure = if self.settings.origin.starts_with("https:") {
                "; Secure"
            } else {
                ""
            };
            let name = chosen.name();
            let cookie = format!("{COOKIE}={name}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly{secure}");
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                headers.insert(header::SET_COOKIE, cookie);
            }
        }
        response
    }

    fn reader<'a>(&'a self, visit: &'a Visit) -> Reader<'a> {
        Reader {
            settings: &self.settings,
            language: visit.language,
            path: &visit.path,
            may_sign_in: visit.is_secure || self.settings.plain_login,
        }
    }

    /// The answer where there is nothing: a page for people, a line for programs.
    pub(super) async fn nowhere(self: Arc<Pages>, method: Method, visit: Visit) -> Response {
        if !visit.reads_html || method != Method::GET {
            return answer::not_found().await;
        }
        let words = visit.language.words();
        let page = self
            .reader(&visit)
            .message(words.no_page, words.no_page_more, ("/", words.home));
        self.answer(StatusCode::NOT_FOUND, &visit, page)
    }

    fn found(&self, visit: &Visit, page: Markup) -> Response {
        self.answer(StatusCode::OK, visit, page)
    }

    fn unavailable(&self, visit: &Visit) -> Response {
        let words = visit.language.words();
        let page = self
            .reader(visit)
            .message(words.unavailable, words.unavailable_more, ("/", words.home));
        self.answer(StatusCode::SERVICE_UNAVAILABLE, visit, page)
    }
}

/// Who looks at a page, and in which language.
pub(super) struct Visit {
    language: Language,
    /// Chosen with the switch, just now.
    chosen: Option<Language>,
    path: String,
    /// Nobody can listen in.
    is_secure: bool,
    /// It is a browser that shows the answer to somebody.
    reads_html: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visit, Infallible> {
        let mut query = parts.uri.query().unwrap_or("").split('&');
        let chosen = query.find_map(|part| Language::named(part.strip_prefix("language=")?));
        let accept = parts.headers.get_all(header::ACCEPT).iter();
        let mut accept = accept.filter_map(|value| value.to_str().ok());
        Ok(Visit {
            language: Language::of(chosen, &parts.headers),
            chosen,
            path: parts.uri.path().to_owned(),
            is_secure: parts
                .extensions
                .get::<Client>()
                .is_none_or(|client| client.is_secure),
            reads_html: accept.any(|accept| accept.contains("text/html")),
        })
    }
}

async fn home(State(pages): State<Arc<Pages>>, visit: Visit) -> Response {
    pages.found(&visit, pages.reader(&visit).home())
}

async fn register(State(pages): State<Arc<Pages>>, visit: Visit) -> Response {
    pages.found(&visit, pages.reader(&visit).register())
}

async fn apps(State(pages): State<Arc<Pages>>, visit: Visit) -> Response {
    pages.found(&visit, pages.reader(&visit).app_list())
}

async fn rooms(State(pages): State<Arc<Pages>>, visit: Visit) -> Response {
    match pages.guide.rooms().await {
        Ok(rooms) => pages.found(&visit, pages.reader(&visit).rooms(&rooms)),
        Err(Unavailable) => pages.unavailable(&visit),
    }
}

async fn room(State(pages): State<Arc<Pages>>, Path(name): Path<String>, visit: Visit) -> Response {
    let found = match name.len() {
        1..=ASKED_BYTES_MAX => pages.guide.room(&name).await,
        _ => Ok(None),
    };
    let words = visit.language.words();
    match found {
        Ok(Some(room)) => pages.found(&visit, pages.reader(&visit).room(&room)),
        Ok(None) => {
            let more = words::with(words.no_such_room_more, &name);
            let page = pages
                .reader(&visit)
                .message(words.no_such_room, &more, ("/rooms", words.see_rooms));
            pages.answer(StatusCode::NOT_FOUND, &visit, page)
        }
        Err(Unavailable) => pages.unavailable(&visit),
    }
}

async fn invitation(State(pages): State<Arc<Pages>>, Path(token): Path<String>, visit: Visit) -> Response {
    let found = match token.len() {
        1..=ASKED_BYTES_MAX => pages.guide.invitation(&token).await,
        _ => Ok(None),
    };
    let words = visit.language.words();
    match found {
        Ok(Some(invitation)) => {
            let url = format!("{}{}", pages.settings.origin, visit.path);
            pages.found(&visit, pages.reader(&visit).invitation(&token, &invitation, &url))
        }
        Ok(None) => {
            let reader = pages.reader(&visit);
            let page = reader.message(
                words.invitation_over,
                words.invitation_over_more,
                ("/", words.home),
            );
            pages.answer(StatusCode::NOT_FOUND, &visit, page)
        }
        Err(Unavailable) => pages.unavailable(&visit),
    }
}
