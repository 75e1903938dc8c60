//! The way to another server: finding it, TLS, proving both sides, and trying again. One task for each pair of domains for
//! which something waits; a domain that hangs costs no other anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kim_core::config::Proof;
use kim_core::error::{Condition, StreamCondition};
use kim_core::ns;
use kim_core::random;
use kim_core::remote::{Remotes, has_expired};
use kim_core::wire::{Element, escape_value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::dialback::{self, Addresses, Dialback, Verdict};
use super::dns;
use super::exchange::{Chain, Side, live};
use super::hub::{Federation, Phase};
use super::life::{Counting, How, PeerEnd};
use super::pair::{Carrier, DomainPair, Item};
use super::reach::{ATTEMPT, Failed, HEAD_START, PeerGreeted, SecuredPeer, greet, secure};
use super::talk::{BIDI, SM, ServerTalk, TalkBroken};

/// Pauses after failures: the first, and the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(5);
const PAUSE_LONGEST: Duration = Duration::from_secs(900);
/// For so long at most nothing is tried for what cannot wait.
const CLOSED_LONGEST: Duration = Duration::from_secs(60);
/// A stream that lives shorter and carries nothing counts as a failure; so many in a row are tried at once.
const SHORT: Duration = Duration::from_secs(2);
const SHORT_MAX: u32 = 10;

/// A stream on which stanzas may be sent.
struct Proven {
    opened: PeerGreeted<TlsStream<TcpStream>>,
    bidi: bool,
    how: How,
}

/// Looks after a pair until nothing waits for it.
pub async fn run(hub: Arc<Federation>, pair: Arc<DomainPair>) {
    let mut failures = 0_u32;
    let mut short = 0_u32;
    while hub.phase() == Phase::Open && !pair.is_done() {
        let begun = Instant::now();
        let attempt = stream(&hub, &pair).await;
        if hub.phase() == Phase::Closing {
            return;
        }
        let failed = match attempt {
            Ok(sent) if sent > 0 || begun.elapsed() >= SHORT => {
                (failures, short) = (0, 0);
                continue;
            }
            Ok(_) if pair.is_done() => return,
            Ok(_) if short < SHORT_MAX => {
                short += 1;
                tokio::time::sleep(HEAD_START * short).await;
                continue;
            }
            Ok(_) => Failed::soon("the stream was closed at once"),
            Err(failed) => failed,
        };
        failures = failures.saturating_add(1);
        let pause = pause_after(failures);
        hub.failed(&pair.local, &pair.remote, &failed);
        pair.close_until(Instant::now() + pause.min(CLOSED_LONGEST), failed.condition);
        let now = hub.router().clock().now();
        let keep_hours = hub.settings().keep_hours;
        let may_send = hub.router().outbound().may_send();
        let gives_up = |item: &Item| match item.is_kept() {
            true => may_send && (failed.is_final || has_expired(item.received(), keep_hours, now)),
            false => true,
        };
        let mut absent = Vec::new();
        let late = match failed.is_final {
            true => failed.condition,
            false => Condition::RemoteServerTimeout,
        };
        for item in pair.give_up(gives_up) {
            let condition = if item.is_kept() { late } else { failed.condition };
            match item {
                Item::Here(outbound) => hub.returned(outbound, condition),
                Item::There(one) => absent.push(one),
            }
        }
        hub.returned_absent(absent, late);
        if let Some(suspended) = pair.take_suspended() {
            // A stream that cannot be reached cannot be resumed for ever.
            match suspended.until > Instant::now() {
                true => pair.suspend(suspended),
                false => {
                    pair.put_back(suspended.unconfirmed.into_iter());
                    continue;
                }
            }
        }
        if pair.is_done() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = pair.hurry.notified() => {}
            () = hub.reached(Phase::Closing) => return,
        }
    }
}

