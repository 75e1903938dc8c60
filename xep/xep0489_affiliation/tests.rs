//! Stories of what servers say about their accounts.

use kim_core::accounts::scram::Password;
use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{Arrival, ServiceArrival};
use kim_core::hook::{Flow, On, Stage};
use kim_core::jid::BareJid;
use kim_core::module::{Entry, Module, Registrar, Spec};
use kim_core::stanza::{Kind, Stanza};
use kim_core::testing::{Client, House, Neighbour};
use kim_core::wire::Element;
use std::sync::{Arc, Mutex};

use super::api::{self, AffiliationKind, Affiliations, PeerAffiliation};
use crate::MODULES;

/// 2026-01-31T12:00:00Z
const NOON: Timestamp = Timestamp(1_769_860_800_000_000);
const QUIET: &str = "[server]\nadmins = [\"chief@localhost\"]\n[xep0384_omemo]\npolicy = \"off\"\n";
const FORBIDDEN: &str = "<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
const MEMBER: &str = "<info xmlns='urn:xmpp:raa:0' affiliation='member'/>";

async fn house() -> House {
    House::configured(MODULES, QUIET).await
}

fn query(to: &str) -> String {
    format!("<iq id='q' to='{to}' type='get'><query xmlns='urn:xmpp:raa:0'/></iq>")
}

async fn registered(house: &House, name: &str) -> Client {
    let account = BareJid::new(Some(name), "localhost").unwrap();
    let password = Password::prepare("secret").unwrap();
    house
        .router
        .accounts()
        .register(&account, &password)
        .await
        .unwrap();
    house.online(&format!("{name}@localhost/x")).await
}

async fn tell(there: &mut Neighbour, xml: &str) {
    assert_eq!(there.send(xml).await, None, "{xml}");
}

/// §3, §4.2
#[tokio::test]
async fn an_account_is_told_what_it_is() {
    let house = house().await;
    let mut member = house.connect("alice@localhost/x").await;
    member
        .ask(
            &query("alice@localhost"),
            &format!("<iq id='q' from='alice@localhost' type='result'>{MEMBER}</iq>"),
        )
        .await;
    let mut chief = house.connect("chief@localhost/x").await;
    chief
        .ask(
            &query("chief@localhost"),
            "<iq id='q' from='chief@localhost' type='result'><info xmlns='urn:xmpp:raa:0' affiliation='admin'/></iq>",
        )
        .await;
    let mut guest = house.guest("g@guest.localhost/x").await;
    guest
        .ask(
            &query("g@guest.localhost"),
            "<iq id='q' from='g@guest.localhost' type='result'>\
             <info xmlns='urn:xmpp:raa:0' affiliation='anonymous'/></iq>",
        )
        .await;
    let mut bill = registered(&house, "bill").await;
    bill.send(&query("bill@localhost")).await;
    let answer = bill.next().unwrap();
    assert!(
        answer.contains("affiliation='registered' since='") && answer.contains("T00:00:00Z'"),
        "{answer}"
    );
}

/// §4.2, §5: who knows of the account already may ask; all others learn as much of one that is not there.
#[tokio::test]
async fn strangers_cannot_tell_an_account_from_none() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/x").await;
    let mut bob = house.online("bob@localhost/x").await;
    let mut there = house.neighbour("example.org");
    for name in ["alice", "nobody"] {
        for from in ["romeo@example.org/orchard", "example.org"] {
            tell(
                &mut there,
                &format!(
                    "<iq id='q' from='{from}' to='{name}@localhost' type='get'><query xmlns='urn:xmpp:raa:0'/></iq>"
                ),
            )
            .await;
            there.expect(&format!(
                "<iq id='q' from='{name}@localhost' to='{from}' type='error'>{FORBIDDEN}</iq>"
            ));
        }
        bob.ask(
            &query(&format!("{name}@localhost")),
            &format!("<iq id='q' from='{name}@localhost' type='error'>{FORBIDDEN}</iq>"),
        )
        .await;
        bob.send(&query(&format!("{name}@localhost/gone"))).await;
        assert!(
            bob.next()
                .is_some_and(|answer| answer.contains("<service-unavailable"))
        );
    }
    // A contact may ask, and so may its server.
    tell(
        &mut there,
        "<presence from='romeo@example.org' to='alice@localhost' type='subscribe'/>",
    )
    .await;
    alice
        .send("<presence to='romeo@example.org' type='subscribed'/>")
        .await;
    there.skip();
    for from in ["romeo@example.org/orchard", "example.org"] {
        tell(
            &mut there,
            &format!(
                "<iq id='q' from='{from}' to='alice@localhost' type='get'><query xmlns='urn:xmpp:raa:0'/></iq>"
            ),
        )
        .await;
        there.expect(&format!(
            "<iq id='q' from='alice@localhost' to='{from}' type='result'>{MEMBER}</iq>"
        ));
    }
}

