//! Sessions that outlive their connection (XEP-0198 §5), over real sockets: cut connections, races, the end of waiting,
//! and the server's own end.

mod common;

use common::{Client, PASSWORD, TestServer, condition};
use kim_core::jid::Jid;
use kim_core::wire::{Element, Frame};

const NS: &str = "urn:xmpp:sm:3";
const STREAMS: &str = "http://etherx.jabber.org/streams";

/// A stream that has logged in and not bound.
async fn logged_in(server: &TestServer, account: &str) -> Client {
    let (name, domain) = account.split_once('@').expect("an account");
    let mut client = server.secured(domain).await;
    client.login(name, PASSWORD).await;
    client.open(domain).await;
    assert!(client.features().contains("<sm xmlns='urn:xmpp:sm:3'/>"));
    client
}

/// A session, available, with stream management; and its id.
async fn managed(server: &TestServer, jid: &str) -> (Client, String) {
    managed_with(server, jid, "").await
}

async fn managed_with(server: &TestServer, jid: &str, attributes: &str) -> (Client, String) {
    let mut client = server.session(jid).await;
    client.send("<presence/>").await;
    // Somebody of that name may just be leaving.
    while client.next().await.attr("type").is_some() {}
    client
        .send(format!("<enable xmlns='{NS}' resume='true'{attributes}/>"))
        .await;
    let enabled = client.next().await;
    assert!(enabled.is("enabled", NS), "{}", enabled.as_str());
    let id = enabled.attr("id").expect("an id").into_owned();
    (client, id)
}

async fn resume(client: &mut Client, id: &str, h: u32) -> Element {
    client
        .send(format!("<resume xmlns='{NS}' previd='{id}' h='{h}'/>"))
        .await;
    client.next().await
}

/// The next element that is no question and no answer of stream management.
async fn stanza(client: &mut Client) -> Element {
    loop {
        let next = client.next().await;
        if next.ns() != NS {
            return next;
        }
    }
}

fn body(element: &Element) -> String {
    let body = element.child("body", "jabber:client");
    body.map(|body| body.text().into_owned())
        .unwrap_or_else(|| panic!("no body in {}", element.as_str()))
}

async fn say(from: &mut Client, to: &str, body: &str) {
    from.send(format!(
        "<message to='{to}' type='chat'><body>{body}</body></message>"
    ))
    .await;
}

/// Returns when the server has dealt with what a client without stream management sent.
async fn settle(client: &mut Client) {
    client.expect_nothing().await;
}

/// Asks how many stanzas were handled.
async fn handled(client: &mut Client) -> u32 {
    client.send(format!("<r xmlns='{NS}'/>")).await;
    loop {
        let next = client.next().await;
        if next.is("a", NS) {
            return next.attr("h").expect("a number").parse().expect("a number");
        }
    }
}

async fn until_parked(server: &TestServer, sessions: usize) {
    server.until(|server| server.door().waiting() == sessions).await;
}

#[tokio::test]
async fn a_cut_connection_loses_nothing() {
    let server = TestServer::start().await;
    let (mut alice, id) = managed(&server, "alice@localhost/phone").await;
    let mut bob = server.session("bob@localhost/laptop").await;
    say(&mut alice, "bob@localhost/laptop", "on my way").await;
    assert_eq!(body(&bob.next().await), "on my way");
    say(&mut bob, "alice@localhost", "one").await;
    assert_eq!(body(&stanza(&mut alice).await), "one");
    alice.vanish();
    until_parked(&server, 1).await;
    for text in ["two", "three"] {
        say(&mut bob, "alice@localhost", text).await;
    }
    bob.send("<iq type='get' id='ver' to='alice@localhost/phone'><query xmlns='jabber:iq:version'/></iq>")
        .await;
    settle(&mut bob).await;

    let mut alice = logged_in(&server, "alice@localhost").await;
    let resumed = resume(&mut alice, &id, 1).await;
    assert_eq!(
        (
            resumed.name(),
            resumed.attr("h").as_deref(),
            resumed.attr("previd").as_deref()
        ),
        ("resumed", Some("1"), Some(id.as_str()))
    );
    // What waited comes before anything new.
    say(&mut bob, "alice@localhost", "four").await;
    assert_eq!(body(&stanza(&mut alice).await), "two");
    assert_eq!(body(&stanza(&mut alice).await), "three");
    assert_eq!(stanza(&mut alice).await.attr("id").as_deref(), Some("ver"));
    assert_eq!(body(&stanza(&mut alice).await), "four");
    // It is the same session: no presence is needed, and answers find their way.
    alice
        .send("<iq type='result' id='ver' to='bob@localhost/laptop'><query xmlns='jabber:iq:version'/></iq>")
        .await;
    assert_eq!(bob.next().await.attr("id").as_deref(), Some("ver"));
    assert_eq!(handled(&mut alice).await, 2);
    assert_eq!(server.server().door().waiting(), 0);
}

