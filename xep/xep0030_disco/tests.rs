//! Modules that add to service discovery at run time, and questions that are not well put.

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault};
use kim_core::events::ServiceArrival;
use kim_core::hook::{Flow, On, Stage};
use kim_core::jid::Jid;
use kim_core::module::{At, Entry, Identity, Module, Registrar, Spec};
use kim_core::stanza::Kind;
use kim_core::testing::House;

use super::Disco;
use super::api::{DiscoItem, Info, InfoAsked, ItemsAsked};
use crate::rfc6121_im::Im;
use crate::xep0359_ids::StanzaIds;

/// A module that knows one node of the server, keeps something for accounts, and has a service.
struct Library;

impl Module for Library {
    type Config = NoSettings;
    const NAME: &'static str = "library";
    const SPECS: &'static [Spec] = &[];
    const NEEDS: &'static [&'static str] = &[Disco::NAME];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.form(At::Server, "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:books</value></field></x>".into());
        house.service("books");
        house.identity(
            At::Service("books"),
            Identity {
                category: "store",
                kind: "books",
                name: "Books",
            },
        );
        house.feature(&[At::Within("books")], "urn:read");
        house.on::<ServiceArrival>(Stage::Deliver, Library);
        house.on::<InfoAsked>(Stage::Deliver, Library);
        house.on::<ItemsAsked>(Stage::Deliver, Library);
        Ok(())
    }
}

/// Of books, only one is there; who leaves a message at it gets it back.
impl On<ServiceArrival> for Library {
    async fn on(&self, arrival: &mut ServiceArrival, cx: &mut Cx) -> Result<Flow, Fault> {
        if arrival.service != "books" || !matches!(arrival.stanza.kind, Kind::Message(_)) {
            return Ok(Flow::Next);
        }
        if arrival.to.local() != Some("moby-dick") {
            return Err(Condition::ItemNotFound.into());
        }
        let back = arrival
            .stanza
            .clone()
            .from(arrival.to.clone())
            .to(arrival.from.clone());
        cx.send(back);
        Ok(Flow::Done)
    }
}

impl On<InfoAsked> for Library {
    async fn on(&self, asked: &mut InfoAsked, cx: &mut Cx) -> Result<Flow, Fault> {
        match (asked.at, asked.node.as_deref(), &mut asked.info) {
            (At::Server, Some("books"), info) => {
                info.get_or_insert_with(Info::new)
                    .identity("hierarchy", "branch", "Books <&>");
            }
            (At::Within("books"), None, info) if asked.account.local() == Some("moby-dick") => {
                *info = Some(Info::advertised(cx.router(), asked.at));
            }
            (At::Own, None, Some(info)) => info.feature(format!("urn:shelf:{}", asked.asker)),
            _ => {}
        }
        Ok(Flow::Next)
    }
}

impl On<ItemsAsked> for Library {
    async fn on(&self, asked: &mut ItemsAsked, _: &mut Cx) -> Result<Flow, Fault> {
        let item = |jid: &str, node: Option<&str>| DiscoItem {
            jid: Jid::parse(jid).unwrap(),
            node: node.map(str::to_owned),
            name: Some("Books".into()),
        };
        if (asked.at, asked.node.as_deref()) == (At::Server, Some("books")) {
            asked.items = Some(vec![item("localhost", Some("books/1"))]);
        }
        Ok(Flow::Next)
    }
}

async fn house() -> House {
    House::new(&[
        Entry::of::<StanzaIds>(),
        Entry::of::<Im>(),
        Entry::of::<crate::xep0059_rsm::ResultSets>(),
        Entry::of::<Disco>(),
        Entry::of::<Library>(),
    ])
    .await
}

#[tokio::test]
async fn rooms_answer_for_their_nodes_and_the_node_is_named_again() {
    let house = house().await;
    let mut alice = house.connect("alice@localhost/phone").await;
    // §3.2
    alice
        .ask(
            "<iq id='1' to='localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='books'/></iq>",
            "<iq id='1' from='localhost' type='result'>
               <query xmlns='http://jabber.org/protocol/disco#info' node='books'>
                 <identity category='hierarchy' type='branch' name='Books &lt;&amp;>'/>
                 <feature var='http://jabber.org/protocol/disco#info'/>
               </query></iq>",
        )
        .await;
    // §4.2
    alice
        .ask(
            "<iq id='2' to='localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#items' node='books'/></iq>",
            "<iq id='2' type='result'><query xmlns='http://jabber.org/protocol/disco#items' node='books'>
               <item jid='localhost' node='books/1' name='Books'/></query></iq>",
        )
        .await;
    alice
        .ask(
            "<iq id='3' to='localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
            "<iq id='3' type='result'><query xmlns='http://jabber.org/protocol/disco#items'>
               <item jid='books.localhost'/></query></iq>",
        )
        .await;
}

