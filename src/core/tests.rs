//! Stories of the house itself: in which order hooks run, what a forged sender gets, what a full outbox and a failed
//! commit lead to. The modules here are made for the tests.

use std::sync::{Arc, Mutex};

use crate::config::NoSettings;
use crate::cx::Cx;
use crate::db::{BoxFuture, Db, DbError, DbOptions, Query, SinkRow, Tx};
use crate::error::{Condition, Fault, StreamCondition};
use crate::events::{Arrival, Delivery, Departure, Keeping, Nonza, SessionEnded, Undelivered, Verdict};
use crate::hook::{Event, Flow, Hear, On, Stage};
use crate::module::{At, Entry, HandleIq, Module, Registrar, Reply, Request, Spec, Startup};
use crate::stanza::{IqType, Kind, MessageType, Stanza};
use crate::testing::House;

const SPEC: &[Spec] = &[Spec::complete("TEST", "Test", "")];

/// Declares a module of a test: its name and what it registers.
macro_rules! module {
    ($module:ident, $name:literal, |$house:ident| $register:block) => {
        struct $module;
        impl Module for $module {
            type Config = NoSettings;
            const NAME: &'static str = $name;
            const SPECS: &'static [Spec] = SPEC;
            fn register(_: NoSettings, $house: &mut Registrar<'_>) -> Result<(), Fault> {
                $register
                Ok(())
            }
        }
    };
}

/// Delivers every message to all sessions of its account.
struct ToAll;

impl On<Arrival> for ToAll {
    async fn on(&self, arrival: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let sessions = cx.router().sessions_of(&arrival.account).await;
        arrival.verdict = if sessions.is_empty() {
            Verdict::Nobody
        } else {
            Verdict::Chosen(sessions)
        };
        Ok(Flow::Next)
    }
}

module!(Im, "xep0001_im", |house| {
    house.on::<Arrival>(Stage::Deliver, ToAll);
});

// ——— hooks ———

