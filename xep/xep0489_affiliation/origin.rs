//! What other servers say about their accounts. It is believed only of a server that has announced (§6) that it says so itself
//! and lets nobody else say it (§7.2). A server is asked when it first says something; until it has answered, and again once its
//! answer is old, what it says is taken out.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::{Cx, Origin};
use kim_core::error::Fault;
use kim_core::events::{Answer, Arrival, NoSuchAccount, ServiceArrival};
use kim_core::hook::{Flow, On};
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Caches, Shared};
use kim_core::random;
use kim_core::stanza::{IqType, Kind, PresenceType, Stanza};
use kim_core::wire::Writer;

use super::api::{PeerAffiliation, SaidOfSender};
use super::{IN_DIRECTED_PRESENCE, IN_MESSAGES, IN_SUBSCRIPTIONS, NS};
use crate::xep0030_disco::api::INFO;

/// Servers of which is remembered what they announced, some 200 bytes each.
const SERVERS_MAX: usize = 10_000;
/// An answer is good for so long.
const KNOWN_SECONDS: u64 = 12 * 3_600;
/// A server that does not answer, or announces nothing, is asked again after so long.
const ASKED_SECONDS: u64 = 600;

/// What a server has announced.
#[derive(Clone)]
struct Announcement {
    /// The id of the question, until it is answered.
    asked: Option<Arc<str>>,
    /// The stanzas in which its word counts.
    stanzas: Arc<[&'static str]>,
    /// Asked then.
    at: Timestamp,
}

impl Announcement {
    fn is_fresh(&self, now: Timestamp) -> bool {
        let seconds = match self.stanzas.is_empty() {
            true => ASKED_SECONDS,
            false => KNOWN_SECONDS,
        };
        now.seconds_since(self.at) < seconds
    }
}

/// What other servers have announced, by domain.
pub(super) struct OriginServers(Shared<String, Announcement>);

impl OriginServers {
    pub(super) fn new(caches: &Caches) -> OriginServers {
        OriginServers(Shared::new(caches, "affiliation.origins", SERVERS_MAX))
    }

    /// Whether the word of a server counts in this kind of stanza; it is asked if that is not known.
    fn is_trusted(&self, domain: &str, feature: &str, cx: &mut Cx) -> bool {
        if let Some(known) = self.0.get(domain).filter(|known| known.is_fresh(cx.received)) {
            return known.stanzas.contains(&feature);
        }
        // The answer is told from a forged one by an id that nobody else can know.
        let id: Arc<str> = random::token().into();
        let own = BareJid::new(None, cx.router().config().main_domain());
        let (Ok(own), Ok(there)) = (own, BareJid::new(None, domain)) else {
            return false;
        };
        let asked = Announcement {
            asked: Some(id.clone()),
            stanzas: Arc::new([]),
            at: cx.received,
        };
        self.0.put(domain, asked, self.0.mark(domain));
        let mut query = Writer::new();
        query.start("query", INFO).end();
        let question = Stanza::new(Kind::Iq(IqType::Get), &query.finish_string());
        cx.send(question.from(own).to(there).id(&*id));
        false
    }

    /// Leaves in a stanza what its sender's server may say about the sender, and takes out everything else.
    fn judge(&self, stanza: &mut Stanza, cx: &mut Cx) -> Option<PeerAffiliation> {
        if !matches!(cx.origin, Origin::Remote(_) | Origin::Component(_)) || !stanza.has("info", NS) {
            return None;
        }
        let from = stanza.from.clone()?;
        let read = only_info(stanza);
        let feature = feature_of(stanza);
        let is_trusted = match (feature, read) {
            (Some(feature), Some(_)) => self.is_trusted(from.domain(), feature, cx),
            _ => false,
        };
        // Nobody makes up what speaks against themselves: that needs no server's word.
        if let Some(said) = read.filter(|said| is_trusted || said.is_hardly_known(cx.received)) {
            cx.learn(SaidOfSender {
                sender: from.bare(),
                said,
            });
        }
        if !is_trusted && matches!(stanza.kind, Kind::Message(_) | Kind::Presence(_)) {
            stanza.remove(|child| child.is("info", NS));
        }
        read.filter(|_| is_trusted)
    }
}

/// The feature that has to be announced for this stanza (§6).
fn feature_of(stanza: &Stanza) -> Option<&'static str> {
    match stanza.kind {
        Kind::Message(_) => Some(IN_MESSAGES),
        Kind::Presence(PresenceType::Subscribe) => Some(IN_SUBSCRIPTIONS),
        Kind::Presence(PresenceType::Available) => Some(IN_DIRECTED_PRESENCE),
        _ => None,
    }
}

/// The one `<info/>` of a stanza; of two nobody knows which one is meant.
fn only_info(stanza: &Stanza) -> Option<PeerAffiliation> {
    let mut all = stanza.children().filter(|child| child.is("info", NS));
    let info = all.next().filter(|_| all.next().is_none())?;
    PeerAffiliation::read(info)
}

/// Sees what arrives from outside, before anybody goes by it.
pub(super) struct JudgeArriving(pub Arc<OriginServers>);

impl On<Arrival> for JudgeArriving {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        self.0.judge(&mut event.stanza, cx);
        Ok(Flow::Next)
    }
}

/// What is said to nobody is judged alike: the answer must not tell that nobody is there.
impl On<NoSuchAccount> for JudgeArriving {
    async fn on(&self, event: &mut NoSuchAccount, cx: &mut Cx) -> Result<Flow, Fault> {
        self.0.judge(&mut event.stanza, cx);
        Ok(Flow::Next)
    }
}

/// A service hears of it by the context alone: a room would pass the element on, and tell everybody in it how old somebody's
/// account is.
impl On<ServiceArrival> for JudgeArriving {
    async fn on(&self, event: &mut ServiceArrival, cx: &mut Cx) -> Result<Flow, Fault> {
        if self.0.judge(&mut event.stanza, cx).is_some() {
            event.stanza.remove(|child| child.is("info", NS));
        }
        Ok(Flow::Next)
    }
}

/// Hears what servers answer.
pub(super) struct HearOrigins(pub Arc<OriginServers>);

impl On<Answer> for HearOrigins {
    async fn on(&self, event: &mut Answer, _: &mut Cx) -> Result<Flow, Fault> {
        let (Some(domain), Some(id)) = (event.stanza.from.as_ref().and_then(domain_of), &event.stanza.id)
        else {
            return Ok(Flow::Next);
        };
        let servers = &self.0.0;
        let mark = servers.mark(domain);
        let asked = servers
            .get(domain)
            .filter(|known| known.asked.as_deref() == Some(id));
        let Some(mut known) = asked else {
            return Ok(Flow::Next);
        };
        known.asked = None;
        if event.stanza.kind == Kind::Iq(IqType::Result)
            && let Some(query) = event.stanza.child("query", INFO)
        {
            let says = |feature: &&'static str| {
                let mut features = query.children().filter(|child| child.is("feature", INFO));
                features.any(|child| child.attr("var").is_some_and(|var| var == *feature))
            };
            known.stanzas = [IN_SUBSCRIPTIONS, IN_DIRECTED_PRESENCE, IN_MESSAGES]
                .into_iter()
                .filter(says)
                .collect();
        }
        servers.put(domain, known, mark);
        Ok(Flow::Done)
    }
}

/// The domain of a server's own address.
fn domain_of(from: &Jid) -> Option<&str> {
    (from.local().is_none() && from.is_bare()).then(|| from.domain())
}
