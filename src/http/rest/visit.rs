//! How the API acts for an account: as one more of its sessions, so that a request takes the way of what any client sends, with
//! the same hooks, archives, copies and refusals.
//!
//! A *request* is a session that lasts as long as the request: it has no socket and is registered nowhere, so nobody sees it. A
//! *stay* is registered, because rooms and others have something to tell it; nobody sees it either until it sends presence.

use std::sync::Arc;
use std::time::Duration;

use kim_core::jid::{BareJid, Jid};
use kim_core::random;
use kim_core::router::NotStarted;
use kim_core::session::{Parcel, Session};
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::{Element, WireError, Writer};
use kim_xep::xep0313_mam::api::MessageArchives;
use kim_xep::xep0359_ids::api::SentAs;

use super::guard::Caller;
use super::problem::Problem;
use crate::c2s::Registered;
use crate::http::Web;

/// Bytes taken from an outbox in one go.
const TAKEN_BYTES_MAX: usize = 64 * 1024;
/// How long an answer may take that comes by itself.
const ANSWER_SECONDS_MAX: u64 = 30;

fn session(web: &Web, caller: &Caller) -> Result<Arc<Session>, Problem> {
    let jid = caller.account.with_resource(&format!("api-{}", random::token()));
    let jid = jid.map_err(|_| Problem::ours())?;
    let outbox_bytes_max = web.router().limits().outbox_bytes_max;
    Ok(Session::new(jid, false, Some(caller.address), outbox_bytes_max))
}

/// What a client of XMPP could not send is not sent for a client of the API.
fn check(web: &Web, payload: &str) -> Result<(), Problem> {
    let whole = format!("<stanza>{payload}</stanza>");
    match Element::parse_within(&whole, web.door.wire_after_login()) {
        Ok(_) => Ok(()),
        Err(WireError::TooBig(_)) => Err(Problem::too_long()),
        Err(_) => Err(Problem::bad(
            "the request contains something that cannot be sent over XMPP",
        )),
    }
}

/// Sends a stanza for an account and gives what came back once everything it caused is committed. It is done to the end,
/// even if the program has hung up.
pub(super) async fn ask(web: &Web, caller: &Caller, stanza: Stanza) -> Result<Vec<Arc<Stanza>>, Problem> {
    ask_as(web, session(web, caller)?, stanza).await
}

/// Sends a message for an account; when this returns, it is stored. Gives the id under which the account's archive has it, if it
/// is kept there.
pub(super) async fn say(web: &Web, caller: &Caller, message: Stanza) -> Result<Option<String>, Problem> {
    let session = session(web, caller)?;
    let sent = session.fact::<SentAs>();
    ask_as(web, session, message).await?;
    Ok(sent.id().map(str::to_owned))
}

/// When a message was stored, as history and events tell it; what no archive keeps was said now.
pub(super) async fn stamp(web: &Web, archive: &BareJid, id: Option<&str>) -> Result<String, Problem> {
    let archives = web.router().fact::<MessageArchives>();
    if let (Some(archives), Some(id)) = (archives, id)
        && let Some(stamp) = archives.stamp_of(archive, id).await?
    {
        return Ok(stamp.to_string());
    }
    Ok(web.router().clock().now().to_string())
}

async fn ask_as(web: &Web, session: Arc<Session>, stanza: Stanza) -> Result<Vec<Arc<Stanza>>, Problem> {
    let id = stanza.id.clone();
    let router = web.router().clone();
    let asking = tokio::spawn(async move {
        let mut outcome = router.depart(&session, stanza).await;
        let closing = outcome.closing.take();
        router.perform(outcome).await;
        let (parcels, _) = session.outbox.take();
        match closing {
            Some(_) => Err(Problem::bad("this request is not allowed")),
            None => Ok(parcels),
        }
    });
    let parcels = asking.await.map_err(|_| Problem::ours())??;
    let heard: Vec<_> = parcels.into_iter().filter_map(|parcel| parcel.stanza).collect();
    match heard
        .iter()
        .find(|stanza| stanza.kind.is_error() && stanza.id == id)
    {
        Some(error) => Err(Problem::of_stanza(error)),
        None => Ok(heard),
    }
}