#[derive(Default)]
struct Roll(Vec<&'static str>);

impl Event for Roll {
    const NAME: &'static str = "roll";
}

struct Answer(&'static str, Flow);

impl On<Roll> for Answer {
    async fn on(&self, roll: &mut Roll, _: &mut Cx) -> Result<Flow, Fault> {
        roll.0.push(self.0);
        Ok(self.1)
    }
}

module!(First, "xep0001_first", |house| {
    house.on::<Roll>(Stage::Notify, Answer("first notify", Flow::Next));
    house.on::<Roll>(Stage::Copy, Answer("first copy", Flow::Done));
    house.on::<Roll>(Stage::Admit, Answer("first admit", Flow::Next));
});
module!(Second, "xep0002_second", |house| {
    house.on::<Roll>(Stage::Admit, Answer("second admit", Flow::Next));
    house.on::<Roll>(Stage::Stamp, Answer("second stamp", Flow::Next));
});

#[tokio::test]
async fn hooks_run_by_stage_then_by_module_until_one_is_done() {
    let house = House::new(&[Entry::of::<First>(), Entry::of::<Second>()]).await;
    let mut roll = Roll::default();
    let mut cx = house.router.cx().unwrap();
    assert_eq!(house.router.raise(&mut roll, &mut cx).await.unwrap(), Flow::Done);
    assert_eq!(
        roll.0,
        ["first admit", "second admit", "second stamp", "first copy"]
    );
}

#[tokio::test]
async fn a_module_that_needs_a_darkened_one_does_not_start() {
    struct Needy;
    impl Module for Needy {
        type Config = NoSettings;
        const NAME: &'static str = "xep0003_needy";
        const SPECS: &'static [Spec] = SPEC;
        const NEEDS: &'static [&'static str] = &["xep0001_first"];
        fn register(_: NoSettings, _: &mut Registrar<'_>) -> Result<(), Fault> {
            Ok(())
        }
    }
    let started = tokio::spawn(async {
        let toml = "[xep0001_first]\nenabled = false\n";
        House::configured(&[Entry::of::<First>(), Entry::of::<Needy>()], toml).await
    });
    assert!(started.await.is_err_and(|panic| panic.is_panic()));
    let said = Startup::Needs(Needy::NAME, First::NAME).to_string();
    assert!(
        said.contains(Needy::NAME) && said.contains("enabled = true in [xep0001_first]"),
        "{said}"
    );
    let schemas = [Entry::of::<First>(), Entry::of::<Needy>()].map(|entry| (entry.schema)());
    assert!(
        crate::config::sample(&schemas).contains("are advertised. Needed by xep0003_needy.\nenabled = true")
    );
}

// ——— what is no stanza ———

/// Understands `<hush/>`, fails at `<fail/>`, and has nothing to say to the rest.
struct Hushed;

impl On<Nonza> for Hushed {
    async fn on(&self, nonza: &mut Nonza, cx: &mut Cx) -> Result<Flow, Fault> {
        if nonza.element.is("fail", "urn:x") {
            return Err(Fault::Us("on purpose".into()));
        }
        if nonza.element.is("hush", "urn:x") {
            let hushed = Stanza::new(Kind::Message(MessageType::Normal), "<hushed xmlns='urn:x'/>");
            cx.deliver(&nonza.session, Arc::new(hushed));
            return Ok(Flow::Done);
        }
        Ok(Flow::Next)
    }
}

module!(Hush, "xep0001_hush", |house| {
    house.on::<Nonza>(Stage::Deliver, Hushed);
});

#[tokio::test]
async fn an_element_that_is_no_stanza_is_understood_by_a_room_or_ends_the_stream() {
    let house = House::new(&[Entry::of::<Hush>()]).await;
    for (sent, condition) in [
        ("<hush/>", StreamCondition::UnsupportedStanzaType),
        ("<hush xmlns='urn:y'/>", StreamCondition::UnsupportedStanzaType),
        ("<message xmlns='urn:x'/>", StreamCondition::UnsupportedStanzaType),
        ("<fail xmlns='urn:x'/>", StreamCondition::InternalServerError),
    ] {
        let mut alice = house.connect("alice@localhost/phone").await;
        alice.send("<hush xmlns='urn:x'/>").await;
        alice.expect("<message><hushed xmlns='urn:x'/></message>");
        assert_eq!(alice.closing(), None);
        alice.send(sent).await;
        assert_eq!(
            alice.closing().map(|error| error.condition),
            Some(condition),
            "{sent}"
        );
    }
}

// ——— departure ———

#[tokio::test]
async fn a_stanza_carries_the_full_jid_of_its_sender_whatever_it_claims() {
    let house = House::new(&[Entry::of::<Im>()]).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    for honest in [
        "",
        "from='alice@localhost'",
        "from='alice@localhost/phone'",
        "from='alice@localhost/other'",
    ] {
        alice
            .send(&format!(
                "<message {honest} to='bob@localhost'><body>hi</body></message>"
            ))
            .await;
        bob.expect("<message from='alice@localhost/phone' to='bob@localhost'><body>hi</body></message>");
    }
    alice
        .send("<message from='carol@localhost' to='bob@localhost'><body>hi</body></message>")
        .await;
    bob.expect_nothing();
    assert_eq!(
        alice.closing().map(|error| error.condition),
        Some(StreamCondition::InvalidFrom)
    );
}

#[tokio::test]
async fn a_stanza_for_another_domain_or_nobody_comes_back() {
    let house = House::new(&[Entry::of::<Im>()]).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let error = |condition: &str, from: &str| {
        format!(
            "<message from='{from}' to='alice@localhost/phone' type='error'><error type='cancel'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        )
    };
    alice
        .ask(
            "<message to='r@m.example'/>",
            &error("remote-server-not-found", "r@m.example"),
        )
        .await;
    alice
        .ask(
            "<message to='nobody@localhost'/>",
            &error("service-unavailable", "nobody@localhost"),
        )
        .await;
    alice
        .ask(
            "<message to='localhost'/>",
            &error("service-unavailable", "localhost"),
        )
        .await;
    // Errors are never answered (RFC 6120 §8.3.1), presence to nobody is not either (RFC 6121 §8.5.1).
    alice.send("<message to='nobody@localhost' type='error'/>").await;
    alice.send("<presence to='nobody@localhost'/>").await;
    alice.expect_nothing();
}

#[tokio::test]
async fn malformed_stanzas_come_back_as_errors_and_harm_nobody() {
    let house = House::new(&[Entry::of::<Im>()]).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    for (xml, condition) in [
        ("<iq type='get'><a xmlns='x'/></iq>", "bad-request"),
        ("<iq type='get' id='1'/>", "bad-request"),
        (
            "<iq type='set' id='1'><a xmlns='x'/><b xmlns='x'/></iq>",
            "bad-request",
        ),
        ("<iq type='dance' id='1'><a xmlns='x'/></iq>", "bad-request"),
        ("<presence type='dance'/>", "bad-request"),
        ("<message to='@localhost'/>", "jid-malformed"),
        ("<message to='a@b@c/ '/>", "jid-malformed"),
    ] {
        alice.send(xml).await;
        let answer = alice.next().unwrap_or_default();
        assert!(
            answer.contains(&format!("<{condition} ")) && answer.contains("type='error'"),
            "{xml}: {answer}"
        );
        // It comes from what was written for an address.
        let from = xml
            .split(" to=")
            .nth(1)
            .map_or("'alice@localhost'", |to| to.trim_end_matches("/>"));
        assert!(answer.contains(&format!(" from={from} ")), "{xml}: {answer}");
    }
    assert_eq!(alice.closing(), None);
    // Nobody is answered under another's name.
    alice.send("<presence type='dance' from='bob@localhost'/>").await;
    alice.expect_nothing();
    assert!(alice.closing().is_some());
}

// ——— requests ———

struct Echo;

impl HandleIq for Echo {
    async fn handle(&self, iq: &Request<'_>, _: &mut Cx) -> Result<Reply, Fault> {
        match iq.payload.attr("fail") {
            Some(_) => Err(Condition::NotAllowed.into()),
            None => Ok(Reply::Payload(iq.payload.to_xml())),
        }
    }
}

module!(Echoes, "xep0004_echo", |house| {
    house.iq(&[At::Server, At::Own], IqType::Get, "echo", "urn:test:echo", Echo);
});

#[tokio::test]
async fn a_request_finds_its_handler_or_is_refused_at_once() {
    let house = House::new(&[Entry::of::<Echoes>()]).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    house.account("bob@localhost").await;
    let echo = "<echo xmlns='urn:test:echo'>x</echo>";
    let result = format!("<iq id='1' type='result'>{echo}</iq>");
    alice
        .ask(
            &format!("<iq id='1' type='get' to='localhost'>{echo}</iq>"),
            &result,
        )
        .await;
    alice
        .ask(&format!("<iq id='1' type='get'>{echo}</iq>"), &result)
        .await;
    for (request, condition) in [
        (
            format!("<iq id='1' type='set'>{echo}</iq>"),
            "service-unavailable",
        ),
        (
            format!("<iq id='1' type='get' to='bob@localhost'>{echo}</iq>"),
            "service-unavailable",
        ),
        (
            format!("<iq id='1' type='get' to='nobody@localhost'>{echo}</iq>"),
            "service-unavailable",
        ),
        (
            format!("<iq id='1' type='get' to='bob@localhost/gone'>{echo}</iq>"),
            "service-unavailable",
        ),
        (
            "<iq id='1' type='get'><echo xmlns='urn:test:other'/></iq>".into(),
            "service-unavailable",
        ),
        (
            "<iq id='1' type='get'><echo xmlns='urn:test:echo' fail='1'/></iq>".into(),
            "not-allowed",
        ),
    ] {
        alice.send(&request).await;
        let answer = alice.next().unwrap_or_default();
        assert!(answer.contains(&format!("<{condition} ")), "{request}: {answer}");
    }
    assert!(
        house
            .router
            .features(At::Server)
            .any(|feature| feature == "urn:test:echo")
    );
    assert!(
        !house
            .router
            .features(At::Account)
            .any(|feature| feature == "urn:test:echo")
    );
}

// ——— sessions ———

#[tokio::test]
async fn a_second_session_of_the_same_name_ends_the_first_once() {
    static ENDS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    struct Note;
    impl Hear<SessionEnded> for Note {
        async fn hear(&self, ended: &mut SessionEnded, _: &mut Cx) -> Result<(), Fault> {
            ENDS.lock().unwrap().push(ended.session.jid.to_string());
            Ok(())
        }
    }
    module!(Noting, "xep0005_noting", |house| {
        house.hear::<SessionEnded>(Stage::Notify, Note);
    });
    let house = House::new(&[Entry::of::<Im>(), Entry::of::<Noting>()]).await;
    let first = house.connect("alice@localhost/phone").await;
    let mut second = house.connect("alice@localhost/phone").await;
    assert_eq!(
        first.closing().map(|error| error.condition),
        Some(StreamCondition::Conflict)
    );
    assert_eq!(house.router.sessions().of(&first.session.account).len(), 1);
    first.disconnect().await;
    assert_eq!(ENDS.lock().unwrap().as_slice(), ["alice@localhost/phone"]);
    second.send("<message to='alice@localhost'/>").await;
    second.expect("<message from='alice@localhost/phone'/>");
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_ended_and_what_it_missed_finds_another_way() {
    #[derive(Default)]
    struct Keep(Arc<Mutex<Vec<Stanza>>>);
    impl Hear<Undelivered> for Keep {
        async fn hear(&self, undelivered: &mut Undelivered, _: &mut Cx) -> Result<(), Fault> {
            self.0.lock().unwrap().push(undelivered.stanza.clone());
            undelivered.keeping = Keeping::Stored;
            Ok(())
        }
    }
    static KEPT: Mutex<Option<Arc<Mutex<Vec<Stanza>>>>> = Mutex::new(None);
    module!(Hoarding, "xep0006_keeping", |house| {
        let keep = Keep::default();
        *KEPT.lock().unwrap() = Some(keep.0.clone());
        house.hear::<Undelivered>(Stage::Store, keep);
    });
    let toml = "[limits]\noutbox_bytes_max = 65536\nstanza_bytes_max = 32768\n";
    let house = House::configured(&[Entry::of::<Im>(), Entry::of::<Hoarding>()], toml).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let bob = house.connect("bob@localhost/slow").await;
    let body = "x".repeat(30_000);
    for n in 1..=3 {
        alice
            .send(&format!(
                "<message id='{n}' to='bob@localhost'><body>{body}</body></message>"
            ))
            .await;
    }
    assert!(bob.session.outbox.is_closed());
    alice.expect_nothing();
    bob.disconnect().await;
    let kept = KEPT.lock().unwrap().clone().unwrap();
    let mut ids: Vec<String> = kept
        .lock()
        .unwrap()
        .iter()
        .filter_map(|s| s.id.clone())
        .map(String::from)
        .collect();
    ids.sort();
    assert_eq!(ids, ["1", "2", "3"]);
}

#[tokio::test]
async fn an_account_has_a_bounded_number_of_sessions() {
    let house = House::configured(&[Entry::of::<Im>()], "[limits]\nresources_per_account_max = 1\n").await;
    let _first = house.connect("alice@localhost/one").await;
    let jid = crate::jid::Jid::parse("alice@localhost/two").unwrap();
    let second = crate::session::Session::new(jid, false, None, 1_000);
    assert!(house.router.start(&second).await.is_err());
}

// ——— commits ———

struct Kept(String);

impl SinkRow for Kept {
    fn row_bytes(&self) -> usize {
        self.0.len()
    }
}

fn insert<'a>(tx: &'a mut Tx, rows: &'a [Kept]) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for row in rows {
            tx.execute(Query::new("INSERT INTO kept (body) VALUES ($1)").bind(row.0.as_str()))
                .await?;
        }
        Ok(())
    })
}

