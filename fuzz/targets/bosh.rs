//! Requests of one BOSH session (XEP-0124): bodies, with a zero byte between them. The session answers every element with a
//! message and every restart with features.

use std::time::Duration;

use bytes::Bytes;
use kim::c2s::link::bosh::{Answer, Shared, Terms};
use kim::c2s::link::{Greeting, Incoming};
use kim::http::bosh::parse;
use kim_core::wire::{Element, Limits};

const NS: &str = "http://jabber.org/protocol/httpbind";
/// Requests under way: one is held, one comes beside it, and one more pauses or ends the session (XEP-0124 §11).
const REQUESTS_MAX: usize = 3;
const LIMITS: Limits = Limits {
    stanza_bytes_max: 200,
    depth_max: 8,
    attributes_max: 16,
    ..Limits::before_login()
};
const TERMS: Terms = Terms {
    wait: Duration::from_secs(60),
    inactivity: Duration::from_secs(60),
};

pub fn check(data: &[u8]) {
    let mut bodies = data.split(|byte| *byte == 0);
    let first = bodies.next().unwrap_or_default();
    let Some(body) = parse(first, LIMITS) else {
        return;
    };
    canonical(&body);
    let Ok(shared) = Shared::new("sid".to_owned(), &body, LIMITS, &TERMS) else {
        return;
    };
    assert!(body.is("body", NS) && body.attr("rid").is_some());
    assert!(shared.wait() <= TERMS.wait);
    let mut held = Vec::new();
    for bytes in std::iter::once(first).chain(bodies) {
        let Some(body) = parse(bytes, LIMITS) else {
            continue;
        };
        canonical(&body);
        match shared.request(&body, bytes.len()) {
            Answer::Now(answer) => check_answer(&answer),
            Answer::Held { answer, .. } => held.push(answer),
        }
        stream(&shared);
        held.retain_mut(|held| match held.try_recv() {
            Ok(answer) => {
                check_answer(&answer);
                false
            }
            Err(error) => error == tokio::sync::oneshot::error::TryRecvError::Empty,
        });
        assert!(held.len() <= REQUESTS_MAX, "{} requests are held", held.len());
    }
    shared.abandon();
    drop(shared);
    for mut answer in held {
        let answer = answer
            .try_recv()
            .expect("nobody waits for a session that is gone");
        check_answer(&answer);
    }
}

/// What the stream would do.
fn stream(shared: &Shared) {
    while let Some(incoming) = shared.next() {
        match incoming {
            Incoming::Open(_) => {
                let greeting = Greeting {
                    from: "example.org",
                    to: None,
                    id: "id",
                };
                shared.open(&greeting, "<features xmlns='http://etherx.jabber.org/streams'/>");
            }
            Incoming::Element(element) => {
                canonical(&element);
                shared.push("<message xmlns='jabber:client'/>");
            }
            Incoming::Close => shared.end(""),
        }
    }
}

fn canonical(element: &Element) {
    let again = Element::parse(element.as_str()).expect("what was read can be read again");
    assert_eq!(&again, element);
}

fn check_answer(answer: &Bytes) {
    let text = std::str::from_utf8(answer).unwrap();
    let body = Element::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(body.is("body", NS), "{text}");
}
