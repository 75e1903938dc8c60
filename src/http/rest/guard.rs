//! Who may do what: a handler names in its signature the scope that a caller's token needs. Without such a token it does not
//! run, and nothing of the body is read. The query is checked here too, so that no handler can forget it.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use kim_core::accounts::{Epoch, Scope};
use kim_core::jid::BareJid;

use super::document;
use super::problem::Problem;
use crate::http::Web;
use crate::http::client::Client;

/// Whose token a request shows.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The account.
    pub account: BareJid,
    /// What the token is called by.
    pub token_id: String,
    /// The token itself, for those that look again whether it is good.
    pub token: Arc<zeroize::Zeroizing<String>>,
    /// The account's password when the token was looked at.
    pub epoch: Epoch,
    /// Where the request comes from.
    pub address: IpAddr,
}

/// What a token must be good for.
pub(super) trait Needs {
    /// Nothing: it must be good for something.
    const SCOPE: Option<Scope>;
}

/// To read.
pub(super) struct Read;
/// To speak.
pub(super) struct Send;
/// To change what is the account's.
pub(super) struct Manage;
/// Whatever it may do.
pub(super) struct Anything;

impl Needs for Read {
    const SCOPE: Option<Scope> = Some(Scope::Read);
}
impl Needs for Send {
    const SCOPE: Option<Scope> = Some(Scope::Send);
}
impl Needs for Manage {
    const SCOPE: Option<Scope> = Some(Scope::Manage);
}
impl Needs for Anything {
    const SCOPE: Option<Scope> = None;
}

/// A caller with that scope. The request counts towards the rate of the account.
pub(super) struct May<N>(pub Caller, pub PhantomData<N>);

impl<N: Needs> FromRequestParts<Arc<Web>> for May<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<May<N>, Problem> {
        let client = parts.extensions.get::<Client>().cloned();
        let client = client.ok_or_else(Problem::ours)?;
        check_secure(web, &client)?;
        let token = bearer(&parts.headers).ok_or_else(Problem::no_token)?;
        let known = web.router().accounts().bearer(token).await?;
        let bearer = known.ok_or_else(Problem::bad_token)?;
        if let Some(scope) = N::SCOPE.filter(|scope| !bearer.scopes.has(*scope)) {
            return Err(Problem::insufficient(scope));
        }
        web.paces.take(&bearer.account, Instant::now())?;
        let caller = Caller {
            account: bearer.account,
            token_id: bearer.id,
            token: Arc::new(token.to_owned().into()),
            epoch: bearer.epoch,
            address: client.address,
        };
        document::check_query(parts)?;
        // For the reader of the body, which counts its bytes towards the rate of the account.
        parts.extensions.insert(caller.clone());
        Ok(May(caller, PhantomData))
    }
}

/// A request over TLS, or over loopback where that is allowed.
pub(super) struct Secure;

impl FromRequestParts<Arc<Web>> for Secure {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Secure, Problem> {
        let client = parts.extensions.get::<Client>().ok_or_else(Problem::ours)?;
        check_secure(web, client)?;
        document::check_query(parts).map(|()| Secure)
    }
}

/// Passwords and tokens are accepted only where nobody else can read them.
fn check_secure(web: &Web, client: &Client) -> Result<(), Problem> {
    let is_plain_allowed = client.is_loopback && !web.router().config().c2s.require_tls;
    match client.is_secure || is_plain_allowed {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "tls-required",
            "use https: passwords and tokens are accepted only over TLS",
        )),
    }
}

/// The token of a request (RFC 6750 §2.1); an empty one is none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