struct Store(crate::db::Sink<Kept>);

impl On<Arrival> for Store {
    async fn on(&self, arrival: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        cx.await_ticket(self.0.put(Kept(arrival.stanza.to_xml())));
        Ok(Flow::Next)
    }
}

module!(Archive, "xep0007_archive", |house| {
    let sink = house.db.sink(insert);
    house.on::<Arrival>(Stage::Store, Store(sink));
});

#[tokio::test]
async fn nothing_leaves_before_its_commit_and_a_failed_one_is_told_to_the_sender() {
    let db = Db::open("sqlite::memory:", &DbOptions::default()).await.unwrap();
    let house = House::on(db.clone(), &[Entry::of::<Im>(), Entry::of::<Archive>()], "").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    // There is no table yet: the commit fails, nothing arrives, and the sender knows.
    alice
        .send("<message id='1' to='bob@localhost'><body>hi</body></message>")
        .await;
    bob.expect_nothing();
    let answer = alice.next().unwrap_or_default();
    assert!(
        answer.contains("id='1'") && answer.contains("<internal-server-error"),
        "{answer}"
    );
    db.write(|tx| {
        Box::pin(async move {
            let table = "CREATE TABLE kept (body TEXT NOT NULL)";
            tx.execute(Query::new(table)).await.map(drop)
        })
    })
    .await
    .unwrap();
    let message = Stanza::parse("<message id='2' to='bob@localhost'><body>hi</body></message>").unwrap();
    let outcome = house.router.depart(&alice.session, message).await;
    assert!(!outcome.is_settled());
    bob.expect_nothing();
    house.router.perform(outcome).await;
    bob.expect("<message id='2' from='alice@localhost/phone'><body>hi</body></message>");
    let rows = db.fetch_all(Query::new("SELECT body FROM kept")).await.unwrap();
    assert_eq!(rows.len(), 1);
}

