//! Registering, signing in and out. The rules are those of the other doors: XEP-0077 and invitations (XEP-0445) for the one,
//! the limits of SASL for the other.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::accounts::scram::Password;
use kim_core::accounts::{Scope, Scopes, names};
use kim_core::clock::Timestamp;
use kim_core::events::BeforeLogin;
use kim_core::facts::Facts;
use kim_core::jid::{BareJid, Jid};
use kim_core::ns::DATA;
use kim_core::router::{Destination, Router};
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::{Element, Writer};
use kim_xep::xep0077_register::api::AnswersChallenges;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use zeroize::Zeroizing;

use super::body::{Asked, Given};
use super::guard::{Anything, May, Secure};
use super::problem::{Problem, written};
use super::tokens::{end_streams, names};
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
pub(super) struct Registration {
    username: String,
    #[serde(deserialize_with = "secret")]
    password: Zeroizing<String>,
    /// The token of an invitation.
    invitation: Option<String>,
    /// The domain; not set, the main one.
    domain: Option<String>,
    /// The id of a challenge.
    challenge: Option<String>,
    /// The text that it asked for.
    proof: Option<String>,
}

/// Where somebody wants to register.
#[derive(Deserialize)]
pub(super) struct Newcomer {
    /// The domain; not set, the main one.
    domain: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Login {
    /// A name at the main domain, or an address.
    username: String,
    #[serde(deserialize_with = "secret")]
    password: Zeroizing<String>,
    /// For how many seconds the token is to be valid.
    expires_in: Option<u32>,
    /// What the token is to be valid for; not set, everything.
    scopes: Option<Vec<WantedAccount>>,
}

/// A scope by its name.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WantedAccount {
    Read,
    Send,
    Manage,
}

impl WantedAccount {
    fn scope(self) -> Scope {
        match self {
            WantedAccount::Read => Scope::Read,
            WantedAccount::Send => Scope::Send,
            WantedAccount::Manage => Scope::Manage,
        }
    }
}

/// A password on its way: overwritten when dropped.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

/// `POST /api/register`
pub(super) async fn register(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    _: Secure,
    Given(wanted): Given<Registration>,
) -> Result<Response, Problem> {
    let account = make(web.router(), client.address, &wanted).await?;
    Ok(written(StatusCode::CREATED, &json!({ "jid": account.as_str() })))
}

/// `GET /api/register`: the challenge that a newcomer has to solve, if there is one (XEP-0158).
pub(super) async fn challenge(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    Asked(newcomer): Asked<Newcomer>,
) -> Result<Response, Problem> {
    let router = web.router();
    let main = router.config().main_domain();
    let domain = served(router, newcomer.domain.as_deref().unwrap_or(main))?;
    let mut query = Writer::new();
    query.start("query", REGISTER).end();
    let facts = Facts::default();
    facts.leave(AnswersChallenges);
    let event = BeforeLogin {
        stanza: Stanza::new(Kind::Iq(IqType::Get), &query.finish_string()).id("api"),
        domain: domain.as_str().to_owned(),
        address: client.address,
        facts: Arc::new(facts),
        reply: None,
    };
    let Some(answer) = router.before_login(event).await else {
        return Err(closed());
    };
    if answer.kind.is_error() {
        return Err(Problem::of_stanza(&answer));
    }
    let form = answer
        .child("query", REGISTER)
        .and_then(|query| query.child("x", DATA));
    let field = |name: &str| {
        let mut fields = form.iter().flat_map(|form| form.children());
        fields.find(|field| field.attr("var").is_some_and(|var| var == name))
    };
    let value = |name| Some(field(name)?.child("value", DATA)?.text().into_owned());
    let label = field("SHA-256").and_then(|field| Some(field.attr("label")?.into_owned()));
    let challenge = match (value("challenge"), value("from"), label) {
        (Some(id), Some(prefix), Some(label)) => json!({ "id": id, "prefix": prefix, "label": label }),
        _ => serde_json::Value::Null,
    };
    Ok(written(StatusCode::OK, &json!({ "challenge": challenge })))
}

fn closed() -> Problem {
    let closed = "registration is closed on this server; ask for an invitation";
    Problem::new(StatusCode::FORBIDDEN, "not-allowed", closed)
}

/// A domain with accounts.
fn served(router: &Router, domain: &str) -> Result<BareJid, Problem> {
    let found = BareJid::new(None, domain).ok();
    let found = found.filter(|found| router.destination(found.as_str()) == Destination::Users);
    found.ok_or_else(|| {
        let main = router.config().main_domain();
        let message = format!("this server has no accounts at the domain {domain}; leave it out for {main}");
        Problem::new(StatusCode::NOT_FOUND, "host-unknown", message)
    })
}

