//! Login on a secured stream: SASL as RFC 6120 §6 has it, and what may be asked before it (in-band registration).

use std::time::Instant;

use kim_core::accounts::Epoch;
use kim_core::error::{StanzaError, StreamCondition, StreamError};
use kim_core::events::{BeforeLogin, Early};
use kim_core::jid::BareJid;
use kim_core::ns;
use kim_core::random;
use kim_core::router::Destination;
use kim_core::stanza::{IqType, Kind, NotAStanza, Stanza};
use kim_core::wire::{Element, Writer};

use super::bind::{Authenticated, early};
use super::end::{End, unexpected};
use super::features;
use super::guesses::Turn;
use super::places::short;
use super::sasl::{self, Conditions, Identity, Lookup, Offer, Pending, SaslFailure, Step};
use super::secured::{Secured, proceed};
use super::stream::Stream;

/// What one try led to.
enum Try {
    /// With the password that was proved; guests prove none.
    Success(Identity, Option<Epoch>),
    /// No password was looked at.
    Failure(SaslFailure),
    /// The password of this account was guessed, and the guess is wrong.
    Wrong(BareJid),
}

/// The tries of one stream that failed.
#[derive(Default)]
struct Tries {
    failed: u32,
    /// Whose passwords were guessed, once for each guess.
    wrong: Vec<BareJid>,
}

impl Tries {
    /// Wrong guesses at the password of an account.
    fn wrong_at(&self, account: &BareJid) -> u32 {
        let wrong = self.wrong.iter().filter(|wrong| *wrong == account).count();
        u32::try_from(wrong).unwrap_or(u32::MAX)
    }
}

impl Secured {
    /// Serves the stream until somebody has proved who they are.
    pub(super) async fn authenticate(mut self, stream: &mut Stream) -> Result<Authenticated, End> {
        'stream: loop {
            let domain = stream.open().await?;
            let offer = self.offer(stream, &domain);
            let mut offered = features::before_login(&stream.door.router, domain.as_str(), &offer);
            if stream.link.may_start_tls() {
                offered.insert_str(0, &features::starttls(false));
            }
            stream.answer(&domain, &offered).await?;
            let mut tries = Tries::default();
            loop {
                let element = stream.element().await?;
                if element.is("auth", ns::SASL) {
                    let wanted = wanted(&element);
                    match exchange(stream, &offer, &element, &tries).await? {
                        Try::Success(identity, epoch) => {
                            return authenticated(stream, domain, identity, epoch).await;
                        }
                        Try::Failure(failure) => {
                            stream.door.login_refused();
                            failed(stream, failure, &wanted, &mut tries).await?;
                        }
                        Try::Wrong(account) => {
                            tries.wrong.push(account);
                            failed(stream, SaslFailure::NotAuthorized, &wanted, &mut tries).await?;
                        }
                    }
                } else if element.is("starttls", ns::TLS) && stream.link.may_start_tls() {
                    self = proceed(stream).await?;
                    continue 'stream;
                } else if element.ns() == ns::SASL {
                    // A response or an abort outside an exchange.
                    stream.door.login_refused();
                    failed(stream, SaslFailure::MalformedRequest, "none", &mut tries).await?;
                } else {
                    before_login(stream, &domain, element).await?;
                }
            }
        }
    }

    fn offer(&self, stream: &Stream, domain: &BareJid) -> Offer {
        let router = &stream.door.router;
        let conditions = Conditions {
            encrypted: stream.link.is_secure(),
            guests: router.destination(domain.as_str()) == Destination::Guests,
            plain: router.config().c2s.plain,
            sha1: true,
            downgrade_hash: true,
        };
        Offer::new(domain.as_str(), conditions, self.bindings.clone())
    }
}

