//! What operators see of federation: the streams there are, what waits, and how a domain answers.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kim_core::config::{Choice, Domain};
use kim_core::error::Condition;
use kim_core::jid::Jid;
use kim_core::random;
use kim_core::remote::{Outbound, Remotes};
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::Element;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::dns::{self, Target};
use super::hub::Federation;
use super::identity::{self, CertificateIdentity};
use super::reach;

/// Streams and queues that are listed at most.
const LISTED_MAX: usize = 1_000;
/// How long an answer to a ping is waited for.
const PING: Duration = Duration::from_secs(30);

/// A stream to or from another server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// The other server opened it.
    pub is_incoming: bool,
    /// The domain here.
    pub local: Option<String>,
    /// The domain there.
    pub remote: Option<String>,
    /// The domains proved on it, and how.
    pub proved: Vec<(String, String)>,
    /// Where the other server is.
    pub address: Option<String>,
    /// Since when it exists, in microseconds since 1970.
    pub since: i64,
    /// Stanzas that came.
    pub received: u64,
    /// Stanzas that went.
    pub sent: u64,
    /// Stanzas pass in both directions (XEP-0288).
    pub is_bidi: bool,
    /// Stanzas that the other server has not confirmed; `None` without stream management (XEP-0198).
    pub unconfirmed: Option<usize>,
}

/// What waits for a domain elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueFacts {
    /// The domain here.
    pub local: String,
    /// The domain there.
    pub remote: String,
    /// Stanzas that wait.
    pub stanzas: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// What the last attempt failed with, until there is another one.
    pub failing: Option<String>,
}

/// Federation at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FederationFacts {
    /// Streams.
    pub streams: Vec<StreamFacts>,
    /// What waits.
    pub queues: Vec<QueueFacts>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// What.
    pub what: String,
    /// Whether it is as it should be.
    pub is_good: bool,
    /// What it is.
    pub text: String,
}

impl Looked {
    fn new(what: &str, is_good: bool, text: impl Into<String>) -> Looked {
        Looked {
            what: what.to_owned(),
            is_good,
            text: text.into(),
        }
    }
}

impl Federation {
    /// What there is now.
    pub fn facts(&self) -> FederationFacts {
        let now = Instant::now();
        let streams = self.streams().into_iter().take(LISTED_MAX).map(|life| {
            let state = life.state();
            let proved = state.proved.iter();
            StreamFacts {
                is_incoming: life.is_incoming,
                local: state.local.as_deref().map(str::to_owned),
                remote: state.remote.as_deref().map(str::to_owned),
                proved: proved
                    .map(|(domain, how)| (domain.to_string(), how.as_str().to_owned()))
                    .collect(),
                address: life.address.map(|address| address.to_string()),
                since: life.since.0,
                received: life.received.load(Ordering::Relaxed),
                sent: life.sent.load(Ordering::Relaxed),
                is_bidi: life.bidi.load(Ordering::Relaxed),
                unconfirmed: state.counting.as_ref().map(|counting| counting.unconfirmed.len()),
            }
        });
        let queues = self.pairs().into_iter().filter_map(|pair| {
            let (stanzas, bytes) = pair.waiting();
            let failing = pair.failing(now).map(|condition| condition.as_str().to_owned());
            (stanzas > 0 || failing.is_some()).then(|| QueueFacts {
                local: pair.local.to_string(),
                remote: pair.remote.to_string(),
                stanzas,
                bytes,
                failing,
            })
        });
        FederationFacts {
            streams: streams.collect(),
            queues: queues.take(LISTED_MAX).collect(),
        }
    }

    /// Failed attempts, by what the senders were told.
    pub fn failures(&self) -> Vec<(&'static str, u64)> {
        let failures = self
            .counters
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = failures
            .iter()
            .map(|(condition, count)| (*condition, *count))
            .collect();
        all.sort_unstable();
        all
    }

