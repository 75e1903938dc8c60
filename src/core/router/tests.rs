//! Stories of the border: what other servers may say here, what leaves for them, who is told of what waits.

use std::sync::{Arc, Mutex};

use crate::clock::Timestamp;
use crate::config::NoSettings;
use crate::cx::Cx;
use crate::error::{Condition, Fault, StreamCondition};
use crate::events::{Arrival, Keeping, Leaving, Undelivered, Verdict, Waits};
use crate::hook::{Flow, Hear, Notice, On, Stage};
use crate::module::{Entry, Module, Registrar, Spec};
use crate::router::Destination;
use crate::session::{Life, Step, Terms};
use crate::testing::House;

type Notes = Arc<Mutex<Vec<String>>>;

/// Messages reach all sessions of an account; those that find none are kept. Notes what leaves and what waits.
#[derive(Clone, Default)]
struct Watch(Notes);

impl Watch {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl On<Arrival> for Watch {
    async fn on(&self, arrival: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let sessions = cx.router().sessions_of(&arrival.account).await;
        arrival.verdict = match sessions.is_empty() {
            true => Verdict::Nobody,
            false => Verdict::Chosen(sessions),
        };
        Ok(Flow::Next)
    }
}

impl On<Leaving> for Watch {
    async fn on(&self, leaving: &mut Leaving, _: &mut Cx) -> Result<Flow, Fault> {
        assert_eq!(leaving.to, Destination::Remote);
        let id = leaving.stanza.id.as_deref().unwrap_or("nameless");
        self.note(format!("{id} leaves"));
        match id {
            "secret" => Err(Condition::PolicyViolation.into()),
            "silent" => Ok(Flow::Done),
            _ => Ok(Flow::Next),
        }
    }
}

impl Hear<Undelivered> for Watch {
    async fn hear(&self, undelivered: &mut Undelivered, _: &mut Cx) -> Result<(), Fault> {
        undelivered.keeping = Keeping::Stored;
        Ok(())
    }
}

impl Hear<Waits> for Watch {
    async fn hear(&self, waits: &mut Waits, _: &mut Cx) -> Result<(), Fault> {
        let id = waits.stanza.id.as_deref().unwrap_or("nameless");
        match &waits.session {
            Some(session) => self.note(format!("{id} waits in {}", session.jid)),
            None => self.note(format!("{id} waits for {}", waits.account)),
        }
        Ok(())
    }
}

/// What the watch of the running test noted. Tests run at the same time: each has a thread of its own.
fn watch() -> Watch {
    thread_local!(static WATCH: Watch = Watch::default());
    WATCH.with(Watch::clone)
}

struct Watching;

impl Module for Watching {
    type Config = NoSettings;
    const NAME: &'static str = "xep0001_watching";
    const SPECS: &'static [Spec] = &[Spec::complete("TEST", "Test", "")];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.on::<Arrival>(Stage::Deliver, watch());
        house.on::<Leaving>(Stage::Admit, watch());
        house.hear::<Undelivered>(Stage::Store, watch());
        house.hear::<Waits>(Stage::Notify, watch());
        house.hear::<Roll>(Stage::Notify, Second);
        house.hear::<Roll>(Stage::Store, First);
        Ok(())
    }
}

async fn house() -> House {
    House::new(&[Entry::of::<Watching>()]).await
}

#[tokio::test]
async fn people_on_two_servers_write_to_each_other() {
    let house = house().await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    alice
        .send("<message id='m1' to='romeo@example.org' type='chat'><body>hi</body></message>")
        .await;
    there.expect(
        "<message id='m1' to='romeo@example.org' type='chat' from='alice@localhost/phone'><body>hi</body></message>",
    );
    let answer =
        "<message id='m2' from='romeo@example.org/orchard' to='alice@localhost'><body>ho</body></message>";
    assert_eq!(there.send(answer).await, None);
    alice.expect(answer);
    assert_eq!(watch().taken(), ["m1 leaves"]);
}

