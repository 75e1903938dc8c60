//! Registering, signing in and out. The rules are those of the other doors: XEP-0077 and invitations (XEP-0445) for the one,
//! the limits of SASL for the other.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use kim_core::accounts::scram::Password;
use kim_core::clock::Timestamp;
use kim_core::events::BeforeLogin;
use kim_core::facts::Facts;
use kim_core::jid::BareJid;
use kim_core::router::{Host, Router};
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::{Element, Writer};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use zeroize::Zeroizing;

use super::problem::{Problem, written};
use super::{bearer, body, check_secure, owner};
use crate::c2s::{Origin, Turn};
use crate::http::Web;
use crate::http::client::Client;

/// How long a token is good, in seconds, unless it is asked for less.
pub(super) const TOKEN_SECONDS: u32 = 30 * 86_400;
/// The shortest life of a token.
const TOKEN_SECONDS_MIN: u32 = 60;
const REGISTER: &str = "jabber:iq:register";
const PARS: &str = "urn:xmpp:pars:0";

#[derive(Deserialize)]
struct Registration {
    username: String,
    #[serde(deserialize_with = "secret")]
    password: Zeroizing<String>,
    /// The token of an invitation.
    invitation: Option<String>,
    /// The domain; not set, the main one.
    domain: Option<String>,
}

#[derive(Deserialize)]
struct Login {
    /// A name at the main domain, or an address.
    username: String,
    #[serde(deserialize_with = "secret")]
    password: Zeroizing<String>,
    /// How long the token is to be good.
    expires_in: Option<u32>,
}

/// A password on its way: overwritten when dropped.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

/// `POST /api/register`
pub(super) async fn register(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    content: Body,
) -> Response {
    let registered = async {
        check_secure(&web, &client)?;
        let wanted: Registration = body::read(&headers, content).await?;
        let account = make(web.router(), client.address, &wanted).await?;
        Ok::<_, Problem>(written(StatusCode::CREATED, &json!({ "jid": account.as_str() })))
    };
    registered.await.unwrap_or_else(IntoResponse::into_response)
}

/// Goes the way of a stream that registers before login, so every rule that holds there holds here.
async fn make(router: &Arc<Router>, address: IpAddr, wanted: &Registration) -> Result<BareJid, Problem> {
    let main = router.config().main_domain();
    let domain = BareJid::new(None, wanted.domain.as_deref().unwrap_or(main))
        .ok()
        .filter(|domain| router.host(domain.as_str()) == Some(Host::Users))
        .ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                "host-unknown",
                "that domain is not served here",
            )
        })?;
    let account = BareJid::new(Some(&wanted.username), domain.as_str())
        .map_err(|_| Problem::bad("this username has characters that an address cannot have"))?;
    let facts = Arc::new(Facts::default());
    let mut steps = Vec::new();
    if let Some(token) = &wanted.invitation {
        let mut xml = Writer::new();
        xml.start("preauth", PARS).attr("token", token).end();
        steps.push(Zeroizing::new(xml.finish_string()));
    }
    let mut xml = Writer::new();
    xml.start("query", REGISTER);
    xml.start("username", REGISTER).text(&wanted.username).end();
    xml.start("password", REGISTER).text(&wanted.password).end();
    xml.end();
    steps.push(Zeroizing::new(xml.finish_string()));
    for payload in steps {
        Element::parse(&payload).map_err(|_| Problem::bad("there are characters that nobody can type"))?;
        let event = BeforeLogin {
            stanza: Stanza::new(Kind::Iq(IqType::Set), &payload).id("api"),
            domain: domain.as_str().to_owned(),
            address,
            facts: facts.clone(),
            reply: None,
        };
        let router = router.clone();
        // Done to the end, also if nobody waits for it any more.
        let answer = tokio::spawn(async move { router.before_login(event).await });
        match answer.await.map_err(|_| Problem::ours())? {
            Some(answer) if !answer.kind.is_error() => {}
            Some(error) => return Err(Problem::of_stanza(&error)),
            None => {
                let closed = "registration is closed on this server";
                return Err(Problem::new(StatusCode::FORBIDDEN, "not-allowed", closed));
            }
        }
    }
    Ok(account)
}

/// `POST /api/login`
pub(super) async fn login(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    content: Body,
) -> Response {
    let signed_in = async {
        check_secure(&web, &client)?;
        let login: Login = body::read(&headers, content).await?;
        sign_in(&web, client.address, &login).await
    };
    signed_in.await.unwrap_or_else(IntoResponse::into_response)
}

async fn sign_in(web: &Web, address: IpAddr, login: &Login) -> Result<Response, Problem> {
    if !web.door.may_log_in(address, Instant::now()) {
        return Err(Problem::too_many(
            "too many failed logins from your network; try again later",
        ));
    }
    let wrong = |turn: Option<Turn>| {
        web.door.login_failed(address, Instant::now());
        if let Some(turn) = turn {
            web.door.guessed(turn);
        }
        tracing::info!(event = "login_failed", reason = "not-authorized", by = "api");
        let message = "the username or the password is wrong";
        Problem::new(StatusCode::UNAUTHORIZED, "not-authorized", message)
    };
    let router = web.router();
    let account = match login.username.contains('@') {
        true => BareJid::parse(&login.username),
        false => BareJid::new(Some(&login.username), router.config().main_domain()),
    };
    let account = account.map_err(|_| wrong(None))?;
    let password = Password::prepare(&login.password).map_err(|_| wrong(None))?;
    let turn = web
        .door
        .turn_at(&account, Origin::of(address))
        .await
        .ok_or_else(|| Problem::too_many("too many failed logins to this account; try again later"))?;
    // Takes the same for names that nobody has.
    let accounts = router.accounts();
    if !accounts.verify(&account, &password).await? || router.host(account.domain()) != Some(Host::Users) {
        return Err(wrong(Some(turn)));
    }
    turn.succeeded();
    let seconds = login.expires_in.unwrap_or(TOKEN_SECONDS);
    let seconds = seconds.clamp(TOKEN_SECONDS_MIN, TOKEN_SECONDS);
    let token = accounts.give_token(&account, seconds).await?;
    web.door.logged_in();
    tracing::info!(event = "logged_in", %account, by = "api");
    Ok(written(
        StatusCode::OK,
        &json!({
            "jid": account.as_str(),
            "token": token.text.as_str(),
            "token_type": "Bearer",
            "expires_at": Timestamp(token.expires_at).to_string(),
        }),
    ))
}

/// `POST /api/logout`: the token that is shown is void from then on.
pub(super) async fn logout(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    let signed_out = async {
        owner(&web, &client, &headers).await?;
        let token = bearer(&headers).unwrap_or_default();
        web.router().accounts().revoke_token(token).await?;
        Ok::<_, Problem>(written(StatusCode::OK, &json!({})))
    };
    signed_out.await.unwrap_or_else(IntoResponse::into_response)
}