#[tokio::test]
async fn a_service_has_a_domain_of_its_own_and_things_in_it() {
    let house = house().await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    alice
        .ask(
            &format!("<iq id='1' to='books.localhost' type='get'>{info}</iq>"),
            "<iq id='1' from='books.localhost' type='result'>
               <query xmlns='http://jabber.org/protocol/disco#info'>
                 <identity category='store' type='books' name='Books'/>
                 <feature var='http://jabber.org/protocol/disco#info'/>
                 <feature var='http://jabber.org/protocol/disco#items'/>
               </query></iq>",
        )
        .await;
    alice
        .ask(
            &format!("<iq id='2' to='moby-dick@books.localhost' type='get'>{info}</iq>"),
            "<iq id='2' from='moby-dick@books.localhost' type='result'>
               <query xmlns='http://jabber.org/protocol/disco#info'>...<feature var='urn:read'/></query></iq>",
        )
        .await;
    alice
        .ask(
            &format!("<iq id='3' to='walden@books.localhost' type='get'>{info}</iq>"),
            "<iq id='3' from='walden@books.localhost' type='error'>...
               <error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        )
        .await;
    alice
        .ask(
            "<message id='4' to='moby-dick@books.localhost/page'><body>Ishmael</body></message>",
            "<message id='4' from='moby-dick@books.localhost/page' to='alice@localhost/phone'>...<body>Ishmael</body></message>",
        )
        .await;
    alice
        .ask(
            "<message id='5' to='walden@books.localhost'><body>?</body></message>",
            "<message id='5' type='error' from='walden@books.localhost'>...
               <error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
        )
        .await;
    // Nobody answers there.
    alice
        .ask(
            "<iq id='6' to='moby-dick@books.localhost/page' type='get'><query xmlns='urn:lend'/></iq>",
            "<iq id='6' type='error' from='moby-dick@books.localhost/page'>...
               <error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        )
        .await;
}

#[tokio::test]
async fn rooms_add_to_an_account_for_who_asks_and_the_server_shows_their_forms() {
    let house = house().await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice
        .ask(
            "<iq id='1' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
            "<iq id='1' type='result'><query xmlns='http://jabber.org/protocol/disco#info'>...
               <feature var='urn:shelf:alice@localhost/phone'/></query></iq>",
        )
        .await;
    // XEP-0128 §2
    alice
        .ask(
            "<iq id='2' to='localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
            "<iq id='2' type='result'><query xmlns='http://jabber.org/protocol/disco#info'>...
               <x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:books</value></field></x>
             </query></iq>",
        )
        .await;
}

#[tokio::test]
async fn questions_that_are_not_well_put() {
    let house = house().await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let unavailable =
        "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let missing =
        "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for (what, error) in [
        // Another namespace, another name, a set.
        (
            "type='get'><query xmlns='http://jabber.org/protocol/disco'/>".to_owned(),
            unavailable,
        ),
        (
            "type='get'><info xmlns='http://jabber.org/protocol/disco#info'/>".to_owned(),
            unavailable,
        ),
        (
            "type='set'><query xmlns='http://jabber.org/protocol/disco#info'/>".to_owned(),
            unavailable,
        ),
        (
            "type='set'><query xmlns='http://jabber.org/protocol/disco#items'/>".to_owned(),
            unavailable,
        ),
        // A node of 100 kB.
        (
            format!(
                "type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='{}'/>",
                "n".repeat(100_000)
            ),
            missing,
        ),
    ] {
        alice
            .ask(
                &format!("<iq id='1' to='localhost' {what}</iq>"),
                &format!("<iq id='1' type='error'>{error}</iq>"),
            )
            .await;
    }
    // An empty node is none.
    alice
        .ask(
            "<iq id='2' to='localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#items' node=''/></iq>",
            "<iq id='2' type='result'><query xmlns='http://jabber.org/protocol/disco#items'>...</query></iq>",
        )
        .await;
}

#[test]
fn an_answer_names_nothing_twice() {
    // XEP-0115 §5.4 calls such an answer ill-formed.
    let mut info = Info::new();
    info.feature("b");
    info.feature("a");
    info.feature("a".to_owned());
    info.identity("client", "pc", "One");
    info.identity("client", "pc", "Two");
    assert_eq!(
        info.write(None).finish_string(),
        "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc' name='Two'/>\
         <feature var='a'/><feature var='b'/><feature var='http://jabber.org/protocol/disco#info'/></query>"
    );
}

#[tokio::test]
async fn who_may_see_the_presence_may_ask_the_account() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    alice
        .send("<presence to='bob@localhost' type='subscribe'/>")
        .await;
    let info = |to: &str| {
        let query = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        format!("<iq id='1' to='{to}@localhost' type='get'>{query}</iq>")
    };
    let unavailable = "<iq id='1' type='error'><error type='cancel'>
        <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    alice.skip();
    // §8: asked for is not yet granted.
    alice.ask(&info("bob"), unavailable).await;
    bob.send("<presence to='alice@localhost' type='subscribed'/>")
        .await;
    alice.skip();
    bob.skip();
    alice
        .ask(
            &info("bob"),
            "<iq id='1' from='bob@localhost' type='result'><query xmlns='http://jabber.org/protocol/disco#info'>...
               <identity category='account' type='registered'/></query></iq>",
        )
        .await;
    // One's own nodes are nobody else's, and Bob may not see Alice.
    bob.ask(&info("alice"), unavailable).await;
    let node = "<query xmlns='http://jabber.org/protocol/disco#info' node='n'/>";
    alice
        .ask(
            &format!("<iq id='1' to='bob@localhost' type='get'>{node}</iq>"),
            "<iq id='1' type='error'><error type='cancel'>
               <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        )
        .await;
}
