//! Subscriptions and presence across servers (RFC 6121 §3, §4).

use super::{ROMEO, all, befriend, house, say};

fn push(item: &str) -> String {
    format!(
        "<iq type='set' id='*'><query xmlns='jabber:iq:roster' ver='*'><item jid='romeo@example.org' {item}/></query></iq>"
    )
}

#[tokio::test]
async fn a_request_is_sent_approved_and_cancelled() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");

    alice
        .send("<presence to='romeo@example.org/orchard' id='s1' type='subscribe'/>")
        .await;
    alice.expect(&push("subscription='none' ask='subscribe'"));
    there.expect(
        "<presence from='alice@localhost' to='romeo@example.org' id='s1' type='subscribe'>\
         <info xmlns='urn:xmpp:raa:0' affiliation='member'/></presence>",
    );
    say(
        &mut there,
        "<presence from='romeo@example.org' to='alice@localhost' type='subscribed'/>",
    )
    .await;
    alice.expect_all(&[
        &push("subscription='to'"),
        "<presence from='romeo@example.org' to='alice@localhost' type='subscribed'/>",
    ]);
    say(
        &mut there,
        "<presence from='romeo@example.org/orchard' to='alice@localhost'><show>away</show></presence>",
    )
    .await;
    alice.expect(
        "<presence from='romeo@example.org/orchard' to='alice@localhost'><show>away</show></presence>",
    );

    alice
        .send("<presence to='romeo@example.org' type='unsubscribe'/>")
        .await;
    alice.expect(&push("subscription='none'"));
    there.expect("<presence from='alice@localhost' to='romeo@example.org' type='unsubscribe'/>");
    // The other side withdraws what is withdrawn already: nobody is told twice (appendix A.3.4).
    say(
        &mut there,
        "<presence from='romeo@example.org' to='alice@localhost' type='unsubscribed'/>",
    )
    .await;
    alice.expect_nothing();
    there.expect_nothing();
}

#[tokio::test]
async fn a_request_from_elsewhere_is_approved_and_cancelled() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    alice
        .send("<presence><show>chat</show><priority>5</priority></presence>")
        .await;
    alice.skip();

    say(
        &mut there,
        "<presence from='romeo@example.org/orchard' to='alice@localhost' id='s1' type='subscribe'/>",
    )
    .await;
    alice.expect("<presence from='romeo@example.org' to='alice@localhost' id='s1' type='subscribe'/>");
    there.expect_nothing();
    alice
        .send("<presence to='romeo@example.org' type='subscribed'/>")
        .await;
    alice.expect(&push("subscription='from'"));
    there.expect("<presence from='alice@localhost' to='romeo@example.org' type='subscribed'/>");
    let now = "<presence from='alice@localhost/phone' to='romeo@example.org'><show>chat</show><priority>5</priority></presence>";
    there.expect(now);
    // Asked again, the server answers by itself (appendix A.3.1).
    say(
        &mut there,
        "<presence from='romeo@example.org' to='alice@localhost' type='subscribe'/>",
    )
    .await;
    there.expect("<presence from='alice@localhost' to='romeo@example.org' type='subscribed'/>");
    there.expect(now);
    alice.expect_nothing();

    alice
        .send("<presence to='romeo@example.org' type='unsubscribed'/>")
        .await;
    alice.expect(&push("subscription='none'"));
    there.expect("<presence from='alice@localhost/phone' to='romeo@example.org' type='unavailable'/>");
    there.expect("<presence from='alice@localhost' to='romeo@example.org' type='unsubscribed'/>");
    there.expect_nothing();
}

#[tokio::test]
async fn they_unsubscribe_and_hear_that_we_are_gone() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    befriend(&mut alice, &mut there).await;
    say(
        &mut there,
        "<presence from='romeo@example.org' to='alice@localhost' type='unsubscribe'/>",
    )
    .await;
    there.expect("<presence from='alice@localhost/phone' to='romeo@example.org' type='unavailable'/>");
    alice.expect_all(&[
        &push("subscription='to'"),
        "<presence from='romeo@example.org' to='alice@localhost' type='unsubscribe'/>",
    ]);
}

#[tokio::test]
async fn a_request_waits_for_whoever_is_away() {
    let house = house().await;
    house.account("alice@localhost").await;
    let mut there = house.neighbour("example.org");
    let request = "<presence from='romeo@example.org' to='alice@localhost' type='subscribe'><status>me</status></presence>";
    say(&mut there, request).await;
    say(
        &mut there,
        "<presence from='romeo@example.org' to='nobody@localhost' type='subscribe'/>",
    )
    .await;
    there.expect_nothing();
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send("<presence/>").await;
    alice.expect("<presence from='alice@localhost/phone'/>");
    // The text of somebody unknown is not kept.
    alice.expect("<presence from='romeo@example.org' to='alice@localhost' type='subscribe'/>");
}

