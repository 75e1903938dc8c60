//! What `kim check` tries with the running server as its clients: a login, and an encrypted conversation.
//!
//! The accounts are always `kim-check` and `kim-check-2` at the main domain, so that two names are held back afterwards and
//! not two for each check; they are made over the control socket and removed again. Their passwords are random and known to
//! nobody.

mod client;
#[cfg(feature = "check-omemo")]
mod conversation;
#[cfg(feature = "check-omemo")]
mod omemo;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use kim_core::accounts::Tombstone;
use kim_core::jid::BareJid;
use kim_core::random;
use zeroize::Zeroizing;

use crate::cli::{CheckContext, Finding, Outcome};
use crate::control::{Control, Remote, Secret};
use client::ProbeClient;

/// What the findings are about.
const LOGIN: &str = "login";
const OMEMO: &str = "omemo";
/// How long each may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The names of the accounts.
const NAMES: [&str; 2] = ["kim-check", "kim-check-2"];
/// The module without which nobody can publish keys.
const KEYS_MODULE: &str = "xep0384_omemo";

/// Tries what clients do, if a server runs.
pub async fn check(context: &CheckContext) -> Vec<Finding> {
    if !context.running {
        return vec![Finding::skip(
            LOGIN,
            "no server is running with this data directory",
        )];
    }
    let listen = &context.config.listen;
    let direct = listen.c2s_tls.first().map(|address| (*address, true));
    let Some((address, direct)) = direct.or(listen.c2s.first().map(|address| (*address, false))) else {
        return vec![Finding::skip(LOGIN, "[listen] has no address for clients")];
    };
    let place = Place {
        address: reachable(address),
        direct,
    };
    let remote = match Remote::find(&context.config.control_socket()).await {
        Ok(Some(remote)) => remote,
        Ok(None) => return vec![Finding::fail(LOGIN, "the server has just ended")],
        Err(error) => return vec![Finding::fail(LOGIN, error.to_string())],
    };
    let mut guests = Vec::new();
    let mut findings = Vec::new();
    for name in NAMES {
        match Guest::invite(name, context, &remote).await {
            Ok(guest) => guests.push(guest),
            Err(error) => {
                findings.push(Finding::fail(LOGIN, error.to_string()));
                break;
            }
        }
    }
    if let [one, other] = guests.as_slice() {
        let login = within(LOGIN, log_in(&place, one)).await;
        let works = login.outcome == Outcome::Ok;
        findings.push(login);
        findings.push(if !works {
            Finding::skip(OMEMO, "the login failed")
        } else if context.config.modules.is_enabled(KEYS_MODULE) {
            converse_encrypted(&place, one, other).await
        } else {
            Finding::skip(OMEMO, format!("[{KEYS_MODULE}] is disabled"))
        });
    }
    for guest in guests {
        if let Err(error) = remote.user_delete(&guest.account).await {
            let text = format!("{} cannot be removed again: {error}", guest.account);
            findings.push(Finding::fail(LOGIN, text));
        }
    }
    findings
}

async fn within(what: &'static str, attempt: impl Future<Output = io::Result<String>>) -> Finding {
    match tokio::time::timeout(PATIENCE, attempt).await {
        Ok(Ok(text)) => Finding::ok(what, text),
        Ok(Err(error)) => Finding::fail(what, error.to_string()),
        Err(_) => Finding::fail(
            what,
            format!("the server did not answer within {} s", PATIENCE.as_secs()),
        ),
    }
}

#[cfg(feature = "check-omemo")]
async fn converse_encrypted(place: &Place, one: &Guest, other: &Guest) -> Finding {
    within(OMEMO, omemo::round_trip(place, one, other)).await
}

#[cfg(not(feature = "check-omemo"))]
async fn converse_encrypted(_: &Place, _: &Guest, _: &Guest) -> Finding {
    Finding::skip(OMEMO, "this kim was built without the feature `check-omemo`")
}

/// Where clients connect.
struct Place {
    address: SocketAddr,
    direct: bool,
}

impl Place {
    async fn log_in(&self, guest: &Guest) -> io::Result<ProbeClient> {
        let client = ProbeClient::log_in(self.address, self.direct, &guest.account, &guest.password).await;
        client.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.address)))
    }
}

/// An account made for the check.
struct Guest {
    account: BareJid,
    password: Zeroizing<String>,
}

impl Guest {
    async fn invite(name: &str, context: &CheckContext, remote: &Remote) -> io::Result<Guest> {
        let account = BareJid::new(Some(name), context.config.main_domain()).map_err(io::Error::other)?;
        let password = Zeroizing::new(random::token());
        let made = remote
            .user_add(&account, &Secret::new(password.clone()), Tombstone::Override)
            .await;
        made.map_err(|error| io::Error::other(format!("{account} cannot be made for it: {error}")))?;
        Ok(Guest { account, password })
    }
}

async fn log_in(place: &Place, guest: &Guest) -> io::Result<String> {
    let client = place.log_in(guest).await?;
    let text = format!(
        "{} logged in at {} with {}",
        client.jid, place.address, client.how
    );
    client.leave().await?;
    Ok(text)
}

/// Where to connect to what listens there.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}