// ——— loops ———

#[tokio::test]
async fn rooms_that_answer_each_other_for_ever_are_stopped() {
    struct Parrot;
    impl On<Arrival> for Parrot {
        async fn on(&self, arrival: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
            cx.send(arrival.stanza.clone());
            Ok(Flow::Done)
        }
    }
    module!(Parrots, "xep0008_parrots", |house| {
        house.on::<Arrival>(Stage::Deliver, Parrot);
    });
    let house = House::new(&[Entry::of::<Parrots>()]).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send("<message to='alice@localhost'/>").await;
    alice.expect_nothing();
}

#[tokio::test]
async fn a_delivery_can_be_held_back() {
    struct Mute;
    impl On<Delivery> for Mute {
        async fn on(&self, delivery: &mut Delivery, _: &mut Cx) -> Result<Flow, Fault> {
            let muted = matches!(delivery.stanza.kind, Kind::Message(_))
                && delivery.stanza.child("body", crate::ns::CLIENT).is_none();
            Ok(if muted { Flow::Done } else { Flow::Next })
        }
    }
    module!(Muting, "xep0009_muting", |house| {
        house.on::<Delivery>(Stage::Filter, Mute);
    });
    let house = House::new(&[Entry::of::<Im>(), Entry::of::<Muting>()]).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send("<message to='alice@localhost'/>").await;
    alice.expect_nothing();
    alice
        .send("<message to='alice@localhost'><body>x</body></message>")
        .await;
    alice.expect("<message><body>x</body></message>");
}