/// One try, from `<auth/>` to its end.
async fn exchange(stream: &mut Stream, offer: &Offer, auth: &Element, tries: &Tries) -> Result<Try, End> {
    if !stream.door.failures.allows(stream.place.origin(), Instant::now()) {
        return Ok(Try::Failure(SaslFailure::TemporaryAuthFailure));
    }
    let mechanism = auth.attr("mechanism").unwrap_or_default();
    let mut step = match sasl::decode_initial(&auth.text()) {
        Ok(initial) => offer.start(&mechanism, initial.as_ref().map(|bytes| bytes.as_slice())),
        Err(failure) => Step::Failure(failure),
    };
    // What is judged, of which account, and by which password.
    let (mut turn, mut epoch) = (None, None);
    loop {
        step = match step {
            Step::Challenge { data, then } => challenge(stream, &data, then, &mut turn).await?,
            Step::NeedKeys(lookup) => keys(stream, lookup, &mut turn, &mut epoch).await,
            Step::Failure(failure) => return Ok(Try::Failure(failure)),
            Step::Wrong => {
                let Some(turn) = turn.take() else {
                    // Nothing is judged without a turn.
                    return Ok(Try::Failure(SaslFailure::TemporaryAuthFailure));
                };
                let account = turn.account().clone();
                stream.door.guessed(turn, Instant::now());
                return Ok(Try::Wrong(account));
            }
            Step::Success {
                identity,
                additional_data,
            } => {
                let mut xml = Writer::new();
                xml.start("success", ns::SASL);
                if let Some(data) = additional_data {
                    xml.text(&sasl::encode(&data));
                }
                xml.end();
                if let Some(turn) = turn.take() {
                    // Nobody pays for mistakes made on the way to their own account.
                    let mistakes = tries.wrong_at(turn.account());
                    stream.door.failures.give_back(turn.origin(), mistakes);
                    turn.succeeded(mistakes);
                }
                stream.send(&xml.finish_string()).await?;
                return Ok(Try::Success(identity, epoch));
            }
        }
    }
}

/// The mechanism that a client wants, for the log: nothing is written there that could not be one (RFC 4422 §3.1).
pub(super) fn wanted(auth: &Element) -> String {
    let is_of_names = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    match auth.attr("mechanism") {
        Some(name) if (1..=20).contains(&name.len()) && name.bytes().all(is_of_names) => name.into_owned(),
        _ => "none".to_owned(),
    }
}

/// Sends a challenge and gives the client's response to what waits for it.
async fn challenge(
    stream: &mut Stream,
    data: &[u8],
    then: Pending,
    turn: &mut Option<Turn>,
) -> Result<Step, End> {
    let mut xml = Writer::new();
    xml.start("challenge", ns::SASL).text(&sasl::encode(data)).end();
    stream.send(&xml.finish_string()).await?;
    let element = stream.element().await?;
    if element.is("abort", ns::SASL) {
        return Ok(Step::Failure(SaslFailure::Aborted));
    }
    if !element.is("response", ns::SASL) {
        // RFC 6120 §6.4.3: nothing else belongs here.
        return if element.ns() == ns::SASL {
            Ok(Step::Failure(SaslFailure::MalformedRequest))
        } else {
            Err(unexpected(element.ns()))
        };
    }
    Ok(match sasl::decode(&element.text()) {
        Ok(response) => match then.account() {
            Some(account) if !may_be_judged(stream, account, turn).await => {
                Step::Failure(SaslFailure::TemporaryAuthFailure)
            }
            _ => then.respond(&response),
        },
        Err(failure) => Step::Failure(failure),
    })
}

/// Waits for a turn at an account's password, as long as it takes; false if too many others wait.
async fn may_be_judged(stream: &Stream, account: &BareJid, turn: &mut Option<Turn>) -> bool {
    *turn = stream.door.turn_at(account, stream.place.origin()).await;
    turn.is_some()
}

/// Finds the keys of an account, or such as nobody can tell from real ones. What takes milliseconds of CPU is done
/// elsewhere, and only so much of it at a time.
async fn keys(stream: &Stream, lookup: Lookup, turn: &mut Option<Turn>, epoch: &mut Option<Epoch>) -> Step {
    let door = &stream.door;
    // With SCRAM nothing is judged yet.
    if lookup.is_heavy() && !may_be_judged(stream, lookup.account(), turn).await {
        return Step::Failure(SaslFailure::TemporaryAuthFailure);
    }
    let keys = match door
        .router
        .accounts()
        .keys_or_fake(lookup.account(), lookup.hash())
        .await
    {
        Ok((keys, of_keys)) => {
            *epoch = Some(of_keys);
            keys
        }
        Err(error) => {
            tracing::error!(event = "login_lookup_failed", account = %lookup.account(), %error);
            return Step::Failure(SaslFailure::TemporaryAuthFailure);
        }
    };
    if !lookup.is_heavy() {
        return lookup.supply(&keys);
    }
    let Ok(_turn) = door.hashing.acquire().await else {
        return Step::Failure(SaslFailure::TemporaryAuthFailure);
    };
    let judged = tokio::task::spawn_blocking(move || lookup.supply(&keys)).await;
    judged.unwrap_or(Step::Failure(SaslFailure::TemporaryAuthFailure))
}