#[tokio::test]
async fn a_server_speaks_for_its_own_domain_and_to_ours_alone() {
    let house = house().await;
    let mut there = house.neighbour("example.org");
    for (stanza, closing) in [
        (
            "<message from='a@example.net' to='alice@localhost'/>",
            StreamCondition::InvalidFrom,
        ),
        (
            "<message from='a@sub.example.org' to='alice@localhost'/>",
            StreamCondition::InvalidFrom,
        ),
        (
            "<message from='alice@localhost' to='alice@localhost'/>",
            StreamCondition::InvalidFrom,
        ),
        (
            "<message from='a@example.org' to='b@example.net'/>",
            StreamCondition::HostUnknown,
        ),
        (
            "<message from='a@example.org' to='b@example.org'/>",
            StreamCondition::HostUnknown,
        ),
        (
            "<message from='a@example.org'/>",
            StreamCondition::ImproperAddressing,
        ),
        (
            "<message to='alice@localhost'/>",
            StreamCondition::ImproperAddressing,
        ),
        (
            "<iq id='1' type='wrong' from='a@example.net' to='localhost'/>",
            StreamCondition::InvalidFrom,
        ),
        (
            "<stanza xmlns='urn:unknown'/>",
            StreamCondition::UnsupportedStanzaType,
        ),
    ] {
        let error = there
            .send(stanza)
            .await
            .unwrap_or_else(|| panic!("{stanza} was taken"));
        assert_eq!(error.condition, closing, "{stanza}");
    }
    there.expect_nothing();
    // A server that claims one of our own names is not believed, whatever it has proved.
    let mut twin = house.neighbour("localhost");
    let error = twin
        .send("<message from='a@localhost' to='alice@localhost'/>")
        .await;
    assert_eq!(
        error.map(|error| error.condition),
        Some(StreamCondition::InvalidFrom)
    );
}

#[tokio::test]
async fn a_request_from_elsewhere_is_answered_there() {
    let house = house().await;
    let mut there = house.neighbour("example.org");
    there
        .send("<iq id='1' type='get' from='a@example.org/r' to='localhost'><query xmlns='urn:unknown'/></iq>")
        .await;
    there.expect("<iq id='1' type='error' from='localhost' to='a@example.org/r'>...<error type='cancel'>...</error></iq>");
    there
        .send("<iq id='2' type='wrong' from='a@example.org/r' to='localhost'/>")
        .await;
    there.expect("<iq id='2' type='error' from='localhost' to='a@example.org/r'>...</iq>");
}