/// §6
#[tokio::test]
async fn the_server_announces_in_what_it_says_so() {
    let house = house().await;
    let mut there = house.neighbour("example.org");
    tell(
        &mut there,
        "<iq id='d' from='example.org' to='localhost' type='get'>\
         <query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    )
    .await;
    let answer = there.next().unwrap();
    for feature in [
        "",
        "#embed-presence-sub",
        "#embed-presence-directed",
        "#embed-message",
    ] {
        assert!(
            answer.contains(&format!("<feature var='urn:xmpp:raa:0{feature}'/>")),
            "{feature}"
        );
    }
}

/// §4.3, §5, §7.2: the server's own word in what leaves for people who are no contacts, and no other word.
#[tokio::test]
async fn what_leaves_for_strangers_says_who_sends_it() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/x").await;
    let mut there = house.neighbour("example.org");
    let forged = "<info xmlns='urn:xmpp:raa:0' affiliation='admin' trust='100'/>";
    let to = "to='romeo@example.org'";
    alice
        .send(&format!("<presence {to} type='subscribe'>{forged}</presence>"))
        .await;
    there.expect(&format!(
        "<presence from='alice@localhost' {to} type='subscribe'>{MEMBER}</presence>"
    ));
    alice
        .send(&format!(
            "<message {to} type='chat'><body>hi</body>{forged}</message>"
        ))
        .await;
    let message = there.next().unwrap();
    assert!(
        message.contains(MEMBER) && !message.contains("admin"),
        "{message}"
    );
    let room = "to='room@example.org/nick'";
    alice.send(&format!("<presence {room}>{forged}</presence>")).await;
    there.expect(&format!(
        "<presence from='alice@localhost/x' {room}>{MEMBER}</presence>"
    ));
    // The room was told once.
    for stanza in [
        "<message to='room@example.org' type='groupchat'><body>hi</body></message>",
        "<message to='room@example.org/other' type='chat'><body>hi</body></message>",
    ] {
        alice.send(stanza).await;
        let message = there.next().unwrap();
        assert!(!message.contains("raa"), "{message}");
    }
    // Among themselves people say nothing about it, whatever they claim.
    let mut bob = house.online("bob@localhost/x").await;
    alice
        .send(&format!(
            "<message to='bob@localhost' type='chat'><body>hi</body>{forged}</message>"
        ))
        .await;
    let message = bob.next().unwrap();
    assert!(!message.contains("raa"), "{message}");
    // A contact knows already.
    tell(
        &mut there,
        "<presence from='romeo@example.org' to='alice@localhost' type='subscribed'/>",
    )
    .await;
    alice
        .send(&format!(
            "<message {to} type='chat'><body>hi</body>{forged}</message>"
        ))
        .await;
    there.skip();
    alice
        .send(&format!(
            "<message {to} type='chat'><body>hi</body>{forged}</message>"
        ))
        .await;
    let message = there.next().unwrap();
    assert!(!message.contains("raa"), "{message}");
}

/// §5, §7.1
#[test]
fn strangers_learn_the_day_and_later_the_month() {
    let of = |kind| PeerAffiliation {
        kind,
        since: Some(NOON),
        trust: None,
    };
    let after = |days: i64| Timestamp(NOON.0 + days * 86_400_000_000);
    let said = |kind, days| api::write(&of(kind), true, after(days));
    let registered = |since: &str| {
        format!("<info xmlns='urn:xmpp:raa:0' affiliation='registered' since='{since}T00:00:00Z'/>")
    };
    assert_eq!(said(AffiliationKind::Registered, 0), registered("2026-01-31"));
    assert_eq!(said(AffiliationKind::Registered, 30), registered("2026-01-31"));
    assert_eq!(said(AffiliationKind::Registered, 31), registered("2026-01-01"));
    assert_eq!(said(AffiliationKind::Member, 0), MEMBER);
    assert_eq!(said(AffiliationKind::Admin, 0), MEMBER);
}

#[test]
fn what_others_say_is_read_or_nothing_is_known() {
    let read = |attributes: &str| {
        let xml = format!("<message><info xmlns='urn:xmpp:raa:0' {attributes}/></message>");
        let message = Element::parse(&xml).unwrap();
        let info = message.children().next().unwrap();
        PeerAffiliation::read(info)
    };
    let whole = read("affiliation='registered' since='2026-01-31T00:00:00Z' trust='47'").unwrap();
    assert_eq!((whole.kind, whole.trust), (AffiliationKind::Registered, Some(47)));
    assert!(whole.is_hardly_known(NOON));
    assert!(!whole.is_hardly_known(Timestamp(NOON.0 + 3 * 86_400_000_000)));
    let bare = read("affiliation='registered' since='yesterday' trust='101'").unwrap();
    assert_eq!((bare.since, bare.trust), (None, None));
    assert!(!bare.is_hardly_known(NOON));
    assert!(read("affiliation='anonymous'").unwrap().is_hardly_known(NOON));
    assert!(
        !read("affiliation='member' since='2026-01-31T00:00:00Z'")
            .unwrap()
            .is_hardly_known(NOON)
    );
    assert_eq!(read("affiliation='owner'"), None);
    assert_eq!(read("since='2026-01-31T00:00:00Z'"), None);
}

/// What another module finds out about senders.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Option<AffiliationKind>>>>);