/// Longer with each failure, and never the same for all who wait for one server.
fn pause_after(failures: u32) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10));
    let share = 75 + u32::from(random::bytes::<1>()[0]) % 50;
    doubled.min(PAUSE_LONGEST) * share / 100
}

/// Opens a stream for a pair and lives it to its end. Tells how many stanzas went.
async fn stream(hub: &Arc<Federation>, pair: &Arc<DomainPair>) -> Result<u64, Failed> {
    // Once there is a stream, it ends by itself when the server stops, and in order.
    let (proven, secured_at, chain, certified) = tokio::select! {
        opened = open(hub, pair) => opened?,
        () = hub.reached(Phase::Closing) => return Err(Failed::soon("this server stops")),
    };
    let life = hub.begin(false, Some(secured_at));
    let Proven { opened, bidi, how } = proven;
    let PeerGreeted {
        mut talk,
        said,
        features,
    } = opened;
    life.bidi.store(bidi, Ordering::Release);
    {
        let mut state = life.state();
        state.stream_id = said.id.clone().unwrap_or_default();
        state.local = Some(pair.local.clone());
        state.remote = Some(pair.remote.clone());
    }
    let mut early = Vec::new();
    let managed = manage(hub, &mut talk, pair, features.sm, &mut early).await;
    let (counting, again) = match managed {
        Ok(managed) => managed,
        Err(broken) => {
            hub.bury(&life);
            return Err(Failed::from(broken));
        }
    };
    {
        let mut state = life.state();
        state.words.push_str(&again);
        state.counting = counting;
        state.pairs.push(pair.clone());
    }
    // Whoever is reached by DNS alone may speak only where that is enough.
    if bidi && (certified || hub.settings().proof_of(&pair.remote) == Proof::Dialback) {
        life.prove(
            &pair.remote,
            if certified {
                How::Certificate
            } else {
                How::Dialback
            },
        );
    }
    let carrier = Carrier {
        id: life.id,
        ready: life.ready.clone(),
    };
    tracing::info!(
        event = "s2s_connected",
        from = &*pair.local,
        to = &*pair.remote,
        address = %secured_at,
        proof = how.as_str(),
        certified,
        bidi
    );
    let attached = pair.attach(carrier);
    let (io, mut reader, input) = talk.into_parts();
    reader.set_limits(hub.wire_after_proof());
    if !attached {
        life.end(PeerEnd::Closed);
    }
    let side = Side {
        incoming: None,
        chain,
        early,
        max_bytes: features.max_bytes,
    };
    live(hub, &life, io, reader, input, side).await;
    Ok(life.sent.load(Ordering::Relaxed))
}

/// Elements that may come before stream management is agreed on.
const EARLY_MAX: usize = 1_000;

