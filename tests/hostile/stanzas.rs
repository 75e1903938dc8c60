//! Malformed stanzas: each gets its stanza error (RFC 6120 §8.3) or ends its stream where no stanza error can be had, and
//! the session lives on.

use crate::whole::person::Person;
use crate::whole::process::Kim;

const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

#[tokio::test]
async fn a_malformed_stanza_gets_its_error_and_the_session_lives_on() {
    let kim = Kim::start("hostile-stanzas", "[s2s]\nenabled = false\n").await;
    let mut mallory = Person::online(&kim, "mallory@localhost/lair").await;
    let _bob = Person::online(&kim, "bob@localhost/home").await;
    let mut wrong = Vec::new();
    let long = "x".repeat(1024);
    let cases: Vec<(&str, String, &str)> = vec![
        (
            "an iq of no type",
            format!("<iq id='1'>{PING}</iq>"),
            "bad-request",
        ),
        (
            "an iq of an unknown type",
            format!("<iq id='1' type='ask'>{PING}</iq>"),
            "bad-request",
        ),
        (
            "an iq without an id",
            format!("<iq type='get'>{PING}</iq>"),
            "bad-request",
        ),
        (
            "a request that asks nothing",
            "<iq id='1' type='get'/>".into(),
            "bad-request",
        ),
        (
            "a request that asks twice",
            format!("<iq id='1' type='get'>{PING}{PING}</iq>"),
            "bad-request",
        ),
        (
            "a request for something unknown",
            "<iq id='1' type='get'><x xmlns='urn:x'/></iq>".into(),
            "service-unavailable",
        ),
        (
            "a ping that is none",
            "<iq id='1' type='get'><ping xmlns='urn:x'/></iq>".into(),
            "service-unavailable",
        ),
        (
            "a ping in no namespace",
            "<iq id='1' type='get'><ping xmlns=''/></iq>".into(),
            "service-unavailable",
        ),
        (
            "a ping to be set",
            format!("<iq id='1' type='set'>{PING}</iq>"),
            "service-unavailable",
        ),
        (
            "no address",
            format!("<iq id='1' type='get' to=''>{PING}</iq>"),
            "jid-malformed",
        ),
        (
            "an address that begins with @",
            "<message id='1' to='@localhost'/>".into(),
            "jid-malformed",
        ),
        (
            "an address that ends with /",
            "<message id='1' to='bob@localhost/'/>".into(),
            "jid-malformed",
        ),
        (
            "an address with a blank",
            "<message id='1' to='bo b@localhost'/>".into(),
            "jid-malformed",
        ),
        (
            "a localpart too long",
            format!("<message id='1' to='{long}@localhost'/>"),
            "jid-malformed",
        ),
        (
            "a localpart that prepares to nothing",
            "<message id='1' to='&#xAD;@localhost'/>".into(),
            "jid-malformed",
        ),
        (
            "a presence of an unknown type",
            "<presence id='1' type='away'/>".into(),
            "bad-request",
        ),
        (
            "a presence to a malformed address",
            "<presence id='1' to='a@@b'/>".into(),
            "jid-malformed",
        ),
        (
            "a roster that is none",
            "<iq id='1' type='set'><query xmlns='jabber:iq:roster'/></iq>".into(),
            "bad-request",
        ),
        (
            "a contact without an address",
            "<iq id='1' type='set'><query xmlns='jabber:iq:roster'><item/></query></iq>".into(),
            "bad-request",
        ),
        (
            "somebody else's roster",
            "<iq id='1' type='get' to='bob@localhost'><query xmlns='jabber:iq:roster'/></iq>".into(),
            "service-unavailable|forbidden|not-allowed|item-not-found",
        ),
        (
            "another domain",
            format!("<iq id='1' type='get' to='example.invalid'>{PING}</iq>"),
            "remote-server-not-found",
        ),
        (
            "an account that is not there",
            format!("<iq id='1' type='get' to='no@localhost'>{PING}</iq>"),
            "service-unavailable",
        ),
        (
            "a resource that is not there",
            format!("<iq id='1' type='get' to='bob@localhost/no'>{PING}</iq>"),
            "service-unavailable",
        ),
    ];
    for (what, xml, expected) in cases {
        mallory.say(&xml).await;
        let came = mallory.all().await;
        let answer = came.iter().find_map(|xml| condition(xml));
        let right = answer
            .as_ref()
            .is_some_and(|answer| expected.split('|').any(|one| one == answer));
        if !right || came.len() != 1 {
            wrong.push(format!("{what}: {came:?} instead of {expected}"));
        }
    }
    // No answer is right for these: an error about an answer would go on for ever (RFC 6120 §8.3.1).
    for (what, xml) in [
        (
            "a result nobody asked for",
            "<iq id='1' type='result' to='localhost'/>".to_owned(),
        ),
        (
            "an error nobody caused",
            "<iq id='1' type='error' to='localhost'/>".to_owned(),
        ),
        (
            "an error to nobody",
            "<message id='1' type='error' to='no@localhost'/>".to_owned(),
        ),
        (
            "a malformed error",
            "<message id='1' type='error' to='@@'/>".to_owned(),
        ),
        (
            "a result to a malformed address",
            "<iq id='1' type='result' to='@@'/>".to_owned(),
        ),
    ] {
        mallory.say(&xml).await;
        let came = mallory.all().await;
        if !came.is_empty() {
            wrong.push(format!("{what} was answered: {came:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    kim.stop();
}

/// The condition in an error stanza.
fn condition(xml: &str) -> Option<String> {
    let element = kim_core::wire::Element::parse(xml).ok()?;
    let error = element.child("error", "jabber:client")?;
    error
        .children()
        .find(|child| child.ns() == STANZAS && child.name() != "text")
        .map(|child| child.name().to_owned())
}

/// RFC 6120 §4.9.3.24: what is no stanza ends the stream; RFC 6120 §8.1.2.1: so does a forged sender.
#[tokio::test]
async fn what_is_no_stanza_ends_the_stream() {
    let kim = Kim::start("hostile-no-stanzas", "").await;
    for (xml, expected) in [
        ("<stanza/>", "unsupported-stanza-type"),
        ("<message xmlns='urn:x'/>", "unsupported-stanza-type"),
        ("<message xmlns=''/>", "unsupported-stanza-type"),
        (
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>",
            "unsupported-stanza-type",
        ),
        (
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            "unsupported-stanza-type",
        ),
        (
            "<message from='bob@localhost' to='mallory@localhost'/>",
            "invalid-from",
        ),
        (
            "<iq type='get' id='1' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
            "invalid-from",
        ),
        ("<presence from='bob@localhost/other'/>", "invalid-from"),
        ("<iq type='ask' id='1' from='bob@localhost'/>", "invalid-from"),
    ] {
        let mut mallory = Person::connect(&kim, "mallory@localhost/lair").await;
        mallory.say(xml).await;
        assert_eq!(mallory.ended().await.as_deref(), Some(expected), "{xml}");
    }
    kim.stop();
}

/// All of them in one write: dealt with in order, without growing, and others get their turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_stanzas_in_one_write_are_dealt_with_in_order() {
    const STANZAS: usize = 10_000;
    let kim = Kim::start("hostile-pipelined", "[limits]\nenabled = false\n").await;
    let bystanders = crate::bystanders::Bystanders::of(&kim).await;
    let mut mallory = Person::online(&kim, "mallory@localhost/lair").await;
    let bob = Person::online(&kim, "bob@localhost/home").await;
    let all: String = (0..STANZAS)
        .map(|number| match number % 2 {
            0 => format!(
                "<message id='{number}' to='bob@localhost' type='chat'><body>{number}</body></message>"
            ),
            _ => format!("<iq id='{number}' type='get'>{PING}</iq>"),
        })
        .collect();
    let before = kim.resident_bytes();
    // Read while it is written, or both sides would wait for the other to read.
    let bob = tokio::spawn(async move { in_order(bob, (0..STANZAS).step_by(2)).await });
    mallory.say(&all).await;
    in_order(mallory, (1..STANZAS).step_by(2)).await;
    bob.await.expect("bob reads");
    let grown = kim.resident_bytes_max().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    bystanders.were_not_disturbed().await;
    kim.stop();
}

async fn in_order(mut person: Person, ids: impl Iterator<Item = usize>) {
    for id in ids {
        let xml = person.wait().await;
        assert!(xml.contains(&format!("id='{id}'")), "{xml} instead of {id}");
    }
}
