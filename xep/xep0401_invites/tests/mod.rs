//! Stories of invitations: the whole way of one, and what people try with tokens that are not theirs or not good any more.

mod contacts;
mod making;

use std::net::IpAddr;
use std::sync::Arc;

use kim_core::accounts::Enrolment;
use kim_core::accounts::scram::Password;
use kim_core::db::Query;
use kim_core::events::BeforeLogin;
use kim_core::facts::Facts;
use kim_core::jid::BareJid;
use kim_core::module::{Module, Offer};
use kim_core::stanza::Stanza;
use kim_core::testing::{Client, House};

use super::api::{InviteError, Invites, ListedInvitation, Made, WantedInvitation};
use super::store;
use crate::MODULES;

const SITE: &str = "[listen]\npublic_url = \"https://chat.example.org/\"\n";
const VOID: &str = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text \
                    xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>The provided token is invalid or expired</text>";

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn invites(house: &House) -> Arc<Invites> {
    house.router.fact().unwrap()
}

async fn made(house: &House, wanted: WantedInvitation) -> Made {
    invites(house).create(&house.router, wanted).await.unwrap()
}

fn token(links: &str) -> String {
    let (_, rest) = links.split_once("preauth=").expect("a token");
    rest.split(';').next().unwrap_or_default().to_owned()
}

/// A stream that has not signed in.
struct Stream<'a> {
    house: &'a House,
    domain: &'static str,
    address: IpAddr,
    facts: Arc<Facts>,
}

