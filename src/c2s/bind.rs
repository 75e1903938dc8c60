//! Resource binding (RFC 6120 §7): the authenticated stream becomes a session that the house knows.

use kim_core::accounts::Epoch;
use kim_core::error::{Condition, StanzaError, StreamCondition, StreamError};
use kim_core::events::{Early, Unbound};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::random;
use kim_core::router::NotStarted;
use kim_core::session::Session;
use kim_core::stanza::{IqType, Kind, NotAStanza, Stanza};
use kim_core::wire::{Element, Writer};

use super::end::{End, unexpected};
use super::features;
use super::handover::{self, Registered};
use super::stream::Stream;

/// A stream of which is known whose it is.
pub struct Authenticated {
    account: BareJid,
    /// The password that was proved; guests prove none.
    epoch: Option<Epoch>,
}

/// A stream with a registered session.
pub struct Bound {
    pub(super) registered: Registered,
}

impl Authenticated {
    pub(super) fn new(account: BareJid, epoch: Option<Epoch>) -> Authenticated {
        Authenticated { account, epoch }
    }

    /// Ends the stream where its password was changed, or its account removed, after the login.
    async fn check(&self, stream: &Stream) -> Result<(), End> {
        match self.epoch {
            Some(epoch) => Ok(stream
                .door
                .router
                .check_epoch(&self.account, epoch)
                .await
                .map_err(outdated)?),
            None => Ok(()),
        }
    }

    /// Opens the new stream and serves it until a resource is bound.
    pub(super) async fn bind(self, stream: &mut Stream) -> Result<Bound, End> {
        let domain = stream.open().await?;
        if domain.domain() != self.account.domain() {
            return Err(StreamCondition::HostUnknown.into());
        }
        let router = stream.door.router.clone();
        stream
            .answer(&domain, &features::after_login(&router, domain.as_str()))
            .await?;
        loop {
            let element = stream.element().await?;
            let (stanza, error) = match Stanza::from_element(element) {
                Ok(stanza) => (stanza, None),
                Err(NotAStanza::Refused(stanza, error)) => (*stanza, Some(error)),
                Err(NotAStanza::Unsupported(element)) => match self.early(stream, *element).await? {
                    Some(bound) => return Ok(bound),
                    None => continue,
                },
            };
            let outcome = match error {
                Some(error) => Err(error),
                None => self.try_bind(stream, &stanza).await?,
            };
            let error = match outcome {
                Ok(bound) => return Ok(bound),
                Err(error) => error,
            };
            let Some(answer) = error.answer(&stanza) else {
                return Err(StreamCondition::NotAuthorized.into());
            };
            stream.send(&answer.to_xml()).await?;
        }
    }

    /// Something that is no stanza: a session may be resumed instead of binding (XEP-0198 §5).
    async fn early(&self, stream: &mut Stream, element: Element) -> Result<Option<Bound>, End> {
        self.check(stream).await?;
        let mut tries = 0;
        let registered = loop {
            let (session, h, otherwise) = match early(stream, Some(&self.account), element.clone()).await? {
                Early::Resume {
                    session,
                    h,
                    otherwise,
                } if session.account == self.account => (session, h, otherwise),
                Early::Answered(xml) => {
                    stream.send(&xml).await?;
                    return Ok(None);
                }
                _ => return Err(StreamCondition::InternalServerError.into()),
            };
            if let Some(registered) = handover::claim(&session).await {
                break (registered, h);
            }
            // It has ended while it was asked for, and something is known of it now; or somebody else was faster.
            tries += 1;
            if !session.outbox.is_closed() || tries > 1 {
                stream.send(&otherwise).await?;
                return Ok(None);
            }
        };
        let (registered, h) = registered;
        let session = registered.session().clone();
        // Should anything fail from here on, the session waits again.
        self.check(stream).await?;
        let words = registered.router().resume(&session, h).await?;
        stream.send(&words).await?;
        tracing::info!(event = "session_resumed", session = %session.id);
        Ok(Some(Bound { registered }))
    }

    /// Binds the resource that is asked for. Anything else before that is not authorized (RFC 6120 §7.1).
    async fn try_bind(
        &self,
        stream: &mut Stream,
        stanza: &Stanza,
    ) -> Result<Result<Bound, StanzaError>, End> {
        let request = stanza
            .child("bind", ns::BIND)
            .filter(|_| stanza.kind == Kind::Iq(IqType::Set));
        let Some(request) = request else {
            return Err(StreamCondition::NotAuthorized.into());
        };
        let wanted = request
            .child("resource", ns::BIND)
            .map(|resource| resource.text().into_owned());
        let jid = match wanted.filter(|resource| !resource.is_empty()) {
            Some(resource) => self.account.with_resource(&resource),
            None => self.account.with_resource(&random::token()),
        };
        let Ok(jid) = jid else {
            return Ok(Err(StanzaError::new(Condition::BadRequest)));
        };
        let outbox_bytes_max = stream.door.router.limits().outbox_bytes_max;
        let guest = self.epoch.is_none();
        let session = Session::new(jid.clone(), guest, Some(stream.address), outbox_bytes_max);
        let registered = match Registered::start(&stream.door, session, self.epoch).await {
            Ok(registered) => registered,
            // RFC 6120 §7.6.2.1
            Err(NotStarted::TooManyResources) => {
                let error = StanzaError::new(Condition::ResourceConstraint);
                return Ok(Err(
                    error.text("this account has too many connected clients; close one of them")
                ));
            }
            Err(refused) => return Err(outdated(refused).into()),
        };
        stream.send(&result(stanza, &jid).to_xml()).await?;
        Ok(Ok(Bound { registered }))
    }
}

/// What ends a stream whose login is worth nothing any more.
fn outdated(refused: NotStarted) -> StreamError {
    match refused {
        NotStarted::Unavailable => StreamCondition::InternalServerError.into(),
        NotStarted::Outdated | NotStarted::TooManyResources => {
            StreamError::new(StreamCondition::NotAuthorized)
                .text("the password was changed or the account removed; sign in again")
        }
    }
}

fn result(request: &Stanza, jid: &Jid) -> Stanza {
    let mut xml = Writer::new();
    xml.start("bind", ns::BIND)
        .start("jid", ns::BIND)
        .text(jid.as_str())
        .end()
        .end();
    request.reply(Kind::Iq(IqType::Result), &xml.finish_string())
}

/// Asks the modules what an element that is no stanza means so early. What nobody knows ends the stream.
pub(super) async fn early(
    stream: &Stream,
    account: Option<&BareJid>,
    element: Element,
) -> Result<Early, End> {
    let namespace = element.ns().to_owned();
    let mut event = Unbound {
        element,
        account: account.cloned(),
        verdict: Early::Unknown,
    };
    stream.door.router.unbound(&mut event).await?;
    match event.verdict {
        Early::Unknown => Err(unexpected(&namespace)),
        verdict => Ok(verdict),
    }
}
