//! What the server answers, read by types that nobody here wrote (the xmpp-parsers crate): an answer that they refuse
//! would be refused by clients built on them too.

use kim_core::testing::{Client, House};
use xmpp_parsers::blocking::BlocklistResult;
use xmpp_parsers::disco::{DiscoInfoResult, DiscoItemsResult};
use xmpp_parsers::iq::{Iq, IqPayload};
use xmpp_parsers::message::Message;
use xmpp_parsers::minidom::Element;
use xmpp_parsers::presence::Presence;
use xmpp_parsers::roster::Roster;
use xmpp_parsers::stanza_error::{DefinedCondition, StanzaError};
use xmpp_parsers::time::TimeResult;
use xmpp_parsers::version::VersionResult;

use crate::MODULES;

/// A stanza as a client of that library gets it: inside a stream whose namespace is `jabber:client`.
fn element(xml: &str) -> Element {
    let name_end = xml.find([' ', '/', '>']).expect("an element");
    let (start, rest) = xml.split_at(name_end);
    format!("{start} xmlns='jabber:client'{rest}")
        .parse()
        .expect("XML")
}

async fn ask(client: &mut Client, request: &str) -> Iq {
    client.send(request).await;
    let answer = client.next().expect("an answer");
    Iq::try_from(element(&answer)).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The payload of a result, as that library reads it.
async fn result<T: TryFrom<Element>>(client: &mut Client, to: &str, payload: &str) -> T {
    let to = if to.is_empty() {
        String::new()
    } else {
        format!("to='{to}'")
    };
    let answer = ask(client, &format!("<iq id='1' type='get' {to}>{payload}</iq>")).await;
    match answer.into_payload() {
        IqPayload::Result(Some(payload)) => T::try_from(payload)
            .unwrap_or_else(|_| panic!("not what {} should be", std::any::type_name::<T>())),
        _ => panic!("no result with a payload to {payload}"),
    }
}

#[tokio::test]
async fn results_are_what_the_types_say() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send("<iq id='r' type='set'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='Bob'><group>a</group></item></query></iq>").await;
    alice
        .send(
            "<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='eve@localhost'/></block></iq>",
        )
        .await;
    alice.skip();

    let info: DiscoInfoResult = result(
        &mut alice,
        "localhost",
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    )
    .await;
    assert!(
        info.identities
            .iter()
            .any(|identity| identity.category == "server" && identity.type_ == "im")
    );
    assert!(info.features.iter().any(|feature| feature == "urn:xmpp:blocking"));
    let own: DiscoInfoResult = result(
        &mut alice,
        "",
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    )
    .await;
    assert!(
        own.identities
            .iter()
            .any(|identity| identity.type_ == "registered")
    );
    let items: DiscoItemsResult = result(
        &mut alice,
        "localhost",
        "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    )
    .await;
    assert!(items.node.is_none());
    let roster: Roster = result(&mut alice, "", "<query xmlns='jabber:iq:roster'/>").await;
    assert_eq!(
        roster
            .items
            .iter()
            .map(|item| item.jid.to_string())
            .collect::<Vec<_>>(),
        ["bob@localhost"]
    );
    let version: VersionResult = result(&mut alice, "localhost", "<query xmlns='jabber:iq:version'/>").await;
    assert_eq!(version.name, "kIM");
    let _: TimeResult = result(&mut alice, "localhost", "<time xmlns='urn:xmpp:time'/>").await;
    let blocked: BlocklistResult = result(&mut alice, "", "<blocklist xmlns='urn:xmpp:blocking'/>").await;
    assert_eq!(
        blocked.items.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["eve@localhost"]
    );
}

/// The hash in our capabilities is the hash of what we answer (XEP-0115 §5.1), by the library's own computation.
#[tokio::test]
async fn our_capabilities_hash_what_we_answer() {
    use xmpp_parsers::caps::{compute_disco, hash_caps};
    use xmpp_parsers::hashes::Algo;

    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let features = house
        .router
        .stream_features(kim_core::module::Offer::AfterLogin, "localhost");
    let (_, rest) = features
        .split_once(" ver='")
        .expect("caps in the stream features");
    let ver = rest.split('\'').next().unwrap_or_default().to_owned();
    let info: DiscoInfoResult = result(
        &mut alice,
        "localhost",
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    )
    .await;
    // §5.1 sorts features before it puts '<' behind them, the library afterwards: that differs where one begins another.
    let text = String::from_utf8(compute_disco(&info)).expect("text");
    let embedded = "urn:xmpp:raa:0#embed-message<urn:xmpp:raa:0#embed-presence-directed<urn:xmpp:raa:0#embed-presence-sub<";
    let theirs = format!("{embedded}urn:xmpp:raa:0<");
    assert!(text.contains(&theirs), "{text}");
    let text = text.replace(&theirs, &format!("urn:xmpp:raa:0<{embedded}"));
    let hash = hash_caps(text.as_bytes(), Algo::Sha_1).expect("a hash");
    assert_eq!(hash.to_base64(), ver);
}

#[tokio::test]
async fn errors_messages_and_presence_are_what_the_types_say() {
    let house = House::new(MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let refused = ask(
        &mut alice,
        "<iq id='1' type='get'><q xmlns='urn:nobody:knows'/></iq>",
    )
    .await;
    let IqPayload::Error(StanzaError {
        defined_condition, ..
    }) = refused.into_payload()
    else {
        panic!("an error is expected")
    };
    assert_eq!(defined_condition, DefinedCondition::ServiceUnavailable);

    alice
        .send("<message to='bob@localhost' id='m' type='chat' xml:lang='de'><body>hallo</body></message>")
        .await;
    let message = Message::try_from(element(&bob.next().expect("a message"))).expect("a message");
    assert_eq!(
        message.from.map(|from| from.to_string()).as_deref(),
        Some("alice@localhost/phone")
    );
    assert_eq!(message.bodies.len(), 1);

    bob.disconnect().await;
    alice
        .send("<message to='bob@localhost' id='o' type='chat'><body>later</body></message>")
        .await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    bob.send("<presence><show>away</show></presence>").await;
    let mut stanzas: Vec<String> = std::iter::from_fn(|| bob.next()).collect();
    stanzas.sort();
    let [stored, presence] = stanzas.as_slice() else {
        panic!("{stanzas:?}")
    };
    let stored = Message::try_from(element(stored)).expect("a message");
    assert!(
        stored
            .payloads
            .iter()
            .any(|payload| payload.is("delay", "urn:xmpp:delay"))
    );
    Presence::try_from(element(presence)).expect("a presence");
}