/// Agrees on stream management, and resumes a stream that was cut (XEP-0198 §3, §5). Gives what must be sent again. What else
/// comes meanwhile is put into `early`.
async fn manage<S>(
    hub: &Federation,
    talk: &mut ServerTalk<S>,
    pair: &Arc<DomainPair>,
    offered: bool,
    early: &mut Vec<Element>,
) -> Result<(Option<Counting>, String), TalkBroken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let suspended = pair.take_suspended();
    if !offered {
        if let Some(suspended) = suspended {
            pair.put_back(suspended.unconfirmed.into_iter());
        }
        return Ok((None, String::new()));
    }
    if let Some(mut suspended) = suspended {
        let mut words = format!("<resume xmlns='{SM}' h='{}' previd='", suspended.handled);
        escape_value(&mut words, &suspended.id);
        words.push_str("'/>");
        let answer = match timeout(ATTEMPT, ask(talk, &words, early)).await {
            Ok(Ok(answer)) => answer,
            failed => {
                pair.suspend(suspended);
                return Err(failed.map_or(TalkBroken::Closed, |failed| {
                    failed.err().unwrap_or(TalkBroken::Closed)
                }));
            }
        };
        let h: Option<u32> = answer.attr("h").and_then(|h| h.parse().ok());
        let news = h.map_or(0, |h| h.wrapping_sub(suspended.confirmed));
        let news = usize::try_from(news).unwrap_or(usize::MAX);
        if news <= suspended.unconfirmed.len() {
            let confirmed = suspended.unconfirmed.drain(..news);
            confirmed.for_each(|outbound| hub.delivered(&outbound));
        }
        if answer.name() == "resumed" {
            let mut counting = Counting::new(Some(suspended.id));
            counting.handled = suspended.handled;
            counting.confirmed = h.unwrap_or(suspended.confirmed);
            let again = suspended.unconfirmed.iter();
            let mut again: String = again.map(|outbound| outbound.stanza.to_xml()).collect();
            let kept = suspended.unconfirmed.into_iter();
            counting.unconfirmed = kept.map(|outbound| (pair.clone(), outbound)).collect();
            if counting.must_ask() {
                again.push_str(&format!("<r xmlns='{SM}'/>"));
            }
            return Ok((Some(counting), again));
        }
        pair.put_back(suspended.unconfirmed.into_iter());
    }
    let words = format!("<enable xmlns='{SM}' resume='true'/>");
    let answer = timeout(ATTEMPT, ask(talk, &words, early)).await;
    let answer = answer.unwrap_or(Err(TalkBroken::Closed))?;
    let counting = (answer.name() == "enabled").then(|| {
        let is_resumable = matches!(answer.attr("resume").as_deref(), Some("true" | "1"));
        let id = answer.attr("id").filter(|_| is_resumable);
        Counting::new(id.map(|id| id.into_owned()))
    });
    Ok((counting, String::new()))
}

/// Asks something of stream management, and gives the answer.
async fn ask<S>(
    talk: &mut ServerTalk<S>,
    words: &str,
    early: &mut Vec<Element>,
) -> Result<Element, TalkBroken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    talk.say(words).await?;
    loop {
        let element = talk.element().await?;
        match (element.ns(), element.name()) {
            (SM, "enabled" | "resumed" | "failed") => return Ok(element),
            _ if early.len() >= EARLY_MAX => return Err(StreamCondition::PolicyViolation.into()),
            _ => early.push(element),
        }
    }
}

/// Tries the servers of a domain, one after another, until one accepts the pair.
async fn open(hub: &Federation, pair: &DomainPair) -> Result<(Proven, SocketAddr, Chain, bool), Failed> {
    if let Some(condition) = hub.refusal(&pair.remote) {
        return Err(Failed {
            condition,
            is_final: true,
            why: "this server does not talk to it".to_owned(),
        });
    }
    let targets = dns::targets(&*hub.lookup, &pair.remote, hub.settings()).await?;
    let mut last: Option<Failed> = None;
    for target in targets {
        let attempt = async {
            let secured = secure(hub, &pair.local, &pair.remote, &target).await?;
            let (address, chain) = (secured.address, secured.chain.clone());
            let certified = secured.certified.is_ok();
            let proven = prove(hub, pair, secured).await?;
            Ok::<_, Failed>((proven, address, chain, certified))
        };
        let failed = match timeout(ATTEMPT, attempt).await {
            Ok(Ok(open)) => return Ok(open),
            Ok(Err(failed)) => failed,
            Err(_) => Failed::soon("no answer in time"),
        };
        let why = format!("{}:{}: {}", target.host, target.port, failed.why);
        last = Some(match last {
            None => Failed { why, ..failed },
            Some(before) => Failed {
                // What may still change with one server is worth trying again.
                is_final: before.is_final && failed.is_final,
                condition: if before.is_final {
                    failed.condition
                } else {
                    before.condition
                },
                why: format!("{}; {why}", before.why),
            },
        });
    }
    Err(last.unwrap_or_else(|| Failed::soon("no server")))
}