impl<'a> Stream<'a> {
    fn new(house: &'a House) -> Stream<'a> {
        Stream {
            house,
            domain: "localhost",
            address: "192.0.2.1".parse().unwrap(),
            facts: Arc::default(),
        }
    }

    async fn ask(&self, xml: &str) -> String {
        let event = BeforeLogin {
            stanza: Stanza::parse(xml).unwrap(),
            domain: self.domain.into(),
            address: self.address,
            facts: self.facts.clone(),
            reply: None,
        };
        let answer = self.house.router.before_login(event).await;
        answer.map_or_else(|| "nothing".to_owned(), |answer| answer.to_xml())
    }

    async fn show(&self, token: &str) -> String {
        let preauth = format!("<preauth xmlns='urn:xmpp:pars:0' token='{token}'/>");
        self.ask(&format!("<iq type='set' to='localhost' id='p'>{preauth}</iq>"))
            .await
    }

    async fn register(&self, username: &str) -> String {
        self.ask(&format!(
            "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{username}</username>\
             <password>secret</password></query></iq>"
        ))
        .await
    }
}

async fn exists(house: &House, account: &str) -> bool {
    house.router.accounts().exists(&jid(account)).await.unwrap()
}

async fn rows(house: &House) -> i64 {
    let row = house
        .db
        .fetch_optional(Query::new("SELECT COUNT(*) FROM invites"));
    row.await.unwrap().unwrap().i64(0).unwrap()
}

fn is_done(answer: &str) -> bool {
    answer.contains("type='result'")
}

async fn execute(client: &mut Client, node: &str) -> String {
    client
        .send(&format!(
            "<iq id='x' to='localhost' type='set'><command xmlns='http://jabber.org/protocol/commands' node='{node}'/></iq>"
        ))
        .await;
    client.next().expect("an answer")
}

#[tokio::test]
async fn romeo_invites_juliet_who_has_no_account() {
    // XEP-0401 §5.1, §5.5; XEP-0445 §4.
    let house = House::configured(MODULES, SITE).await;
    let mut romeo = house.online("romeo@localhost/phone").await;
    let link = execute(&mut romeo, "urn:xmpp:invite#invite").await;
    let token = token(&link).split('<').next().unwrap().to_owned();
    assert!(link.contains("status='completed'"), "{link}");
    assert!(
        link.contains(&format!("xmpp:romeo@localhost?roster;preauth={token};ibr=y")),
        "{link}"
    );
    assert!(
        link.contains(&format!("https://chat.example.org/invite/{token}<")),
        "{link}"
    );
    assert!(link.contains("<value>2026-02-07T12:00:00Z</value>"), "{link}");
    assert_eq!(token.len(), 32);

    let stream = Stream::new(&house);
    assert!(is_done(&stream.show(&token).await));
    let fields = "<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>";
    assert!(stream.ask(fields).await.contains("<username/>"));
    assert!(is_done(&stream.register("juliet").await));

    // "the server MUST use roster pushes".
    romeo.expect("<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='juliet@localhost' subscription='both'/></query></iq>");
    let mut juliet = house.connect("juliet@localhost/laptop").await;
    juliet
        .ask(
            "<iq id='1' type='get'><query xmlns='jabber:iq:roster'/></iq>",
            "<iq id='1' type='result'><query xmlns='jabber:iq:roster' ver='*'><item jid='romeo@localhost' subscription='both'/></query></iq>",
        )
        .await;
    juliet.send("<presence/>").await;
    romeo.expect("<presence from='juliet@localhost/laptop'/>");

    // Her client asks with the token all the same (§5.3.1): nothing is asked of anybody, and nothing is used up.
    juliet.skip();
    juliet
        .send(&format!(
            "<presence to='romeo@localhost' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></presence>"
        ))
        .await;
    romeo.expect_nothing();
}

#[tokio::test]
async fn a_token_lets_in_once_and_tells_nobody_why_not() {
    let house = House::new(MODULES).await;
    let once = token(
        &made(&house, WantedInvitation::by_operator("localhost"))
            .await
            .links
            .uri,
    );
    let late = token(
        &made(&house, WantedInvitation::by_operator("localhost"))
            .await
            .links
            .uri,
    );
    assert!(!is_done(&Stream::new(&house).register("early").await));

    let (first, second) = (Stream::new(&house), Stream::new(&house));
    assert!(is_done(&first.show(&once).await));
    assert!(
        is_done(&second.show(&once).await),
        "not used before the account is there"
    );
    assert!(is_done(&first.register("juliet").await));
    let refused = second.register("mallory").await;
    assert!(refused.contains(VOID), "{refused}");
    assert!(!exists(&house, "mallory@localhost").await);
    assert!(first.register("another").await.contains(VOID));

    // Unknown, used up, too old, malformed: the same words.
    house.clock.advance(7 * 86_400 + 301);
    let never = "a".repeat(32);
    let mut answers = Vec::new();
    for token in [
        &*once,
        &*late,
        &*never,
        "",
        "x",
        "' or 1=1",
        &"é".repeat(16),
        &"a".repeat(5_000),
    ] {
        let token = token.replace('\'', "&apos;");
        answers.push(Stream::new(&house).show(&token).await);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(
        answers[0].contains(VOID) && answers[0].contains("type='cancel'"),
        "{}",
        answers[0]
    );
    let stream = Stream::new(&house);
    let without = stream.ask("<iq type='set' to='localhost' id='p'><preauth xmlns='urn:xmpp:pars:0'/></iq>");
    assert_eq!(without.await, answers[0]);
}

#[tokio::test]
async fn the_time_of_a_token_is_judged_once() {
    // XEP-0445 §4: "Subsequent actions … MUST NOT be rejected due to token expiry".
    let house = House::new(MODULES).await;
    let token = token(
        &made(&house, WantedInvitation::by_operator("localhost"))
            .await
            .links
            .uri,
    );
    let stream = Stream::new(&house);
    assert!(is_done(&stream.show(&token).await));
    house.clock.advance(8 * 86_400);
    assert!(is_done(&stream.register("juliet").await));
}

#[tokio::test]
async fn a_registration_that_fails_uses_nothing_up() {
    let house = House::new(MODULES).await;
    house.account("taken@localhost").await;
    let token = token(
        &made(&house, WantedInvitation::by_operator("localhost"))
            .await
            .links
            .uri,
    );
    let stream = Stream::new(&house);
    assert!(is_done(&stream.show(&token).await));
    for name in ["taken", "admin", "postmaster", "a b", ""] {
        assert!(!is_done(&stream.register(name).await), "{name}");
    }
    assert!(is_done(&stream.register("juliet").await));
    assert!(!is_done(&stream.register("second").await));
}

#[tokio::test]
async fn several_may_come_with_one_link() {
    let house = House::new(MODULES).await;
    let wanted = WantedInvitation {
        uses: 3,
        ..WantedInvitation::by_operator("localhost")
    };
    let token = token(&made(&house, wanted).await.links.uri);
    for (n, lets_in) in [(1, true), (2, true), (3, true), (4, false)] {
        let stream = Stream::new(&house);
        assert_eq!(is_done(&stream.show(&token).await), lets_in);
        assert_eq!(is_done(&stream.register(&format!("guest{n}")).await), lets_in);
    }
}

#[tokio::test]
async fn of_many_who_race_one_gets_in() {
    let house = House::new(MODULES).await;
    let token = token(
        &made(&house, WantedInvitation::by_operator("localhost"))
            .await
            .links
            .uri,
    );
    let mut streams = Vec::new();
    for n in 0..20 {
        let stream = Stream::new(&house);
        assert!(is_done(&stream.show(&token).await));
        streams.push((stream, format!("racer{n}")));
    }
    let mut running = tokio::task::JoinSet::new();
    for (stream, name) in &streams {
        let (router, facts, name) = (house.router.clone(), stream.facts.clone(), name.clone());
        running.spawn(async move {
            let xml = format!(
                "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{name}</username>\
                 <password>secret</password></query></iq>"
            );
            let event = BeforeLogin {
                stanza: Stanza::parse(&xml).unwrap(),
                domain: "localhost".into(),
                address: "192.0.2.1".parse().unwrap(),
                facts,
                reply: None,
            };
            router
                .before_login(event)
                .await
                .is_some_and(|answer| is_done(&answer.to_xml()))
        });
    }
    let outcomes = running.join_all().await;
    assert_eq!(outcomes.iter().filter(|done| **done).count(), 1);
    assert_eq!(house.router.accounts().count().await.unwrap(), 1);
}

#[tokio::test]
async fn so_many_tokens_may_be_tried_from_one_network() {
    let house = House::configured(MODULES, "[xep0401_invites]\ntries_per_address_per_minute = 5\n").await;
    let mut stream = Stream::new(&house);
    for n in 0..10 {
        stream.address = format!("2001:db8::{n:x}").parse().unwrap();
        let answer = stream.show(&"a".repeat(32)).await;
        assert_eq!(answer.contains("<resource-constraint"), n >= 5, "{n}: {answer}");
    }
    stream.address = "2001:db8:0:1::1".parse().unwrap();
    assert!(stream.show(&"a".repeat(32)).await.contains(VOID));
}

#[tokio::test]
async fn a_token_is_for_its_domain() {
    let house = House::configured(MODULES, "[server]\ndomains = [\"localhost\", \"example.org\"]\n").await;
    let token = token(
        &made(&house, WantedInvitation::by_operator("example.org"))
            .await
            .links
            .uri,
    );
    let mut stream = Stream::new(&house);
    assert!(stream.show(&token).await.contains(VOID));
    stream.domain = "example.org";
    assert!(is_done(&stream.show(&token).await));
    // The stream is opened again, to another domain.
    stream.domain = "localhost";
    assert!(stream.register("juliet").await.contains("<not-allowed"));
    stream.domain = "guest.localhost";
    assert_eq!(stream.show(&token).await, "nothing");
}

#[tokio::test]
async fn clients_are_told_that_tokens_are_taken() {
    // XEP-0445 §3; clients look for both.
    let house = House::new(MODULES).await;
    let features = house.router.stream_features(Offer::BeforeLogin, "localhost");
    assert!(
        features.contains("<register xmlns='urn:xmpp:ibr-token:0'/>"),
        "{features}"
    );
    assert!(
        features.contains("<register xmlns='http://jabber.org/features/iq-register'/>"),
        "{features}"
    );
    let guests = house
        .router
        .stream_features(Offer::BeforeLogin, "guest.localhost");
    assert!(!guests.contains("register"), "{guests}");
    let open = House::configured(MODULES, "[registration]\nopen = true\n").await;
    let features = open.router.stream_features(Offer::BeforeLogin, "localhost");
    assert_eq!(features.matches("iq-register").count(), 1, "{features}");
}