/// Tells the client that its try failed, and ends the stream when that were too many.
async fn failed(
    stream: &mut Stream,
    failure: SaslFailure,
    wanted: &str,
    tries: &mut Tries,
) -> Result<(), End> {
    tries.failed += 1;
    let from = short(stream.address);
    tracing::info!(event = "login_failed", %from, reason = failure.condition(), wanted, tries = tries.failed);
    let mut xml = Writer::new();
    xml.start("failure", ns::SASL)
        .start(failure.condition(), ns::SASL)
        .end()
        .end();
    stream.send(&xml.finish_string()).await?;
    if tries.failed >= stream.door.router.limits().sasl_tries_per_stream_max {
        return Err(StreamError::new(StreamCondition::PolicyViolation)
            .text("too many failed logins; try again later")
            .into());
    }
    Ok(())
}

/// The stream belongs to somebody now; a new one follows on the same connection.
async fn authenticated(
    stream: &mut Stream,
    domain: BareJid,
    identity: Identity,
    epoch: Option<Epoch>,
) -> Result<Authenticated, End> {
    let (account, epoch) = match identity {
        // Without keys there is no proof.
        Identity::Account(account) => (account, Some(epoch.ok_or(StreamCondition::InternalServerError)?)),
        Identity::Guest => {
            let guest = BareJid::new(Some(&random::token()), domain.as_str());
            (guest.map_err(|_| StreamCondition::InternalServerError)?, None)
        }
    };
    let guest = epoch.is_none();
    stream.door.counters.logged_in();
    stream.place.authenticated();
    stream.restart();
    tracing::info!(event = "logged_in", %account, guest, from = %short(stream.address));
    Ok(Authenticated::new(account, epoch))
}

/// Offers an early iq to the modules (XEP-0077 §3); anything else ends the stream.
async fn before_login(stream: &mut Stream, domain: &BareJid, element: Element) -> Result<(), End> {
    let (stanza, refused) = match Stanza::from_element(element) {
        Ok(stanza) => (stanza, None),
        Err(NotAStanza::Refused(stanza, error)) => (*stanza, Some(error)),
        Err(NotAStanza::Unsupported(element)) => {
            return match early(stream, None, *element).await? {
                Early::Answered(xml) => stream.send(&xml).await,
                _ => Err(StreamCondition::InternalServerError.into()),
            };
        }
    };
    if !matches!(stanza.kind, Kind::Iq(IqType::Get | IqType::Set)) || !stream.link.is_secure() {
        return Err(StreamCondition::NotAuthorized.into());
    }
    let reply = match refused {
        Some(error) => StanzaError::answer(&error, &stanza),
        None => {
            let event = BeforeLogin {
                stanza,
                domain: domain.as_str().to_owned(),
                address: stream.address,
                facts: stream.facts.clone(),
                reply: None,
            };
            stream.door.router.clone().before_login(event).await
        }
    };
    let Some(reply) = reply else {
        return Err(StreamCondition::NotAuthorized.into());
    };
    stream.send(&reply.to_xml()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_the_mechanism_that_was_wanted_and_nothing_else() {
        for (written, logged) in [
            ("mechanism='PLAIN'", "PLAIN"),
            ("mechanism='SCRAM-SHA-512-PLUS'", "SCRAM-SHA-512-PLUS"),
            ("mechanism='X-OAUTH2'", "X-OAUTH2"),
            ("", "none"),
            ("mechanism=''", "none"),
            ("mechanism='alice secret'", "none"),
            ("mechanism='PLAIN&#10;event=logged_in'", "none"),
            ("mechanism='ABCDEFGHIJKLMNOPQRSTU'", "none"),
        ] {
            let auth = Element::parse(&format!("<auth xmlns='{}' {written}/>", ns::SASL)).unwrap();
            assert_eq!(wanted(&auth), logged, "{written}");
        }
    }
}