#[tokio::test]
async fn what_one_hook_learns_the_next_may_know() {
    struct Learn;
    impl On<Departure> for Learn {
        async fn on(&self, _: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
            cx.learn(7_u32);
            Ok(Flow::Next)
        }
    }
    struct Know;
    impl On<Arrival> for Know {
        async fn on(&self, arrival: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
            if cx.fact::<u32>() == Some(&7) && cx.fact::<u64>().is_none() {
                arrival.stanza.append("<known xmlns='urn:test'/>");
            }
            Ok(Flow::Next)
        }
    }
    module!(Facts, "xep0010_facts", |house| {
        house.on::<Departure>(Stage::Stamp, Learn);
        house.on::<Arrival>(Stage::Stamp, Know);
    });
    let house = House::new(&[Entry::of::<Facts>(), Entry::of::<Im>()]).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice
        .send("<message to='alice@localhost'><body>x</body></message>")
        .await;
    alice.expect("<message><body>x</body><known xmlns='urn:test'/></message>");
}

// ——— accounts ———

#[tokio::test]
async fn a_darkened_module_still_erases_the_rows_of_a_removed_account() {
    static ERASED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    fn erase<'a>(_: &'a mut Tx, account: &'a crate::jid::BareJid) -> BoxFuture<'a, Result<(), DbError>> {
        Box::pin(async move {
            ERASED.lock().unwrap().push(account.to_string());
            Ok(())
        })
    }
    struct Dark;
    impl Module for Dark {
        type Config = NoSettings;
        const NAME: &'static str = "xep0011_dark";
        const SPECS: &'static [Spec] = SPEC;
        const ERASERS: &'static [crate::accounts::Eraser] = &[erase];
        fn register(_: NoSettings, _: &mut Registrar<'_>) -> Result<(), Fault> {
            Ok(())
        }
    }
    let house = House::configured(&[Entry::of::<Dark>()], "[xep0011_dark]\nenabled = false\n").await;
    let account = house.account("alice@localhost").await;
    house.router.erase_account(&account).await.unwrap();
    assert_eq!(ERASED.lock().unwrap().as_slice(), ["alice@localhost"]);
    assert!(!house.router.accounts().exists(&account).await.unwrap());
}