impl Seen {
    async fn look(&self, stanza: &Stanza, cx: &Cx) -> Result<(), Fault> {
        let said = Affiliations.of_sender(stanza, cx).await?;
        self.0.lock().unwrap().push(said.map(|said| said.kind));
        Ok(())
    }

    fn take(&self) -> Vec<Option<AffiliationKind>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl On<Arrival> for Seen {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        if !matches!(event.stanza.kind, Kind::Iq(_)) {
            self.look(&event.stanza, cx).await?;
        }
        Ok(Flow::Next)
    }
}

impl On<ServiceArrival> for Seen {
    async fn on(&self, event: &mut ServiceArrival, cx: &mut Cx) -> Result<Flow, Fault> {
        self.look(&event.stanza, cx).await?;
        assert!(!event.stanza.has("info", super::NS));
        Ok(Flow::Next)
    }
}

struct Witness;

impl Module for Witness {
    type Config = kim_core::config::NoSettings;
    const NAME: &'static str = "witness";
    const SPECS: &'static [Spec] = &[];

    fn register(_: Self::Config, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let seen = Arc::new(Seen::default());
        house.provide(seen.clone());
        house.on::<Arrival>(Stage::Filter, (*seen).clone());
        house.on::<ServiceArrival>(Stage::Admit, (*seen).clone());
        Ok(())
    }
}

/// §5, §7.2: a server's word counts once it has said in what it gives it, and for as long as that is not old.
#[tokio::test]
async fn another_server_is_believed_once_it_has_announced_it() {
    let modules = [MODULES, &[Entry::of::<Witness>()]].concat();
    let house = House::configured(
        &modules,
        &format!("{QUIET}[strangers]\nhardly_known = \"accept\"\n"),
    )
    .await;
    let seen = house.router.fact::<Seen>().unwrap();
    let mut alice = house.online("alice@localhost/x").await;
    let mut there = house.neighbour("example.org");
    seen.take();
    let message = "<message from='spammer@example.org/x' to='alice@localhost' type='chat'><body>hi</body>\
                   <info xmlns='urn:xmpp:raa:0' affiliation='member'/></message>";
    tell(&mut there, message).await;
    assert_eq!(seen.take(), [None]);
    assert!(alice.next().is_some_and(|message| !message.contains("raa")));
    let question = there.next().unwrap();
    assert!(
        question.contains("from='localhost' to='example.org'") && question.contains("disco#info"),
        "{question}"
    );
    let question = Stanza::parse(&question).unwrap();
    // It is asked once, and a made-up answer counts for nothing.
    tell(&mut there, message).await;
    there.expect_nothing();
    let answer = |id: &str| {
        format!(
            "<iq id='{id}' from='example.org' to='localhost' type='result'>\
             <query xmlns='http://jabber.org/protocol/disco#info'><feature var='urn:xmpp:raa:0#embed-message'/>\
             <feature var='urn:xmpp:raa:0'/></query></iq>"
        )
    };
    tell(&mut there, &answer("guess")).await;
    tell(&mut there, message).await;
    alice.skip();
    assert_eq!(seen.take(), [None, None]);
    // What speaks against its sender is believed of anybody, and shown to nobody.
    let guest = message.replace("affiliation='member'", "affiliation='anonymous'");
    tell(&mut there, &guest).await;
    assert_eq!(seen.take(), [Some(AffiliationKind::Anonymous)]);
    assert!(alice.next().is_some_and(|message| !message.contains("raa")));
    there.expect_nothing();

    tell(&mut there, &answer(question.id.as_deref().unwrap())).await;
    tell(&mut there, message).await;
    assert_eq!(seen.take(), [Some(AffiliationKind::Member)]);
    assert!(
        alice
            .next()
            .is_some_and(|message| message.contains("urn:xmpp:raa:0"))
    );
    // Two words are none; and in other stanzas it has announced nothing.
    let info = "<info xmlns='urn:xmpp:raa:0' affiliation='member'/>";
    tell(
        &mut there,
        &format!(
            "<message from='spammer@example.org/x' to='alice@localhost'><body>hi</body>{info}{info}</message>"
        ),
    )
    .await;
    tell(
        &mut there,
        &format!(
            "<presence from='spammer@example.org' to='alice@localhost' type='subscribe'>{info}</presence>"
        ),
    )
    .await;
    assert_eq!(seen.take(), [None, None]);
    // A room hears of it and does not pass it on.
    tell(
        &mut there,
        &message.replace("alice@localhost", "lobby@conference.localhost/alice"),
    )
    .await;
    assert_eq!(seen.take(), [Some(AffiliationKind::Member)]);
    // Of its own accounts the server knows without being told.
    let mut bob = house.online("bob@localhost/x").await;
    seen.take();
    bob.send("<message to='alice@localhost' type='chat'><body>hi</body></message>")
        .await;
    assert_eq!(seen.take(), [Some(AffiliationKind::Member)]);

    house.clock.advance(13 * 3_600);
    there.skip();
    tell(&mut there, message).await;
    assert_eq!(seen.take(), [None]);
    assert!(
        there
            .next()
            .is_some_and(|question| question.contains("disco#info"))
    );
}
