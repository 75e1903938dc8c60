//! Request ids, holding and repeating (XEP-0124 §§ 7–14), without a socket.

use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use kim_core::wire::{self, Element};
use tokio::sync::oneshot;

use super::super::{Greeting, Incoming};
use super::shared::{Answer, Shared, Terms};

const TERMS: Terms = Terms {
    wait: Duration::from_secs(60),
    inactivity: Duration::from_secs(60),
};

fn body(attributes: &str, payloads: &str) -> Element {
    let xml = format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' {attributes}>{payloads}</body>"
    );
    Element::parse(&xml).unwrap()
}

struct Waiting(oneshot::Receiver<Bytes>);

impl Waiting {
    fn answer(&mut self) -> String {
        let bytes = self.0.try_recv().expect("an answer");
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn is_held(&mut self) -> bool {
        self.0.try_recv() == Err(oneshot::error::TryRecvError::Empty)
    }
}

fn ask(shared: &Shared, rid: u64, payloads: &str) -> Waiting {
    held(shared.request(&body(&format!("sid='s' rid='{rid}'"), payloads), 100))
}

fn held(answer: Answer) -> Waiting {
    match answer {
        Answer::Held { answer, .. } => Waiting(answer),
        Answer::Now(bytes) => panic!("answered at once: {bytes:?}"),
    }
}

fn now(answer: Answer) -> String {
    match answer {
        Answer::Now(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Answer::Held { .. } => panic!("held"),
    }
}

/// A session whose stream is open; request 1 was answered.
fn session() -> Shared {
    let first = body("rid='1' to='localhost' wait='30' hold='1' xmpp:version='1.0'", "");
    let shared = Shared::new("s".into(), &first, wire::Limits::default(), &TERMS).unwrap();
    let mut created = held(shared.request(&first, 100));
    assert!(created.is_held(), "the stream has not answered");
    assert!(
        matches!(shared.next(), Some(Incoming::Open(opening)) if opening.to.as_deref() == Some("localhost"))
    );
    let greeting = Greeting {
        from: "localhost",
        to: None,
        id: "id",
    };
    shared.open(&greeting, "<stream:features/>");
    let answer = created.answer();
    for part in [
        "sid='s'",
        "wait='30'",
        "hold='1'",
        "requests='2'",
        "inactivity='60'",
        "authid='id'",
        "xmpp:version='1.0'",
        "<stream:features/>",
    ] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    shared
}

fn next(shared: &Shared) -> Option<String> {
    match shared.next() {
        Some(Incoming::Element(element)) => Some(element.as_str().to_owned()),
        Some(Incoming::Open(_)) => Some("open".to_owned()),
        Some(Incoming::Close) => Some("close".to_owned()),
        None => None,
    }
}

#[test]
fn a_request_that_came_before_its_turn_does_not_outlive_the_session() {
    let shared = session();
    let (mut second, mut fourth) = (ask(&shared, 2, ""), ask(&shared, 4, ""));
    shared.due(4);
    assert!(fourth.is_held(), "the third may still come");
    shared.abandon();
    assert!(second.answer().contains("condition='item-not-found'"));
    assert!(fourth.answer().contains("condition='item-not-found'"));
}

#[test]
fn a_request_is_held_until_there_is_something_to_say() {
    let shared = session();
    let mut first = ask(&shared, 2, "<presence xmlns='jabber:client'/>");
    assert_eq!(next(&shared).as_deref(), Some("<presence/>"));
    assert!(first.is_held());
    shared.push("<message xmlns='jabber:client'/>");
    assert_eq!(
        first.answer(),
        "<body xmlns='http://jabber.org/protocol/httpbind'><message xmlns='jabber:client'/></body>"
    );
    assert!(!shared.has_unwritten());
    shared.push("<message xmlns='jabber:client'/>");
    assert!(shared.has_unwritten(), "no request is here");
    assert!(ask(&shared, 3, "").answer().contains("<message"));
    // §7.2: one is held; when another comes, the first is let go. And when its time is up.
    let (mut old, mut new) = (ask(&shared, 4, ""), ask(&shared, 5, ""));
    assert_eq!(
        old.answer(),
        "<body xmlns='http://jabber.org/protocol/httpbind'/>"
    );
    assert!(new.is_held());
    shared.due(5);
    assert_eq!(
        new.answer(),
        "<body xmlns='http://jabber.org/protocol/httpbind'/>"
    );
}

#[test]
fn requests_are_taken_in_order_and_answered_in_order() {
    // §14.2
    let shared = session();
    let mut second = ask(&shared, 3, "<b xmlns='urn:x'/>");
    assert_eq!(next(&shared), None);
    shared.push("<x xmlns='urn:x'/>");
    assert!(second.is_held());
    let mut first = ask(&shared, 2, "<a xmlns='urn:x'/>");
    assert_eq!(next(&shared).as_deref(), Some("<a xmlns='urn:x'/>"));
    assert_eq!(next(&shared).as_deref(), Some("<b xmlns='urn:x'/>"));
    assert!(first.answer().contains("<x"));
    assert!(second.is_held());
}

#[test]
fn an_answer_that_was_lost_is_given_again() {
    // §14.3
    let shared = session();
    let mut first = ask(&shared, 2, "<a xmlns='urn:x'/>");
    shared.push("<x xmlns='urn:x'/>");
    let answer = first.answer();
    let again = shared.request(&body("sid='s' rid='2'", "<a xmlns='urn:x'/>"), 100);
    assert_eq!(now(again), answer);
    assert_eq!(next(&shared).as_deref(), Some("<a xmlns='urn:x'/>"));
    assert_eq!(next(&shared), None, "it is taken once");
    // Repeated while it is held: the one before is let go.
    let mut before = ask(&shared, 3, "");
    let mut after = ask(&shared, 3, "");
    assert!(before.answer().contains("type='error'"));
    // A client whose connection is gone gets nothing until it asks again.
    after.0.close();
    shared.push("<y xmlns='urn:x'/>");
    assert!(shared.has_unwritten());
    assert!(ask(&shared, 3, "").answer().contains("<y"));
    // What is too old is not kept, and ends the session.
    ask(&shared, 4, "").is_held();
    let gone = now(shared.request(&body("sid='s' rid='1'", ""), 100));
    assert!(gone.contains("condition='item-not-found'"));
}

#[test]
fn what_no_honest_client_sends_ends_the_session() {
    for (attributes, condition) in [
        ("sid='s' rid='5'", "item-not-found"),
        ("sid='s' rid='9007199254740991'", "item-not-found"),
        ("sid='s' rid='9007199254740992'", "bad-request"),
        ("sid='s' rid='-1'", "bad-request"),
        ("sid='s' rid='abc'", "bad-request"),
        ("sid='s'", "bad-request"),
    ] {
        let shared = session();
        let mut other = ask(&shared, 2, "");
        let answer = now(shared.request(&body(attributes, ""), 100));
        assert!(answer.contains(condition), "{attributes}: {answer}");
        assert!(other.answer().contains("type='terminate'"));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while shared.next().is_some() {}
        assert!(shared.poll_read(&mut cx).is_ready(), "the stream learns it");
    }
    let shared = session();
    let not_a_body = Element::parse("<html xmlns='urn:x' rid='2'/>").unwrap();
    assert!(now(shared.request(&not_a_body, 10)).contains("bad-request"));
}

#[test]
fn restart_pause_and_end() {
    let shared = session();
    let mut restart = held(shared.request(
        &body("sid='s' rid='2' to='localhost' xmpp:restart='true'", ""),
        100,
    ));
    assert_eq!(next(&shared).as_deref(), Some("open"));
    let greeting = Greeting {
        from: "localhost",
        to: None,
        id: "second",
    };
    shared.open(&greeting, "<stream:features/>");
    let features = restart.answer();
    assert!(features.contains("<stream:features/>") && !features.contains("sid="));
    // §10: a pause answers everything, without payloads.
    let mut held_back = ask(&shared, 3, "");
    let mut pause = held(shared.request(&body("sid='s' rid='4' pause='100'", ""), 100));
    let empty = "<body xmlns='http://jabber.org/protocol/httpbind'/>";
    assert_eq!(
        (held_back.answer().as_str(), pause.answer().as_str()),
        (empty, empty)
    );
    let until = shared.silent_until().unwrap();
    assert!(until > tokio::time::Instant::now() + Duration::from_secs(90));
    // §13: what comes with the end is still taken.
    let mut last = held(shared.request(
        &body(
            "sid='s' rid='5' type='terminate'",
            "<presence xmlns='jabber:client'/>",
        ),
        100,
    ));
    assert_eq!(next(&shared).as_deref(), Some("<presence/>"));
    assert_eq!(next(&shared).as_deref(), Some("close"));
    shared.end("");
    assert_eq!(
        last.answer(),
        "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate'/>"
    );
    assert!(!shared.has_unwritten());
}

#[test]
fn a_client_faster_than_its_stream_is_read_waits() {
    let shared = session();
    let long = format!(
        "<message xmlns='jabber:client'><body>{}</body></message>",
        "x".repeat(1000)
    );
    let mut first = held(shared.request(&body("sid='s' rid='2'", &long), 600_000));
    let mut second = ask(&shared, 3, "");
    assert!(
        first.is_held() && second.is_held(),
        "no answer, no further request"
    );
    assert!(next(&shared).is_some());
    assert!(!first.is_held());
}

#[test]
fn a_restart_without_a_domain_is_of_the_first_one() {
    // XEP-0206 §5
    let shared = session();
    let restart = body("sid='s' rid='2' xmpp:restart='true'", "");
    let mut answer = held(shared.request(&restart, 100));
    let Some(Incoming::Open(opening)) = shared.next() else {
        panic!("a restart");
    };
    assert_eq!(opening.to.as_deref(), Some("localhost"));
    assert!(answer.is_held());
    let other = body("sid='s' rid='3' to='other.example' xmpp:restart='1'", "");
    held(shared.request(&other, 100));
    assert!(
        matches!(shared.next(), Some(Incoming::Open(opening)) if opening.to.as_deref() == Some("other.example"))
    );
}

#[test]
fn a_stanza_without_a_namespace_is_of_jabber_client() {
    // XEP-0206 §2
    let shared = session();
    for (rid, sent, meant) in [
        (
            2,
            "<message to='a'><body>x</body></message>",
            "<message to='a'><body>x</body></message>",
        ),
        (
            3,
            "<message><x xmlns='urn:x'><body xmlns='http://jabber.org/protocol/httpbind'/></x></message>",
            "<message><x xmlns='urn:x'><body xmlns='http://jabber.org/protocol/httpbind'/></x></message>",
        ),
        (
            4,
            "<message><body xmlns='jabber:client'>x</body></message>",
            "<message><body>x</body></message>",
        ),
        (5, "<auth xmlns='urn:x'/>", "<auth xmlns='urn:x'/>"),
        (6, "<presence xmlns='jabber:client'/>", "<presence/>"),
    ] {
        let _held = ask(&shared, rid, sent);
        assert_eq!(next(&shared).as_deref(), Some(meant), "{sent}");
        shared.due(rid);
    }
}

#[test]
fn it_is_known_whether_the_client_has_logged_in() {
    let shared = session();
    assert!(!shared.has_logged_in());
    shared.set_limits(wire::Limits::default());
    assert!(shared.has_logged_in());
}