    /// Looks at a domain as if something were to be sent there, step by step.
    pub async fn look_at(&self, domain: &str) -> Vec<Looked> {
        let Some(domain) = Domain::parse(domain) else {
            return vec![Looked::new("domain", false, "this is not a domain")];
        };
        if self.is_ours(&domain) {
            return vec![Looked::new("domain", false, "this is a domain of this server")];
        }
        let mut seen = self.look_at_policy(&domain);
        let targets = match dns::targets(&*self.lookup, &domain, self.settings()).await {
            Ok(targets) => targets,
            Err(no_way) => {
                seen.push(Looked::new("DNS", false, no_way.to_string()));
                return seen;
            }
        };
        for target in &targets {
            seen.push(self.look_up(target).await);
        }
        let local = self.router().config().main_domain().to_owned();
        for target in &targets {
            self.look_into(&local, &domain, target, &mut seen).await;
        }
        seen.push(self.ping(&local, &domain).await);
        seen
    }

    /// What this server's own rules say of a domain.
    fn look_at_policy(&self, domain: &Domain) -> Vec<Looked> {
        let mut seen = Vec::new();
        if !self.lists(domain) {
            seen.push(Looked::new("policy", false, "[s2s] allow or deny keeps it out"));
        }
        if self.is_blocked(domain) {
            let text = "it is blocked (kim block list) or on a block list";
            seen.push(Looked::new("policy", false, text));
        }
        let proof = self.settings().proof_of(domain).as_str();
        let text = format!("it must prove itself by {proof}");
        seen.push(Looked::new("policy", true, text));
        seen
    }

    /// The addresses of a server.
    async fn look_up(&self, target: &Target) -> Looked {
        let how = if target.direct_tls { "TLS" } else { "STARTTLS" };
        let server = format!("{}:{} ({how})", target.host, target.port);
        match dns::addresses(&*self.lookup, target, self.settings()).await {
            _ if target.by_proxy => Looked::new("DNS", true, format!("{server}, by the proxy")),
            Ok(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(|a| a.ip().to_string()).collect();
                Looked::new("DNS", true, format!("{server} at {}", addresses.join(", ")))
            }
            Err(no_way) => Looked::new("DNS", false, format!("{server}: {no_way}")),
        }
    }

    /// Connects to one server of a domain: its certificate, what that proves, and what it offers.
    async fn look_into(&self, local: &str, domain: &Domain, target: &Target, seen: &mut Vec<Looked>) {
        let server = format!("{}:{}", target.host, target.port);
        let secured = tokio::time::timeout(PING, reach::secure(self, local, domain, target)).await;
        let secured = match secured {
            Ok(Ok(secured)) => secured,
            Ok(Err(failed)) => {
                let text = format!("{server}: {}", failed.why);
                seen.push(Looked::new("connection", false, text));
                return;
            }
            Err(_) => {
                let text = format!("{server}: no answer in time");
                seen.push(Looked::new("connection", false, text));
                return;
            }
        };
        let text = format!("{server} at {}", secured.address);
        seen.push(Looked::new("connection", true, text));
        let chain = secured.chain.iter();
        seen.extend(chain.map(|der| Looked::new("certificate", true, described(der))));
        let named = self.lookup.associations(domain, target).await;
        if !named.is_empty() {
            let text = format!("{} signed TLSA records", named.len());
            seen.push(Looked::new("DANE", true, text));
        }
        let judged = &secured.certified;
        let text = match judged {
            Ok(()) => format!("proves {}", &**domain),
            Err(unproven) => unproven.to_string(),
        };
        seen.push(Looked::new("proof", judged.is_ok(), text));
        seen.push(
            match tokio::time::timeout(PING, reach::offers(secured, local, domain)).await {
                Ok(Ok(features)) => Looked::new("offers", true, features),
                Ok(Err(broken)) => Looked::new("offers", false, broken.to_string()),
                Err(_) => Looked::new("offers", false, "no answer in time"),
            },
        );
    }

