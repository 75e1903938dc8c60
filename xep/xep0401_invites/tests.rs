//! Stories of invitations: the whole way of one, and what people try with tokens that are not theirs or not good any more.

use std::net::IpAddr;
use std::sync::Arc;

use kim_core::accounts::scram::Password;
use kim_core::db::Query;
use kim_core::events::BeforeLogin;
use kim_core::facts::Facts;
use kim_core::jid::BareJid;
use kim_core::module::Offer;
use kim_core::stanza::Stanza;
use kim_core::testing::{Client, House};

use super::api::{InviteError, Invites, Made, Wanted};
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

async fn made(house: &House, wanted: Wanted) -> Made {
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
    let once = token(&made(&house, Wanted::by_operator("localhost")).await.links.uri);
    let late = token(&made(&house, Wanted::by_operator("localhost")).await.links.uri);
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
    let token = token(&made(&house, Wanted::by_operator("localhost")).await.links.uri);
    let stream = Stream::new(&house);
    assert!(is_done(&stream.show(&token).await));
    house.clock.advance(8 * 86_400);
    assert!(is_done(&stream.register("juliet").await));
}

#[tokio::test]
async fn a_registration_that_fails_uses_nothing_up() {
    let house = House::new(MODULES).await;
    house.account("taken@localhost").await;
    let token = token(&made(&house, Wanted::by_operator("localhost")).await.links.uri);
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
    let wanted = Wanted {
        uses: 3,
        ..Wanted::by_operator("localhost")
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
    let token = token(&made(&house, Wanted::by_operator("localhost")).await.links.uri);
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
async fn an_administrator_has_an_account_made_for_a_name_that_is_held() {
    // XEP-0401 §5.4, §6.2.
    let house = House::configured(MODULES, "[registration]\nopen = true\n").await;
    let mut admin = house.connect("admin@localhost/desk").await;
    let page = execute(&mut admin, "urn:xmpp:invite#create-account").await;
    assert!(
        page.contains("<actions execute='complete'><complete/></actions>"),
        "{page}"
    );
    assert!(
        page.contains("var='username'") && page.contains("var='roster-subscription'"),
        "{page}"
    );
    let (_, rest) = page.split_once("sessionid='").unwrap();
    let session = rest.split('\'').next().unwrap();
    // As the client of the example sends it: without FORM_TYPE, without an action.
    admin
        .send(&format!(
            "<iq id='y' to='localhost' type='set'><command xmlns='http://jabber.org/protocol/commands' \
             node='urn:xmpp:invite#create-account' sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>\
             <field var='username'><value>Juliet</value></field>\
             <field var='roster-subscription'><value>1</value></field></x></command></iq>"
        ))
        .await;
    let link = admin.next().unwrap();
    assert!(link.contains("xmpp:juliet@localhost?register;preauth="), "{link}");
    assert!(!link.contains("landing-url"), "{link}");
    let token = token(&link).split('<').next().unwrap().to_owned();

    let stranger = Stream::new(&house);
    assert!(stranger.register("juliet").await.contains("<conflict"));
    let other = super::tests::token(&made(&house, Wanted::by_operator("localhost")).await.links.uri);
    assert!(is_done(&stranger.show(&other).await));
    assert!(stranger.register("juliet").await.contains("<conflict"));

    let juliet = Stream::new(&house);
    assert!(is_done(&juliet.show(&token).await));
    let fields = juliet
        .ask("<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>")
        .await;
    assert!(fields.contains("<username>juliet</username>"), "{fields}");
    assert!(juliet.register("tybalt").await.contains("<not-acceptable"));
    assert!(is_done(&juliet.register("juliet").await));
    let item = invites(&house)
        .subscriptions
        .item(&house.router, &jid("admin@localhost"), &jid("juliet@localhost"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(item.state.subscription(), "both");
}

#[tokio::test]
async fn a_link_that_was_lost_is_made_anew_and_the_old_one_is_void() {
    let house = House::new(MODULES).await;
    let wanted = || Wanted {
        account: Some(jid("admin@localhost")),
        ..Wanted::by_operator("localhost")
    };
    let first = made(&house, wanted()).await;
    let second = made(&house, wanted()).await;
    let stream = Stream::new(&house);
    assert!(stream.show(&token(&first.links.uri)).await.contains(VOID));
    assert!(is_done(&stream.show(&token(&second.links.uri)).await));
    // The name is reserved for everybody else, and free for whoever was invited to it.
    assert!(is_done(&stream.register("admin").await));
    let taken = invites(&house).create(&house.router, wanted()).await;
    assert!(matches!(taken, Err(InviteError::Taken)));
}

#[tokio::test]
async fn only_so_many_in_a_day() {
    let house = House::configured(MODULES, "[xep0401_invites]\nper_account_per_day_max = 3\n").await;
    let mut romeo = house.connect("romeo@localhost/phone").await;
    for _ in 0..3 {
        assert!(
            execute(&mut romeo, "urn:xmpp:invite#invite")
                .await
                .contains("preauth=")
        );
    }
    let refused = execute(&mut romeo, "urn:xmpp:invite#invite").await;
    assert!(
        refused.contains("<resource-constraint") && refused.contains("tomorrow"),
        "{refused}"
    );
    let mut other = house.connect("benvolio@localhost/phone").await;
    assert!(
        execute(&mut other, "urn:xmpp:invite#invite")
            .await
            .contains("preauth=")
    );
    house.clock.advance(86_401);
    assert!(
        execute(&mut romeo, "urn:xmpp:invite#invite")
            .await
            .contains("preauth=")
    );
    // What is over goes once it no longer counts.
    house.clock.advance(30 * 86_400);
    assert!(
        execute(&mut romeo, "urn:xmpp:invite#invite")
            .await
            .contains("preauth=")
    );
    assert_eq!(rows(&house).await, 1);
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
async fn somebody_with_an_account_becomes_a_contact() {
    // XEP-0379 §3.4, §3.5: the inviter is offline, the server answers.
    let house = House::new(MODULES).await;
    house.account("romeo@localhost").await;
    let invitation = made(&house, Wanted::by_account(&jid("romeo@localhost"))).await;
    let token = token(&invitation.links.uri);
    let mut juliet = house.online("juliet@localhost/phone").await;
    let ask = |token: &str| {
        format!(
            "<presence id='s' to='romeo@localhost' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></presence>"
        )
    };
    juliet.send(&ask(&token)).await;
    juliet.expect_all(&[
        "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='romeo@localhost' subscription='none' ask='subscribe'/></query></iq>",
        "<presence from='romeo@localhost' to='juliet@localhost' type='subscribed'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster' ver='*'><item jid='romeo@localhost' subscription='to'/></query></iq>",
        "<presence from='romeo@localhost' to='juliet@localhost' type='subscribe'/>",
    ]);
    juliet
        .send("<presence to='romeo@localhost' type='subscribed'/>")
        .await;
    juliet.skip();

    // The same token from somebody else is as if it were not there (§4.1): romeo is asked.
    let mut mallory = house.online("mallory@localhost/web").await;
    mallory.send(&ask(&token)).await;
    mallory.send(&ask("nonsense")).await;
    let mut romeo = house.connect("romeo@localhost/phone").await;
    romeo
        .ask(
            "<iq id='1' type='get'><query xmlns='jabber:iq:roster'/></iq>",
            "<iq id='1' type='result'><query xmlns='jabber:iq:roster' ver='*'><item jid='juliet@localhost' subscription='both' approved='true'/></query></iq>",
        )
        .await;
    // And it makes no account any more.
    assert!(Stream::new(&house).show(&token).await.contains(VOID));
}

#[tokio::test]
async fn a_token_is_its_inviters_only() {
    // XEP-0379 §5.2: a token of romeo's says nothing to paris.
    let house = House::new(MODULES).await;
    house.account("romeo@localhost").await;
    house.account("paris@localhost").await;
    let invitation = made(&house, Wanted::by_account(&jid("romeo@localhost"))).await;
    let mut mallory = house.online("mallory@localhost/web").await;
    mallory
        .send(&format!(
            "<presence to='paris@localhost' type='subscribe'><preauth xmlns='urn:xmpp:pars:0' token='{}'/></presence>",
            token(&invitation.links.uri)
        ))
        .await;
    let state = invites(&house)
        .subscriptions
        .item(&house.router, &jid("paris@localhost"), &jid("mallory@localhost"))
        .await
        .unwrap()
        .unwrap()
        .state;
    assert!(!state.is_from());
    let found = invites(&house)
        .look_up(&house.router, &token(&invitation.links.uri))
        .await;
    assert_eq!(found.unwrap().unwrap().uses_left, 1);
}

#[tokio::test]
async fn a_token_is_for_its_domain() {
    let house = House::configured(MODULES, "[server]\ndomains = [\"localhost\", \"example.org\"]\n").await;
    let token = token(&made(&house, Wanted::by_operator("example.org")).await.links.uri);
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
async fn where_invitations_make_no_accounts_they_make_contacts() {
    let house = House::configured(MODULES, "[registration]\ninvites = false\n").await;
    let features = house.router.stream_features(Offer::BeforeLogin, "localhost");
    assert!(!features.contains("register"), "{features}");
    let mut admin = house.connect("admin@localhost/desk").await;
    let link = execute(&mut admin, "urn:xmpp:invite#invite").await;
    assert!(link.contains("preauth=") && !link.contains("ibr=y"), "{link}");
    assert!(
        execute(&mut admin, "urn:xmpp:invite#create-account")
            .await
            .contains("<item-not-found")
    );
    let none = invites(&house)
        .create(&house.router, Wanted::by_operator("localhost"))
        .await;
    assert!(matches!(none, Err(InviteError::Wrong(_))));
    let token = token(&link).split('<').next().unwrap().to_owned();
    assert_eq!(Stream::new(&house).show(&token).await, "nothing");

    let house = House::configured(MODULES, "[xep0401_invites]\naccounts_invite = false\n").await;
    let mut romeo = house.connect("romeo@localhost/phone").await;
    let link = execute(&mut romeo, "urn:xmpp:invite#invite").await;
    assert!(!link.contains("ibr=y"), "{link}");
    let token = super::tests::token(&link).split('<').next().unwrap().to_owned();
    assert!(Stream::new(&house).show(&token).await.contains(VOID));
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

#[tokio::test]
async fn a_web_page_redeems_a_link_to_a_room() {
    let house = House::configured(MODULES, SITE).await;
    let wanted = Wanted {
        room: Some(jid("lobby@conference.localhost")),
        uses: 2,
        ..Wanted::by_operator("localhost")
    };
    let made = made(&house, wanted).await;
    let invites = invites(&house);
    assert_eq!(
        made.links.room.as_deref(),
        Some("xmpp:lobby@conference.localhost?join")
    );
    let landing = made.links.landing.clone().unwrap();
    let token = landing.rsplit('/').next().unwrap();
    let found = invites.look_up(&house.router, token).await.unwrap().unwrap();
    assert_eq!(found, made.invitation);
    assert_eq!(invites.links(&found, token), made.links);
    let password = Password::prepare("secret").unwrap();
    let account = invites
        .redeem(&house.router, token, "Juliet", &password)
        .await
        .unwrap();
    assert_eq!(account, jid("juliet@localhost"));
    let again = invites.redeem(&house.router, token, "juliet", &password).await;
    assert!(matches!(again, Err(InviteError::Taken)));
    let reserved = invites
        .redeem(&house.router, token, "postmaster", &password)
        .await;
    assert!(matches!(reserved, Err(InviteError::Taken)));
    invites
        .redeem(&house.router, &token.to_uppercase(), "nurse", &password)
        .await
        .unwrap();
    let void = invites.redeem(&house.router, token, "tybalt", &password).await;
    assert!(matches!(void, Err(InviteError::Void)));
    assert_eq!(invites.look_up(&house.router, token).await.unwrap(), None);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let house = House::new(MODULES).await;
    let operator = || Wanted::by_operator("localhost");
    for wanted in [
        Wanted {
            domain: "elsewhere.example".into(),
            ..operator()
        },
        Wanted {
            domain: "guest.localhost".into(),
            ..operator()
        },
        Wanted {
            uses: 0,
            ..operator()
        },
        Wanted {
            uses: u32::MAX,
            ..operator()
        },
        Wanted {
            seconds: Some(0),
            ..operator()
        },
        Wanted {
            seconds: Some(u64::MAX),
            ..operator()
        },
        Wanted {
            account: Some(jid("a@elsewhere.example")),
            ..operator()
        },
        Wanted {
            account: Some(jid("localhost")),
            ..operator()
        },
        Wanted {
            account: Some(jid("a@localhost")),
            uses: 2,
            ..operator()
        },
    ] {
        let refused = invites(&house).create(&house.router, wanted.clone()).await;
        assert!(matches!(refused, Err(InviteError::Wrong(_))), "{wanted:?}");
    }
    assert_eq!(rows(&house).await, 0);
}

#[tokio::test]
async fn nothing_stays_of_an_account_that_goes() {
    let house = House::new(MODULES).await;
    house.account("romeo@localhost").await;
    house.account("benvolio@localhost").await;
    let invitation = made(&house, Wanted::by_account(&jid("romeo@localhost"))).await;
    made(&house, Wanted::by_account(&jid("benvolio@localhost"))).await;
    house.router.erase_account(&jid("romeo@localhost")).await.unwrap();
    assert_eq!(rows(&house).await, 1);
    assert!(
        Stream::new(&house)
            .show(&token(&invitation.links.uri))
            .await
            .contains(VOID)
    );
}

#[tokio::test]
async fn the_table_holds_no_token_and_no_log_would() {
    let house = House::new(MODULES).await;
    let made = made(&house, Wanted::by_operator("localhost")).await;
    let token = token(&made.links.uri);
    let row = house
        .db
        .fetch_optional(Query::new("SELECT token_hash FROM invites"));
    let hash = row.await.unwrap().unwrap().bytes(0).unwrap();
    assert_eq!(hash.len(), 32);
    assert!(
        !hash
            .windows(8)
            .any(|part| token.as_bytes().windows(8).any(|t| t == part))
    );
    assert!(!format!("{made:?}").contains(&token));
}

#[tokio::test]
async fn odd_names_stay_whole_in_links() {
    // RFC 5122 §2.2.
    let house = House::new(MODULES).await;
    let inviter = jid("o?;=#ü@localhost");
    let link = made(&house, Wanted::by_account(&inviter)).await.links.uri;
    assert!(
        link.starts_with("xmpp:o%3F%3B%3D%23%C3%BC@localhost?roster;preauth="),
        "{link}"
    );
}