#[tokio::test]
async fn an_approval_in_advance_is_given_by_the_server() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    alice
        .send("<presence to='romeo@example.org' type='subscribed'/>")
        .await;
    alice.expect(&push("subscription='none' approved='true'"));
    there.expect_nothing();
    say(
        &mut there,
        "<presence from='romeo@example.org' to='alice@localhost' type='subscribe'/>",
    )
    .await;
    there.expect("<presence from='alice@localhost' to='romeo@example.org' type='subscribed'/>");
    there.expect("<presence from='alice@localhost/phone' to='romeo@example.org'/>");
    alice.expect(&push("subscription='from' approved='true'"));
}

#[tokio::test]
async fn presence_goes_both_ways_until_the_end() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    befriend(&mut alice, &mut there).await;
    alice
        .send("<presence><show>dnd</show><priority>-1</priority></presence>")
        .await;
    there.expect("<presence from='alice@localhost/phone' to='romeo@example.org'><show>dnd</show><priority>-1</priority></presence>");
    alice.skip();
    alice
        .send("<presence type='unavailable'><status>bye</status></presence>")
        .await;
    there.expect("<presence from='alice@localhost/phone' to='romeo@example.org' type='unavailable'><status>bye</status></presence>");
    // Initial presence goes there and asks there (§4.2.2).
    alice.send("<presence/>").await;
    there.expect("<presence from='alice@localhost/phone' to='romeo@example.org'/>");
    there.expect("<presence from='alice@localhost/phone' to='romeo@example.org' type='probe'/>");
    alice.skip();
    let theirs = "<presence from='romeo@example.org/orchard' to='alice@localhost/phone'/>";
    say(&mut there, theirs).await;
    alice.expect(theirs);
    // A connection that is lost ends the session (§4.5.2).
    alice.disconnect().await;
    there.expect("<presence from='alice@localhost/phone' to='romeo@example.org' type='unavailable'/>");
    there.expect_nothing();
}

#[tokio::test]
async fn directed_presence_is_taken_back_at_the_end() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    alice
        .send("<presence to='romeo@example.org/orchard'><show>xa</show></presence>")
        .await;
    there.expect(
        "<presence from='alice@localhost/phone' to='romeo@example.org/orchard'><show>xa</show>\
         <info xmlns='urn:xmpp:raa:0' affiliation='member'/></presence>",
    );
    alice.send("<presence to='nurse@example.org'/>").await;
    alice
        .send("<presence to='nurse@example.org' type='unavailable'/>")
        .await;
    there.skip();
    alice.disconnect().await;
    there
        .expect("<presence from='alice@localhost/phone' to='romeo@example.org/orchard' type='unavailable'/>");
    there.expect_nothing();
}

#[tokio::test]
async fn probes_are_answered_for_those_who_may_see() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    let probe = |from: &str, to: &str| format!("<presence from='{from}' to='{to}' type='probe'/>");
    // Strangers hear the same of everybody (§4.3.2).
    for nobody in ["alice@localhost", "nobody@localhost", "alice@localhost/phone"] {
        say(&mut there, &probe(ROMEO, nobody)).await;
        let bare = nobody.split('/').next().unwrap();
        there.expect(&format!(
            "<presence from='{bare}' to='romeo@example.org' type='unsubscribed'/>"
        ));
    }
    befriend(&mut alice, &mut there).await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    there.skip();
    say(&mut there, &probe("romeo@example.org", "alice@localhost")).await;
    let mut answers = all(&mut there);
    answers.sort();
    assert_eq!(answers.len(), 2, "{answers:#?}");
    assert!(answers[0].contains("alice@localhost/phone") && answers[1].contains("alice@localhost/tablet"));
    say(&mut there, &probe(ROMEO, "alice@localhost/tablet")).await;
    there.expect("<presence from='alice@localhost/tablet' to='romeo@example.org/orchard'/>");
    there.expect_nothing();
    tablet.send("<presence type='unavailable'/>").await;
    alice.send("<presence type='unavailable'/>").await;
    there.skip();
    say(&mut there, &probe("romeo@example.org", "alice@localhost")).await;
    there.expect("<presence from='alice@localhost' to='romeo@example.org' type='unavailable'/>");
}

#[tokio::test]
async fn a_contact_that_is_removed_is_told_so() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("example.org");
    befriend(&mut alice, &mut there).await;
    alice
        .send("<iq id='r' type='set'><query xmlns='jabber:iq:roster'><item jid='romeo@example.org' subscription='remove'/></query></iq>")
        .await;
    let told = all(&mut there);
    // §2.5.2
    for kind in ["unavailable", "unsubscribe", "unsubscribed"] {
        assert!(
            told.iter().any(|xml| xml.contains(&format!("type='{kind}'"))),
            "{kind}: {told:#?}"
        );
    }
    assert_eq!(told.len(), 3, "{told:#?}");
}

#[tokio::test]
async fn who_cannot_be_reached_is_not_awaited() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    house.neighbour("example.org").disappear();
    alice
        .send("<presence to='romeo@example.org' id='s1' type='subscribe'/>")
        .await;
    alice.expect("<presence from='romeo@example.org' id='s1' type='error'><error type='cancel' code='404'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>");
    alice.expect_nothing();
}