/// Proves our domain to the other server, once its own is proved as far as the configuration wants it.
async fn prove(hub: &Federation, pair: &DomainPair, secured: SecuredPeer) -> Result<Proven, Failed> {
    let SecuredPeer { talk, certified, .. } = secured;
    if let (Err(unproven), Proof::Certificate) = (&certified, hub.settings().proof_of(&pair.remote)) {
        talk.end(None).await;
        return Err(Failed::soon(unproven.to_string()));
    }
    proven(hub, pair, talk).await.map_err(|broken| match broken {
        Refused::TalkBroken(broken) => Failed::from(broken),
        Refused::Dialback(condition, why) => Failed {
            condition,
            is_final: false,
            why,
        },
    })
}

enum Refused {
    TalkBroken(TalkBroken),
    Dialback(Condition, String),
}

impl<T: Into<TalkBroken>> From<T> for Refused {
    fn from(broken: T) -> Refused {
        Refused::TalkBroken(broken.into())
    }
}

async fn proven(
    hub: &Federation,
    pair: &DomainPair,
    talk: ServerTalk<TlsStream<TcpStream>>,
) -> Result<Proven, Refused> {
    let PeerGreeted {
        mut talk,
        said,
        features,
    } = greet(talk, &pair.local, &pair.remote).await?;
    if features.bidi {
        talk.say(&format!("<bidi xmlns='{BIDI}'/>")).await?;
    }
    let mut refusal = String::new();
    if features.external {
        let name = STANDARD.encode(pair.local.as_bytes());
        talk.say(&format!(
            "<auth xmlns='{}' mechanism='EXTERNAL'>{name}</auth>",
            ns::SASL
        ))
        .await?;
        let answer = talk.element().await?;
        if answer.is("success", ns::SASL) {
            talk.restart();
            let again = greet(talk, &pair.local, &pair.remote).await?;
            return Ok(Proven {
                opened: PeerGreeted {
                    talk: again.talk,
                    said: again.said,
                    features: again.features,
                },
                bidi: features.bidi,
                how: How::Certificate,
            });
        }
        refusal = answer
            .children()
            .next()
            .map(|why| why.name().to_owned())
            .unwrap_or_default();
    }
    let addresses = Addresses {
        from: pair.local.to_string(),
        to: pair.remote.to_string(),
    };
    let id = said.id.clone().unwrap_or_default();
    let key = hub.secret.key(&pair.remote, &pair.local, &id);
    talk.say(&dialback::key(&addresses, &key)).await?;
    let verdict = loop {
        let element = talk.element().await?;
        match Dialback::read(&element) {
            // Only the answer to what was asked counts (XEP-0220 §3.1).
            Some(Ok(Dialback::Result(answered, verdict))) if answered == addresses.swapped() => {
                break verdict;
            }
            Some(Ok(Dialback::Question(asked, id, key))) => {
                let verdict = hub.recognise(&asked, &id, &key);
                talk.say(&dialback::answer(&asked.swapped(), &id, &verdict))
                    .await?;
            }
            _ => {}
        }
    };
    let what = match verdict {
        Verdict::Valid => {
            return Ok(Proven {
                opened: PeerGreeted {
                    talk,
                    said,
                    features: features.clone(),
                },
                bidi: features.bidi,
                how: How::Dialback,
            });
        }
        // XEP-0220 §2.1.1 names what the senders get.
        Verdict::Invalid => (
            Condition::InternalServerError,
            "the other server calls our key invalid".to_owned(),
        ),
        Verdict::Error(condition) => (
            Condition::RemoteServerTimeout,
            format!(
                "the other server does not accept our dialback: {}",
                condition.map_or("unknown", Condition::as_str)
            ),
        ),
    };
    talk.end(None).await;
    let why = match refusal.is_empty() {
        true => what.1,
        false => format!("{}; it refused our certificate: {refusal}", what.1),
    };
    Err(Refused::Dialback(what.0, why))
}