#[tokio::test]
async fn nothing_leaves_without_being_asked_about() {
    let house = house().await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    alice.send("<message id='secret' to='romeo@example.org'/>").await;
    alice.expect(
        "<message id='secret' type='error' from='romeo@example.org' to='alice@localhost/phone'>...</message>",
    );
    alice.send("<message id='silent' to='romeo@example.org'/>").await;
    alice.expect_nothing();
    there.expect_nothing();
    // The server's own words pass there too.
    let mut cx = house.router.cx().unwrap();
    let kind = crate::stanza::Kind::Iq(crate::stanza::IqType::Get);
    let ask = crate::stanza::Stanza::new(kind, "").from(crate::jid::Jid::parse("localhost").unwrap());
    cx.send(ask.to(crate::jid::Jid::parse("example.org").unwrap()));
    house.router.finish(cx).await;
    assert_eq!(
        watch().taken(),
        ["secret leaves", "silent leaves", "nameless leaves"]
    );
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_an_error_for_whoever_waits_for_an_answer() {
    let house = house().await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let error = "<message id='1' type='error' from='romeo@example.org' to='alice@localhost/phone'><error type='cancel' \
                 code='404'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
    alice.send("<message id='1' to='romeo@example.org'/>").await;
    alice.expect(error);
    let there = house.neighbour("example.org");
    there.disappear();
    alice.send("<message id='1' to='romeo@example.org'/>").await;
    alice.expect(error);
    assert_eq!(watch().taken(), [""; 0]);
}

#[tokio::test]
async fn what_waits_is_told_once_it_is_stored() {
    let house = house().await;
    let mut alice = house.connect("alice@localhost/phone").await;
    house.account("bob@localhost").await;
    alice.send("<message id='1' to='bob@localhost'/>").await;
    assert_eq!(watch().taken(), ["1 waits for bob@localhost"]);
    let mut bob = house.connect("bob@localhost/laptop").await;
    alice.send("<message id='2' to='bob@localhost'/>").await;
    assert_eq!(watch().taken(), [""; 0]);
    let terms = Terms {
        request: "<r/>".into(),
        stanzas_max: 10,
        bytes_max: 10_000,
    };
    bob.session.begin_tally(0).unwrap();
    bob.session.outbox.keep("<enabled/>".into(), terms);
    bob.skip();
    bob.session.tally().unwrap().make_resumable(60);
    assert!(house.router.park(&bob.session).await);
    alice.send("<message id='3' to='bob@localhost'/>").await;
    assert_eq!(watch().taken(), ["3 waits in bob@localhost/laptop"]);
    alice.expect_nothing();
}

// ——— notices ———

#[derive(Default)]
struct Roll(Vec<&'static str>);

impl Notice for Roll {
    const NAME: &'static str = "roll";
}

struct First;

impl Hear<Roll> for First {
    async fn hear(&self, roll: &mut Roll, _: &mut Cx) -> Result<(), Fault> {
        roll.0.push("first");
        Err(Condition::NotAllowed.into())
    }
}

struct Second;

impl Hear<Roll> for Second {
    async fn hear(&self, roll: &mut Roll, _: &mut Cx) -> Result<(), Fault> {
        roll.0.push("second");
        Ok(())
    }
}

#[tokio::test]
async fn nobody_keeps_a_notice_from_others() {
    let house = house().await;
    let mut cx = house.router.cx().unwrap();
    let mut roll = Roll::default();
    let told = house.router.tell(&mut roll, &mut cx).await;
    assert_eq!(roll.0, ["first", "second"]);
    assert!(matches!(told, Err(Fault::Stanza(error)) if error.condition() == Condition::NotAllowed));
}

// ——— the life of a session ———

#[test]
fn a_session_goes_from_one_state_to_another_by_these_steps_alone() {
    let at = Timestamp(1);
    let steps = [Step::Park(at), Step::Claim, Step::Resume, Step::End];
    for (from, table) in [
        (
            Life::Connected,
            [Some(Life::Parked), Some(Life::Moving), None, Some(Life::Ended)],
        ),
        (
            Life::Parked,
            [None, Some(Life::Moving), Some(Life::Connected), Some(Life::Ended)],
        ),
        (
            Life::Moving,
            [Some(Life::Parked), None, Some(Life::Connected), Some(Life::Ended)],
        ),
        (Life::Ended, [None, None, None, None]),
    ] {
        for (step, to) in steps.into_iter().zip(table) {
            assert_eq!(from.after(step), to, "{from:?} {step:?}");
        }
    }
}

#[tokio::test]
async fn what_has_ended_cannot_be_parked_claimed_or_resumed() {
    let house = house().await;
    let alice = house.connect("alice@localhost/phone").await;
    let session = alice.session.clone();
    assert_eq!(session.step(Step::Park(Timestamp(7))), Some(Life::Parked));
    assert_eq!(session.parked_at(), Some(7));
    assert_eq!(session.step(Step::Claim), Some(Life::Moving));
    assert!(session.is_parked(), "nothing is written yet");
    alice.disconnect().await;
    assert!(session.has_left() && !session.is_parked());
    for step in [Step::Park(Timestamp(8)), Step::Claim, Step::Resume, Step::End] {
        assert_eq!(session.step(step), None);
    }
    let resumed = house.router.resume(&session, 0).await;
    assert_eq!(
        resumed.map_err(|error| error.condition),
        Err(StreamCondition::Conflict)
    );
}
