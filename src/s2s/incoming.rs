//! Streams that other servers open: up to TLS here, then headers and SASL EXTERNAL (RFC 6120 §6, XEP-0178) for `exchange`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kim_core::config::Domain;
use kim_core::error::StreamCondition;
use kim_core::ns;
use kim_core::wire::{Element, Header};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dialback::{self, Dialback, Verdict};
use super::exchange::{Chain, Side, live};
use super::life::{How, Life, PeerEnd, Unverified};
use super::talk::{Features, Said, ServerTalk, TalkBroken, TalkOpening, judge};
use super::{Federation, tls};
use crate::c2s::{Place, Security};
use kim_core::error::Condition;
use kim_core::random;

/// Failed tries at SASL on one stream.
const TRIES_MAX: u32 = 3;
/// How long the last words may take to be written.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is known of the other server before it has proved anything.
pub struct IncomingStream {
    said: Option<Said>,
    /// A header must come next.
    expects_header: bool,
    /// The domain that SASL has proved.
    authenticated: Option<String>,
    offers_external: bool,
    tries: u32,
}

impl IncomingStream {
    fn new() -> IncomingStream {
        IncomingStream {
            said: None,
            expects_header: true,
            authenticated: None,
            offers_external: false,
            tries: 0,
        }
    }

    /// Answers a header on the encrypted stream, with what can be done there.
    pub async fn header(
        &mut self,
        hub: &Federation,
        life: &Life,
        header: &Header,
        chain: &Chain,
    ) -> Result<(), PeerEnd> {
        if !std::mem::replace(&mut self.expects_header, false) {
            return Err(StreamCondition::BadFormat.into());
        }
        let id = random::token();
        let said = judge(header).and_then(|said| greetable(hub, &said).map(|()| said));
        let is_same = |said: &Said| match &self.authenticated {
            Some(proved) => said.from.as_ref() == Some(proved),
            None => true,
        };
        let said = match said {
            Ok(said) if is_same(&said) => said,
            Ok(_) => return Err(self.refuse(hub, life, &id, StreamCondition::InvalidFrom)),
            Err(condition) => return Err(self.refuse(hub, life, &id, condition)),
        };
        let local = said
            .to
            .as_deref()
            .unwrap_or_else(|| hub.router().config().main_domain());
        let opening = TalkOpening {
            from: local,
            to: said.from.as_deref(),
            id: Some(&id),
        };
        let mut words = opening.to_xml();
        {
            let mut state = life.state();
            state.stream_id.clone_from(&id);
            state.local = Some(local.into());
            state.remote = said.from.as_deref().map(Arc::from);
        }
        if let Some(condition) = said.from.as_deref().and_then(|from| hub.not_let_in(from)) {
            life.say(&words);
            return Err(condition.into());
        }
        self.offers_external = match (&self.authenticated, &said.from) {
            (None, Some(from)) if !chain.is_empty() => match hub.judge_chain(from, chain).await {
                Ok(()) => true,
                Err(unproven) => {
                    tracing::debug!(event = "s2s_certificate", from, why = %unproven);
                    false
                }
            },
            _ => false,
        };
        let limits = hub.router().limits();
        words.push_str(
            &Features {
                starttls: false,
                external: self.offers_external,
                dialback: self.authenticated.is_none(),
                bidi: self.authenticated.is_none(),
                sm: true,
                max_bytes: Some(limits.stanza_bytes_max),
                idle_seconds: Some(hub.settings().idle_minutes * 60),
            }
            .to_xml(),
        );
        match (&self.authenticated, &said.to) {
            (Some(from), Some(to)) => hub.proved(life, to, from, How::Certificate, &words),
            _ => life.say(&words),
        }
        self.said = Some(said);
        Ok(())
    }

    /// An error before our header comes behind it all the same (RFC 6120 §4.9.1.2).
    fn refuse(&self, hub: &Federation, life: &Life, id: &str, condition: StreamCondition) -> PeerEnd {
        let opening = TalkOpening {
            from: hub.router().config().main_domain(),
            to: None,
            id: Some(id),
        };
        life.say(&opening.to_xml());
        condition.into()
    }

    /// SASL. Tells whether a new header follows.
    pub async fn sasl(
        &mut self,
        hub: &Federation,
        life: &Life,
        element: &Element,
        chain: &Chain,
    ) -> Result<bool, PeerEnd> {
        if self.expects_header || !element.is("auth", ns::SASL) || self.authenticated.is_some() {
            return Err(StreamCondition::UnsupportedStanzaType.into());
        }
        match self.prove(hub, element, chain).await {
            Ok(domain) => {
                life.say(&format!("<success xmlns='{}'/>", ns::SASL));
                self.authenticated = Some(domain);
                self.expects_header = true;
                Ok(true)
            }
            Err(condition) => {
                self.tries += 1;
                life.say(&format!("<failure xmlns='{}'><{condition}/></failure>", ns::SASL));
                match self.tries < TRIES_MAX {
                    true => Ok(false),
                    false => Err(StreamCondition::PolicyViolation.into()),
                }
            }
        }
    }

    /// Which domain an attempt proves, or the condition of SASL that it fails with (XEP-0178 §3).
    async fn prove(
        &self,
        hub: &Federation,
        element: &Element,
        chain: &Chain,
    ) -> Result<String, &'static str> {
        if element.attr("mechanism").as_deref() != Some("EXTERNAL") {
            return Err("invalid-mechanism");
        }
        let from = self.said.as_ref().and_then(|said| said.from.clone());
        let from = from.filter(|_| self.offers_external).ok_or("not-authorized")?;
        let wanted = element.text();
        let wanted = match wanted.trim() {
            "" | "=" => from.clone(),
            encoded => {
                let bytes = STANDARD.decode(encoded).map_err(|_| "incorrect-encoding")?;
                let text = String::from_utf8(bytes).map_err(|_| "incorrect-encoding")?;
                Domain::parse(&text).ok_or("invalid-authzid")?.to_string()
            }
        };
        if wanted != from {
            return Err("invalid-authzid");
        }
        match hub.judge_chain(&wanted, chain).await {
            Ok(()) => Ok(wanted),
            Err(_) => Err("not-authorized"),
        }
    }
}