/// Goes the way of a stream that registers before login, so every rule that holds there holds here.
async fn make(router: &Arc<Router>, address: IpAddr, wanted: &Registration) -> Result<BareJid, Problem> {
    let main = router.config().main_domain();
    let (username, of_address) = match wanted.username.rsplit_once('@') {
        Some((username, domain)) => (username, Some(domain.split('/').next().unwrap_or(domain))),
        None => (wanted.username.as_str(), None),
    };
    let domain = wanted.domain.as_deref().or(of_address).unwrap_or(main);
    let domain = served(router, domain)?;
    if of_address.is_some_and(|of| BareJid::new(None, of).ok().as_ref() != Some(&domain)) {
        return Err(Problem::bad(
            "\"username\" and \"domain\" must not name different domains",
        ));
    }
    let account = names::account(username, domain.as_str())?;
    Password::prepare(&wanted.password)?;
    let facts = Arc::new(Facts::default());
    let mut steps = Vec::new();
    if let Some(token) = &wanted.invitation {
        let mut xml = Writer::new();
        xml.start("preauth", PARS).attr("token", token).end();
        steps.push(Zeroizing::new(xml.finish_string()));
    }
    let mut xml = Writer::new();
    xml.start("query", REGISTER);
    xml.start("username", REGISTER).text(username).end();
    xml.start("password", REGISTER).text(&wanted.password).end();
    if wanted.challenge.is_some() || wanted.proof.is_some() {
        xml.start("x", DATA).attr("type", "submit");
        for (name, value) in [("challenge", &wanted.challenge), ("SHA-256", &wanted.proof)] {
            xml.start("field", DATA).attr("var", name);
            xml.start("value", DATA)
                .text(value.as_deref().unwrap_or_default())
                .end();
            xml.end();
        }
        xml.end();
    }
    xml.end();
    steps.push(Zeroizing::new(xml.finish_string()));
    for payload in steps {
        Element::parse(&payload).map_err(|_| Problem::bad("no field may contain control characters"))?;
        let event = BeforeLogin {
            stanza: Stanza::new(Kind::Iq(IqType::Set), &payload).id("api"),
            domain: domain.as_str().to_owned(),
            address,
            facts: facts.clone(),
            reply: None,
        };
        let router = router.clone();
        // Completed even if the program has hung up.
        let answer = tokio::spawn(async move { router.before_login(event).await });
        match answer.await.map_err(|_| Problem::ours())? {
            Some(answer) if !answer.kind.is_error() => {}
            Some(error) => return Err(Problem::of_stanza(&error)),
            None => return Err(closed()),
        }
    }
    Ok(account)
}

/// `POST /api/login`
pub(super) async fn login(
    State(web): State<Arc<Web>>,
    Extension(client): Extension<Client>,
    _: Secure,
    Given(login): Given<Login>,
) -> Result<Response, Problem> {
    let address = client.address;
    let scopes = match &login.scopes {
        Some(wanted) => wanted.iter().map(|wanted| wanted.scope()).collect(),
        None => Scopes::all(),
    };
    if !web.door.may_log_in(address, Instant::now()) {
        return Err(Problem::too_many(
            "too many failed logins from your network; try again later",
        ));
    }
    // A name or password that cannot exist is not looked up: it is just as wrong, but does not count as a guess.
    let wrong = |turn: Option<Turn>| {
        match turn {
            Some(turn) => web.door.guessed(turn, Instant::now()),
            None => web.door.login_refused(),
        }
        tracing::info!(event = "login_failed", reason = "not-authorized", by = "api");
        let message = "wrong username or password";
        Problem::new(StatusCode::UNAUTHORIZED, "not-authorized", message)
    };
    let router = web.router();
    let account = match login.username.contains('@') {
        true => Jid::parse(&login.username).map(|jid| jid.bare()),
        false => BareJid::new(Some(&login.username), router.config().main_domain()),
    };
    let account = account.map_err(|_| wrong(None))?;
    let password = Password::prepare(&login.password).map_err(|_| wrong(None))?;
    let turn = web
        .door
        .turn_at(&account, Origin::of(address))
        .await
        .ok_or_else(|| Problem::too_many("too many failed logins to this account; try again later"))?;
    // Takes as long for names that do not exist.
    let accounts = router.accounts();
    let epoch = accounts.prove(&account, &password).await?;
    let epoch = epoch.filter(|_| router.destination(account.domain()) == Destination::Users);
    let Some(epoch) = epoch else {
        return Err(wrong(Some(turn)));
    };
    turn.succeeded(0);
    let asked = login.expires_in.unwrap_or(TOKEN_SECONDS);
    let seconds = asked.clamp(TOKEN_SECONDS_MIN, TOKEN_SECONDS);
    let notice = (asked != seconds).then(|| {
        format!(
            "expires_in was set to {seconds}: it can be from {TOKEN_SECONDS_MIN} to {TOKEN_SECONDS} seconds"
        )
    });
    let token = accounts.give_token(&account, epoch, scopes, seconds).await?;
    web.door.logged_in();
    tracing::info!(event = "logged_in", %account, by = "api");
    Ok(written(
        StatusCode::OK,
        &json!({
            "jid": account.as_str(),
            "token": token.text.as_str(),
            "token_type": "Bearer",
            "id": token.row.id,
            "scopes": names(token.row.scopes),
            "expires_in": seconds,
            "expires_at": Timestamp(token.row.expires_at).to_string(),
            "notice": notice,
        }),
    ))
}

/// `POST /api/logout`: the token that is shown is void from then on.
pub(super) async fn logout(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Anything>,
) -> Result<Response, Problem> {
    let accounts = web.router().accounts();
    accounts.revoke_token(&caller.account, &caller.token_id).await?;
    end_streams(&web, &caller.account);
    Ok(written(StatusCode::OK, &json!({})))
}