#[tokio::test]
async fn what_was_written_and_not_confirmed_is_written_again() {
    let server = TestServer::start().await;
    let (mut alice, id) = managed(&server, "alice@localhost/phone").await;
    let mut bob = server.session("bob@localhost/laptop").await;
    for n in 0..50 {
        say(&mut bob, "alice@localhost", &n.to_string()).await;
    }
    for n in 0..50 {
        assert_eq!(body(&stanza(&mut alice).await), n.to_string());
    }
    // Thirty were dealt with; the rest is lost with the connection.
    for round in 0..3 {
        alice.vanish();
        until_parked(&server, 1).await;
        alice = logged_in(&server, "alice@localhost").await;
        assert!(resume(&mut alice, &id, 30 + round).await.is("resumed", NS));
        for n in 30 + round..50 {
            assert_eq!(body(&stanza(&mut alice).await), n.to_string());
        }
    }
    alice.send(format!("<a xmlns='{NS}' h='50'/>")).await;
    handled(&mut alice).await;
    alice.vanish();
    until_parked(&server, 1).await;
    let mut alice = logged_in(&server, "alice@localhost").await;
    assert!(resume(&mut alice, &id, 50).await.is("resumed", NS));
    say(&mut bob, "alice@localhost", "new").await;
    assert_eq!(body(&stanza(&mut alice).await), "new");
}

#[tokio::test]
async fn the_old_connection_may_still_be_there() {
    // XEP-0198 §5: it ends with a conflict.
    let server = TestServer::start().await;
    let (mut old, id) = managed(&server, "alice@localhost/phone").await;
    let mut bob = server.session("bob@localhost/laptop").await;
    say(&mut bob, "alice@localhost", "one").await;
    assert_eq!(body(&stanza(&mut old).await), "one");
    // What it sent last is still dealt with, and counted.
    for _ in 0..20 {
        say(&mut old, "bob@localhost/laptop", "hi").await;
    }
    for _ in 0..20 {
        assert_eq!(body(&bob.next().await), "hi");
    }
    let mut new = logged_in(&server, "alice@localhost").await;
    let resumed = resume(&mut new, &id, 0).await;
    assert!(resumed.is("resumed", NS), "{}", resumed.as_str());
    assert_eq!(resumed.attr("h").as_deref(), Some("20"));
    old.expect_stream_error("conflict").await;
    assert_eq!(body(&stanza(&mut new).await), "one");
    say(&mut bob, "alice@localhost/phone", "two").await;
    assert_eq!(body(&stanza(&mut new).await), "two");
    assert_eq!(server.server().house().router.sessions().all().len(), 2);
    // Nobody was told that she had been away.
    settle(&mut bob).await;
}

#[tokio::test]
async fn an_old_connection_that_nobody_reads_is_no_obstacle() {
    let server =
        TestServer::configured("[limits]\nstanza_bytes_max = 262144\nbytes_burst = 100000000\n").await;
    let narrow = Client::connect_narrow(server.tcp).await;
    let mut old = server.session_over(narrow, "alice@localhost/phone").await;
    old.send("<presence/>").await;
    old.next().await;
    old.send(format!("<enable xmlns='{NS}' resume='true'/>")).await;
    let id = old.next().await.attr("id").expect("an id").into_owned();
    let mut bob = server.session("bob@localhost/laptop").await;
    // More than the kernels take: the server waits to write.
    let text = "x".repeat(100_000);
    for n in 0..30 {
        say(&mut bob, "alice@localhost", &format!("{n} {text}")).await;
    }
    settle(&mut bob).await;
    let mut new = logged_in(&server, "alice@localhost").await;
    assert!(resume(&mut new, &id, 0).await.is("resumed", NS));
    for n in 0..30 {
        let got = body(&stanza(&mut new).await);
        assert!(got.starts_with(&format!("{n} ")), "{}", &got[..5]);
        new.send(format!("<a xmlns='{NS}' h='{}'/>", n + 1)).await;
    }
}