/// Whether a stream may be opened between these two (RFC 6120 §4.9.3.6, §4.9.3.9).
fn greetable(hub: &Federation, said: &Said) -> Result<(), StreamCondition> {
    let to = said.to.as_deref().ok_or(StreamCondition::ImproperAddressing)?;
    if !hub.speaks_as(to) {
        return Err(StreamCondition::HostUnknown);
    }
    // A server of one of our names cannot be another one.
    match said.from.as_deref() {
        Some(from) if hub.is_ours(from) => Err(StreamCondition::InvalidFrom),
        _ => Ok(()),
    }
}

/// Serves a connection from its first byte to its last.
pub async fn serve(
    hub: Arc<Federation>,
    tcp: TcpStream,
    address: SocketAddr,
    security: Security,
    place: Place,
    unverified: Unverified,
) {
    let life = hub.begin(true, Some(address));
    {
        let mut state = life.state();
        state.place = Some(place);
        state.unverified = Some(unverified);
    }
    let seconds = hub.router().limits().login_seconds_max;
    let secured = tokio::select! {
        secured = timeout(Duration::from_secs(seconds), secure(&hub, tcp, security)) => secured.ok().flatten(),
        () = hub.reached(super::Phase::Closing) => None,
    };
    match secured {
        None => hub.bury(&life),
        Some(encrypted) => {
            let talk = ServerTalk::new(encrypted.io, hub.wire_before_proof());
            let (io, reader, input) = talk.into_parts();
            let side = Side {
                incoming: Some(IncomingStream::new()),
                chain: Arc::new(encrypted.chain),
                early: Vec::new(),
                max_bytes: None,
            };
            live(&hub, &life, io, reader, input, side).await;
        }
    }
}

/// Goes up to the end of the TLS handshake.
async fn secure(hub: &Federation, tcp: TcpStream, security: Security) -> Option<tls::Encrypted<TcpStream>> {
    let (tcp, domain) = match security {
        Security::DirectTls => (tcp, None),
        Security::StartTls => start_tls(hub, tcp).await?,
    };
    let seconds = hub.router().limits().tls_handshake_seconds_max;
    let handshake = tls::accept(tcp, hub.certificates.current(), domain);
    match timeout(Duration::from_secs(seconds), handshake).await {
        Ok(Ok(encrypted)) => Some(encrypted),
        Ok(Err(error)) => {
            tracing::debug!(event = "s2s_tls_failed", %error);
            None
        }
        Err(_) => None,
    }
}

/// The stream before TLS, on which nothing else is done (RFC 6120 §5).
async fn start_tls(hub: &Federation, tcp: TcpStream) -> Option<(TcpStream, Option<String>)> {
    let mut talk = ServerTalk::new(tcp, hub.wire_before_proof());
    let mut answered = false;
    match ask_for_tls(hub, &mut talk, &mut answered).await {
        Ok(domain) => Some((talk.into_io(), domain)),
        Err(broken) => {
            let error = match broken {
                TalkBroken::Ours(error) => Some(error),
                _ => None,
            };
            if let (Some(_), false) = (&error, answered) {
                let opening = TalkOpening {
                    from: hub.router().config().main_domain(),
                    to: None,
                    id: Some(&random::token()),
                };
                let _ = timeout(FAREWELL, talk.say(&opening.to_xml())).await;
            }
            let _ = timeout(FAREWELL, talk.end(error.as_ref())).await;
            None
        }
    }
}

async fn ask_for_tls(
    hub: &Federation,
    talk: &mut ServerTalk<TcpStream>,
    answered: &mut bool,
) -> Result<Option<String>, TalkBroken> {
    let said = judge(&talk.header().await?)?;
    greetable(hub, &said)?;
    let opening = TalkOpening {
        from: said.to.as_deref().unwrap_or_default(),
        to: said.from.as_deref(),
        id: Some(&random::token()),
    };
    let features = Features {
        starttls: true,
        bidi: true,
        ..Features::default()
    };
    *answered = true;
    talk.say(&opening.to_xml()).await?;
    if let Some(error) = said.from.as_deref().and_then(|from| hub.not_let_in(from)) {
        return Err(error.into());
    }
    talk.say(&features.to_xml()).await?;
    let mut refused = 0;
    loop {
        let element = talk.element().await?;
        if element.is("starttls", ns::TLS) {
            talk.say(&format!("<proceed xmlns='{}'/>", ns::TLS)).await?;
            return Ok(said.to);
        }
        refused += 1;
        // XEP-0220 §2.5: TLS is required before dialback.
        let verdict = Verdict::Error(Some(Condition::PolicyViolation));
        let answer = match Dialback::read(&element) {
            Some(Ok(Dialback::Key(addresses, _))) => dialback::result(&addresses.swapped(), &verdict),
            Some(Ok(Dialback::Question(addresses, id, _))) => {
                dialback::answer(&addresses.swapped(), &id, &verdict)
            }
            _ => return Err(StreamCondition::NotAuthorized.into()),
        };
        if refused > TRIES_MAX {
            return Err(StreamCondition::PolicyViolation.into());
        }
        talk.say(&answer).await?;
    }
}