    /// A ping through the whole way, and back (XEP-0199).
    async fn ping(&self, local: &str, domain: &str) -> Looked {
        let (Ok(from), Ok(to)) = (Jid::parse(local), Jid::parse(domain)) else {
            return Looked::new("ping", false, "this is not a domain");
        };
        let id = random::token();
        let stanza = Stanza::new(Kind::Iq(IqType::Get), "<ping xmlns='urn:xmpp:ping'/>");
        let outbound = Outbound {
            stanza: Arc::new(stanza.from(from).to(to).id(id.clone())),
            received: self.router().clock().now(),
            row: None,
        };
        let begun = Instant::now();
        let answer = self.probes.begin(&id, domain);
        let answered = match self.push(outbound) {
            Err(condition) => Some(Answered::Returned(condition)),
            Ok(()) => tokio::time::timeout(PING, answer).await.ok().and_then(Result::ok),
        };
        self.probes.end(&id);
        let ms = begun.elapsed().as_millis();
        match answered {
            Some(Answered::Result) => Looked::new("ping", true, format!("answered after {ms} ms")),
            // Whoever refuses a ping has received it.
            Some(Answered::Error) => {
                Looked::new("ping", true, format!("refused after {ms} ms, so it arrived"))
            }
            Some(Answered::Returned(condition)) => Looked::new(
                "ping",
                false,
                format!("came back: {}; the log says why", condition.as_str()),
            ),
            None => Looked::new("ping", false, "no answer in time"),
        }
    }
}

/// How a ping ended.
#[derive(Debug)]
pub enum Answered {
    /// With a result.
    Result,
    /// With an error of the other server.
    Error,
    /// It could not be delivered.
    Returned(Condition),
}

/// Pings under way, by their ids: the domain that they are for, and who waits.
#[derive(Default)]
pub struct Probes(Mutex<HashMap<String, (String, oneshot::Sender<Answered>)>>);

impl Probes {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (String, oneshot::Sender<Answered>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: &str, domain: &str) -> oneshot::Receiver<Answered> {
        let (tell, told) = oneshot::channel();
        self.lock().insert(id.to_owned(), (domain.to_owned(), tell));
        told
    }

    fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Takes an answer out of what a domain sends; `true` if it was one.
    pub(super) fn hear(&self, domain: &str, element: &Element) -> bool {
        let answered = match element.attr("type").as_deref() {
            Some("result") => Answered::Result,
            Some("error") => Answered::Error,
            _ => return false,
        };
        let id = element.attr("id").unwrap_or_default();
        let mut all = self.lock();
        if element.name() != "iq" || all.get(&*id).is_none_or(|(asked, _)| asked != domain) {
            return false;
        }
        if let Some((_, tell)) = all.remove(&*id) {
            let _ = tell.send(answered);
        }
        true
    }

    /// A stanza could not be delivered.
    pub(super) fn returned(&self, stanza: &Stanza, condition: Condition) {
        let id = stanza.id.as_deref().unwrap_or_default();
        if let Some((_, tell)) = self.lock().remove(id) {
            let _ = tell.send(Answered::Returned(condition));
        }
    }
}

/// A certificate in one line.
fn described(der: &[u8]) -> String {
    let Ok((_, parsed)) = X509Certificate::from_der(der) else {
        return "cannot be read".to_owned();
    };
    let names: Vec<String> = identity::identities(der)
        .into_iter()
        .take(10)
        .map(|identity| match identity {
            CertificateIdentity::Dns(name) => name,
            CertificateIdentity::Srv(name) => format!("{name} (SRV)"),
            CertificateIdentity::Xmpp(name) => format!("{name} (XMPP)"),
        })
        .collect();
    let subject = match names.is_empty() {
        true => parsed.subject().to_string(),
        false => names.join(", "),
    };
    let until = parsed.validity().not_after;
    let text = format!("{subject}, by {}, until {until}", parsed.issuer());
    text.chars().filter(|c| !c.is_control()).take(400).collect()
}