#[tokio::test]
async fn of_two_that_resume_at_once_one_has_the_session() {
    let server = TestServer::start().await;
    for round in 0..10 {
        let account = format!("alice{round}@localhost");
        let jid = format!("{account}/phone");
        let (mut old, id) = managed(&server, &jid).await;
        if round % 2 == 0 {
            old.vanish();
            until_parked(&server, 1).await;
        }
        let mut one = logged_in(&server, &account).await;
        let mut two = logged_in(&server, &account).await;
        let request = format!("<resume xmlns='{NS}' previd='{id}' h='0'/>");
        tokio::join!(one.send(&request), two.send(&request));
        let (first, second) = tokio::join!(one.frame(), two.frame());
        let is_resumed = |frame: &Option<Frame>| matches!(frame, Some(Frame::Element(element)) if element.is("resumed", NS));
        assert!(is_resumed(&first) || is_resumed(&second), "{first:?} {second:?}");
        // One of them was told so first and has lost it again, or was refused.
        let router = &server.server().house().router;
        let full = Jid::parse(&jid).expect("a JID");
        let session = router.sessions().get(&full).expect("the session lives");
        let mut bob = server.session("bob@localhost/laptop").await;
        say(&mut bob, &jid, "who is it").await;
        settle(&mut bob).await;
        bob.close().await;
        let mut alive = 0;
        for (client, answer) in [(&mut one, first), (&mut two, second)] {
            match answer {
                Some(Frame::Element(element)) if element.is("resumed", NS) => loop {
                    match client.frame().await {
                        Some(Frame::Element(element)) if element.is("error", STREAMS) => {
                            assert_eq!(condition(&element), "conflict");
                            break;
                        }
                        Some(Frame::Element(element)) if element.is("message", "jabber:client") => {
                            assert_eq!(body(&element), "who is it");
                            alive += 1;
                            break;
                        }
                        Some(_) => {}
                        None => panic!("the connection ends without a word"),
                    }
                },
                Some(Frame::Element(element)) => {
                    assert!(element.is("failed", NS), "{}", element.as_str());
                    assert_eq!(condition(&element), "item-not-found");
                    // §5: that stream may bind.
                    client.bind(Some("tablet")).await;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(alive, 1, "exactly one has the session");
        session.close(kim_core::error::StreamCondition::Reset);
        one.vanish();
        two.vanish();
        server
            .until(|server| server.house().router.sessions().all().is_empty())
            .await;
    }
}

#[tokio::test]
async fn who_comes_too_late_learns_what_arrived_and_binds() {
    let server = TestServer::start().await;
    let (mut alice, id) = managed_with(&server, "alice@localhost/phone", " max='1'").await;
    let mut bob = server.session("bob@localhost/laptop").await;
    bob.send("<presence to='alice@localhost/phone'/>").await;
    stanza(&mut alice).await;
    alice.send("<presence to='bob@localhost/laptop'/>").await;
    bob.next().await;
    say(&mut alice, "bob@localhost/laptop", "one").await;
    assert_eq!(body(&bob.next().await), "one");
    say(&mut bob, "alice@localhost", "never read").await;
    assert_eq!(body(&stanza(&mut alice).await), "never read");
    alice.vanish();
    until_parked(&server, 1).await;
    say(&mut bob, "alice@localhost", "never sent").await;
    // After a second nobody waits any more: bob sees her go.
    let gone = bob.next().await;
    assert_eq!(
        gone.attr("type").as_deref(),
        Some("unavailable"),
        "{}",
        gone.as_str()
    );
    until_parked(&server, 0).await;

    let mut alice = logged_in(&server, "alice@localhost").await;
    let failed = resume(&mut alice, &id, 1).await;
    assert!(failed.is("failed", NS), "{}", failed.as_str());
    assert_eq!(condition(&failed), "item-not-found");
    assert_eq!(failed.attr("h").as_deref(), Some("2"));
    // On the same stream she binds and gets what waited, in order.
    alice.bind(Some("phone")).await;
    alice.send("<presence/>").await;
    let (mut bodies, mut present) = (Vec::new(), false);
    while bodies.len() < 2 || !present {
        let next = alice.next().await;
        present |= next.name() == "presence";
        if next.name() == "message" {
            assert!(
                next.child("delay", "urn:xmpp:delay").is_some(),
                "{}",
                next.as_str()
            );
            bodies.push(body(&next));
        }
    }
    assert_eq!(bodies, ["never read", "never sent"]);
    alice.expect_nothing().await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_the_stream_goes_on() {
    let server = TestServer::start().await;
    let (mut alice, id) = managed(&server, "alice@localhost/phone").await;
    server.account("mallory@localhost").await;
    let mut mallory = logged_in(&server, "mallory@localhost").await;
    for (id, h) in [("nonsense", 0), (id.as_str(), 0), ("", 0)] {
        let failed = resume(&mut mallory, id, h).await;
        assert_eq!(
            (condition(&failed).as_str(), failed.attr("h")),
            ("item-not-found", None)
        );
    }
    for (sent, error) in [
        (format!("<resume xmlns='{NS}'/>"), "bad-request"),
        (format!("<enable xmlns='{NS}'/>"), "unexpected-request"),
        (format!("<r xmlns='{NS}'/>"), "unexpected-request"),
    ] {
        mallory.send(sent).await;
        assert_eq!(condition(&mallory.next().await), error);
    }
    mallory.bind(Some("phone")).await;
    let failed = resume(&mut mallory, &id, 0).await;
    assert_eq!(condition(&failed), "unexpected-request");
    assert_eq!(handled(&mut alice).await, 0);

    // Before login, too (§3).
    let mut nobody = server.secured("localhost").await;
    let failed = resume(&mut nobody, &id, 0).await;
    assert_eq!(condition(&failed), "unexpected-request");
    nobody.login("alice", PASSWORD).await;
    nobody.open("localhost").await;

    // A number that cannot be ends the new stream (§6) and leaves the session alone.
    nobody
        .send(format!("<resume xmlns='{NS}' previd='{id}' h='7'/>"))
        .await;
    let error = nobody.next().await;
    assert_eq!(condition(&error), "undefined-condition");
    let detail = error.child("handled-count-too-high", NS).expect("the reason");
    assert_eq!(
        (detail.attr("h").as_deref(), detail.attr("send-count").as_deref()),
        (Some("7"), Some("0"))
    );
    assert_eq!(handled(&mut alice).await, 0);
    let mut again = logged_in(&server, "alice@localhost").await;
    assert!(resume(&mut again, &id, 0).await.is("resumed", NS));
}

#[tokio::test]
async fn a_closed_stream_is_over_and_so_is_one_that_another_session_replaced() {
    // §7
    let server = TestServer::start().await;
    let (mut alice, id) = managed(&server, "alice@localhost/phone").await;
    say(&mut alice, "nobody@localhost", "hi").await;
    stanza(&mut alice).await;
    alice.close().await;
    let mut alice = logged_in(&server, "alice@localhost").await;
    let failed = resume(&mut alice, &id, 0).await;
    assert_eq!(condition(&failed), "item-not-found");
    alice.bind(Some("phone")).await;
    alice.send("<presence/>").await;
    while alice.next().await.name() != "presence" {}
    alice.send(format!("<enable xmlns='{NS}' resume='true'/>")).await;
    let id = stanza_or_nonza(&mut alice, "enabled")
        .await
        .attr("id")
        .expect("an id")
        .into_owned();
    let mut bob = server.session("bob@localhost/laptop").await;
    alice.vanish();
    until_parked(&server, 1).await;
    say(&mut bob, "alice@localhost/phone", "waits").await;
    settle(&mut bob).await;
    // The same client binds anew under its name: what waited follows it.
    let mut alice = server.session("alice@localhost/phone").await;
    assert_eq!(body(&alice.next().await), "waits");
    until_parked(&server, 0).await;
    let mut late = logged_in(&server, "alice@localhost").await;
    assert_eq!(condition(&resume(&mut late, &id, 0).await), "item-not-found");
}

async fn stanza_or_nonza(client: &mut Client, name: &str) -> Element {
    loop {
        let next = client.next().await;
        if next.name() == name {
            return next;
        }
    }
}

#[tokio::test]
async fn a_client_that_never_answers_loses_its_connection_and_nothing_else() {
    let server = TestServer::configured("[xep0198_sm]\nanswer_seconds_max = 1\n").await;
    let (mut alice, id) = managed(&server, "alice@localhost/phone").await;
    let mut bob = server.session("bob@localhost/laptop").await;
    say(&mut bob, "alice@localhost", "are you there").await;
    until_parked(&server, 1).await;
    alice.read_to_end().await;
    let mut alice = logged_in(&server, "alice@localhost").await;
    assert!(resume(&mut alice, &id, 0).await.is("resumed", NS));
    assert_eq!(body(&stanza(&mut alice).await), "are you there");
}

#[tokio::test]
async fn a_stopping_server_lets_nothing_be_lost() {
    let mut server = TestServer::start().await;
    let (mut alice, _) = managed(&server, "alice@localhost/phone").await;
    let (mut carol, _) = managed(&server, "carol@localhost/phone").await;
    let mut bob = server.session("bob@localhost/laptop").await;
    alice.vanish();
    until_parked(&server, 1).await;
    say(&mut bob, "alice@localhost", "waits").await;
    say(&mut bob, "carol@localhost", "read, not confirmed").await;
    settle(&mut bob).await;
    stanza(&mut carol).await;
    let router = server.server().house().router.clone();
    server.stop().await;
    carol.expect_stream_error("system-shutdown").await;
    assert!(router.sessions().all().is_empty());
}

#[tokio::test]
async fn a_new_password_ends_sessions_that_wait() {
    use kim::control::{Control, Direct, Secret};
    let server = TestServer::start().await;
    let (mut alice, id) = managed(&server, "alice@localhost/phone").await;
    let account = alice.jid.as_ref().expect("bound").bare();
    alice.vanish();
    until_parked(&server, 1).await;
    let control = Direct::serving(server.server().house().router.clone());
    let secret = Secret::new(zeroize::Zeroizing::new(PASSWORD.to_owned()));
    control
        .user_passwd(&account, &secret)
        .await
        .expect("a new password");
    until_parked(&server, 0).await;
    let mut alice = logged_in(&server, "alice@localhost").await;
    assert_eq!(condition(&resume(&mut alice, &id, 0).await), "item-not-found");
}

/// RFC 6120 §4.9.3.12: a login is worth nothing once its password is another one, be the stream bound or not.
#[tokio::test]
async fn a_stream_that_proved_an_old_password_binds_and_resumes_nothing() {
    use kim_core::accounts::scram::Password;
    let server = TestServer::start().await;
    let router = server.server().house().router.clone();
    let (mut phone, id) = managed(&server, "alice@localhost/phone").await;
    let account = phone.jid.as_ref().expect("bound").bare();
    let binding = logged_in(&server, "alice@localhost").await;
    let resuming = logged_in(&server, "alice@localhost").await;
    server.account("bob@localhost").await;
    let removed = logged_in(&server, "bob@localhost").await;
    // The owner changes it from the phone, whose session stays.
    let change =
        "<query xmlns='jabber:iq:register'><username>alice</username><password>another</password></query>";
    phone
        .send(format!("<iq type='set' id='c' to='localhost'>{change}</iq>"))
        .await;
    assert_eq!(stanza(&mut phone).await.attr("type").as_deref(), Some("result"));

    let mut binding = binding;
    binding
        .send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        .await;
    binding.expect_stream_error("not-authorized").await;
    let mut resuming = resuming;
    resuming
        .send(format!("<resume xmlns='{NS}' previd='{id}' h='0'/>"))
        .await;
    resuming.expect_stream_error("not-authorized").await;
    assert_eq!(router.sessions().all_of(&account).len(), 1, "the phone's");
    phone
        .send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    assert_eq!(
        stanza(&mut phone).await.attr("id").as_deref(),
        Some("p"),
        "it is where it was"
    );

    // With the new password, both.
    let mut again = server.secured("localhost").await;
    again.login("alice", "another").await;
    again.open("localhost").await;
    let resumed = resume(&mut again, &id, 0).await;
    assert!(resumed.is("resumed", NS), "{}", resumed.as_str());

    // The same for an account that is gone, and for a new one of its name.
    let bob = kim_core::jid::BareJid::parse("bob@localhost").expect("an address");
    let accounts = router.accounts();
    router.erase_account(&bob).await.expect("a removal");
    let password = Password::prepare(PASSWORD).expect("a password");
    let made = accounts.create(&bob, &password, kim_core::accounts::Tombstone::Override);
    made.await.expect("another bob");
    let mut removed = removed;
    removed
        .send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        .await;
    removed.expect_stream_error("not-authorized").await;
    assert!(router.sessions().all_of(&bob).is_empty());
}