/// Asks something of the account itself (`None`) or of somebody else, and gives the answer.
pub(super) async fn iq(
    web: &Arc<Web>,
    caller: &Caller,
    kind: IqType,
    to: Option<Jid>,
    mut payload: Writer,
) -> Result<Arc<Stanza>, Problem> {
    let payload = payload.finish_string();
    check(web, &payload)?;
    if kind == IqType::Set
        && let Some(to) = to
    {
        // A room answers a change in its own order, after this stanza is dealt with.
        let mut stay = Stay::begin(web, caller).await?;
        let answer = stay.ask(kind, Some(to), &payload).await;
        stay.end().await;
        return answer;
    }
    let mut stanza = Stanza::new(Kind::Iq(kind), &payload).id(random::token());
    stanza.to = to;
    let id = stanza.id.clone();
    let heard = ask(web, caller, stanza).await?;
    let mut answers = heard.into_iter().filter(|heard| heard.id == id);
    answers.next().ok_or_else(|| {
        // An answer from another server does not reach a session that is not registered.
        let problem = "the other side did not answer";
        Problem::new(
            axum::http::StatusCode::BAD_GATEWAY,
            "remote-server-timeout",
            problem,
        )
    })
}

/// A registered session.
pub(super) struct Stay {
    web: Arc<Web>,
    registered: Registered,
}

impl Stay {
    /// Begins one.
    pub async fn begin(web: &Arc<Web>, caller: &Caller) -> Result<Stay, Problem> {
        let session = session(web, caller)?;
        let registered = Registered::start(&web.door, session, Some(caller.epoch)).await;
        let registered = registered.map_err(|refused| match refused {
            NotStarted::TooManyResources => {
                Problem::too_many("this account has too many sessions; close one and try again")
            }
            NotStarted::Outdated => Problem::bad_token(),
            NotStarted::Unavailable => Problem::ours(),
        })?;
        Ok(Stay {
            registered,
            web: web.clone(),
        })
    }

    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        self.registered.session()
    }

    /// Sends a stanza; when this returns, all that it caused is committed.
    pub async fn send(&mut self, stanza: Stanza) -> Result<(), Problem> {
        let router = self.web.router();
        let mut outcome = router.depart(self.session(), stanza).await;
        let closing = outcome.closing.take();
        router.perform(outcome).await;
        match closing {
            Some(_) => Err(Problem::bad("this request is not allowed")),
            None => Ok(()),
        }
    }

    /// Asks something of the account itself (`None`) or of somebody else, as this session.
    pub async fn ask(
        &mut self,
        kind: IqType,
        to: Option<Jid>,
        payload: &str,
    ) -> Result<Arc<Stanza>, Problem> {
        let mut stanza = Stanza::new(Kind::Iq(kind), payload).id(random::token());
        stanza.to = to;
        let id = stanza.id.clone();
        self.send(stanza).await?;
        self.wait_for(|heard| {
            let is_it = matches!(heard.kind, Kind::Iq(_)) && heard.id == id;
            is_it.then(|| match heard.kind.is_error() {
                true => Err(Problem::of_stanza(heard)),
                false => Ok(heard.clone()),
            })
        })
        .await?
    }

    /// Takes what has come since the last call, without waiting.
    pub fn take(&mut self) -> Vec<Parcel> {
        self.session().outbox.take_some(TAKEN_BYTES_MAX).parcels.into()
    }

    /// Waits for something among what comes; what comes before it is passed over.
    pub async fn wait_for<T>(
        &mut self,
        mut is_it: impl FnMut(&Arc<Stanza>) -> Option<T>,
    ) -> Result<T, Problem> {
        let waiting = async {
            loop {
                let parcels = self.take();
                let stanzas = parcels.iter().filter_map(|parcel| parcel.stanza.as_ref());
                if let Some(found) = stanzas.into_iter().find_map(&mut is_it) {
                    return Ok(found);
                }
                if parcels.is_empty() {
                    if self.session().outbox.is_closed() {
                        return Err(Problem::ours());
                    }
                    self.session().outbox.ready().await;
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(ANSWER_SECONDS_MAX), waiting).await;
        waited.map_err(|_| Problem::ours())?
    }

    /// Ends it; when this returns, everybody who saw it has been told.
    pub async fn end(mut self) {
        self.registered.end().await;
        self.registered.give_back().await;
    }
}
