//! What clients announce, in good and in bad faith, and the server's own capabilities.

use std::sync::{Arc, Mutex};

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Hear, Stage};
use kim_core::module::{Entry, Module, Offer, Registrar, Spec};
use kim_core::testing::{Client, House};
use kim_core::wire::Element;

use crate::rfc6121_im::Im;
use crate::xep0030_disco::Disco;
use crate::xep0115_caps::EntityCaps;
use crate::xep0115_caps::api::{Caps, CapsKnown};
use crate::xep0359_ids::StanzaIds;

const MODULES: &[Entry] = &[
    Entry::of::<StanzaIds>(),
    Entry::of::<Im>(),
    Entry::of::<crate::xep0059_rsm::ResultSets>(),
    Entry::of::<Disco>(),
    Entry::of::<EntityCaps>(),
];

/// `client/pc//` with the features `urn:a` and `urn:b+notify`.
const VER: &str = "vDWBw0rqnvfiqOiIe5nsOa85HMs=";
const ANSWER: &str =
    "<identity category='client' type='pc'/><feature var='urn:a'/><feature var='urn:b+notify'/>";

fn presence(hash: &str, ver: &str) -> String {
    format!(
        "<presence><c xmlns='http://jabber.org/protocol/caps' {hash} node='urn:client' ver='{ver}'/></presence>"
    )
}

fn hashed(ver: &str) -> String {
    presence("hash='sha-1'", ver)
}

/// The id of the question for a client's capabilities, if it was asked. The presences that it got are read away.
fn question(client: &mut Client) -> Option<String> {
    let iq = std::iter::from_fn(|| client.next()).find(|xml| xml.starts_with("<iq"))?;
    let iq = Element::parse(&iq).unwrap();
    let node = iq
        .child("query", "http://jabber.org/protocol/disco#info")
        .unwrap()
        .attr("node")
        .unwrap();
    assert!(node.starts_with("urn:client#"));
    Some(iq.attr("id").unwrap().into_owned())
}

/// Answers the question.
async fn answer(client: &mut Client, inner: &str) {
    let id = question(client).expect("a question");
    answer_to(client, &id, inner).await;
}

async fn answer_to(client: &mut Client, id: &str, inner: &str) {
    let query = format!("<query xmlns='http://jabber.org/protocol/disco#info'>{inner}</query>");
    client
        .send(&format!(
            "<iq id='{id}' to='localhost' type='result'>{query}</iq>"
        ))
        .await;
}

fn caps(house: &House) -> Arc<Caps> {
    house.router.fact::<Caps>().unwrap()
}

#[tokio::test]
async fn a_verified_answer_holds_for_all_who_announce_it() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut bob = house.connect("bob@localhost/phone").await;
    assert!(caps(&house).features_of(&alice.session).is_none());

    alice.send(&hashed(VER)).await;
    answer(&mut alice, ANSWER).await;
    let known = caps(&house).features_of(&alice.session).unwrap();
    assert!(known.has("urn:a") && !known.has("urn:b") && known.wants("urn:b") && !known.wants("urn:a"));
    assert_eq!(known.wanted().collect::<Vec<_>>(), ["urn:b"]);

    // Neither another session nor the same presence again is asked about.
    bob.send(&hashed(VER)).await;
    assert_eq!(question(&mut bob), None);
    assert!(caps(&house).wants(&bob.session, "urn:b"));
    alice.send(&hashed(VER)).await;
    assert_eq!(question(&mut alice), None);
    // §8.4: a presence without caps takes nothing away; the end of the presence does.
    bob.send("<presence><show>away</show></presence>").await;
    assert!(caps(&house).wants(&bob.session, "urn:b"));
    bob.send("<presence type='unavailable'/>").await;
    assert!(caps(&house).features_of(&bob.session).is_none());
}

#[tokio::test]
async fn a_wrong_answer_to_anothers_string_poisons_nobody() {
    let house = House::new(MODULES).await;
    let mut mallory = house.connect("mallory@localhost/x").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    // §5.4 step 3.9: the hash does not fit what was said.
    mallory.send(&hashed(VER)).await;
    answer(
        &mut mallory,
        "<identity category='client' type='pc'/><feature var='urn:evil'/>",
    )
    .await;
    assert!(
        caps(&house)
            .features_of(&mallory.session)
            .unwrap()
            .has("urn:evil")
    );
    // Alice announces the same and is asked herself.
    alice.send(&hashed(VER)).await;
    answer(&mut alice, ANSWER).await;
    assert!(!caps(&house).features_of(&alice.session).unwrap().has("urn:evil"));
    // Silence holds up nobody either.
    let mut silent = house.connect("silent@localhost/x").await;
    let mut carol = house.connect("carol@localhost/x").await;
    let other = presence("hash='sha-256'", "VAZg0fkofezvLI8JJUxybBrW8/HKGlJTrrkf5OxiXps=");
    silent.send(&other).await;
    carol.send(&other).await;
    answer(&mut carol, ANSWER).await;
    assert!(caps(&house).wants(&carol.session, "urn:b"));
}

#[tokio::test]
async fn what_cannot_be_verified_holds_for_its_session_alone() {
    let house = House::new(MODULES).await;
    // §13: the legacy format; §5.4 step 2: an unknown hash function.
    for (at, hash) in ["", "hash='md5'"].into_iter().enumerate() {
        let mut one = house.connect(&format!("one@localhost/{at}")).await;
        let mut other = house.connect(&format!("other@localhost/{at}")).await;
        one.send(&presence(hash, "1.0")).await;
        answer(&mut one, ANSWER).await;
        assert!(caps(&house).wants(&one.session, "urn:b"));
        other.send(&presence(hash, "1.0")).await;
        answer(&mut other, "<identity category='client' type='pc'/>").await;
        assert!(!caps(&house).wants(&other.session, "urn:b"));
    }
    assert_eq!(caps(&house).shared.weight_bytes(), (0, 0));
}

#[tokio::test]
async fn answers_that_are_ill_formed_too_long_or_unasked_are_not_listened_to() {
    let house = House::configured(MODULES, "[xep0115_caps]\nanswer_bytes_max = 4096\n").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let long: String = (0..500).map(|n| format!("<feature var='urn:{n}'/>")).collect();
    for (at, wrong) in [
        format!("{ANSWER}<feature var='urn:a'/>"),
        format!("{ANSWER}{long}"),
        "<feature var='urn:a'/>".to_owned(),
        String::new(),
    ]
    .into_iter()
    .enumerate()
    {
        alice.send(&hashed(&at.to_string())).await;
        answer(&mut alice, &wrong).await;
        assert!(caps(&house).features_of(&alice.session).is_none());
        // It is not asked again for the same.
        alice.send(&hashed(&at.to_string())).await;
        assert_eq!(question(&mut alice), None);
    }
    // An error, and a result without a query.
    let mut earlier = String::new();
    for (at, kind) in [("5", "error"), ("6", "result")] {
        alice.send(&hashed(at)).await;
        earlier = question(&mut alice).unwrap();
        alice
            .send(&format!("<iq id='{earlier}' to='localhost' type='{kind}'/>"))
            .await;
        assert!(caps(&house).features_of(&alice.session).is_none());
    }
    // Answers to no question: by somebody else, to one that was answered before, to one that was never asked.
    let mut mallory = house.connect("mallory@localhost/x").await;
    alice.send(&hashed(VER)).await;
    let open = question(&mut alice).unwrap();
    answer_to(&mut mallory, &open, ANSWER).await;
    answer_to(&mut alice, &earlier, ANSWER).await;
    answer_to(&mut alice, "made-up", ANSWER).await;
    assert!(caps(&house).features_of(&alice.session).is_none());
    assert!(caps(&house).features_of(&mallory.session).is_none());
    // The right one still counts.
    answer_to(&mut alice, &open, ANSWER).await;
    assert!(caps(&house).wants(&alice.session, "urn:b"));
}

#[tokio::test]
async fn announcements_that_are_none_are_passed_over() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    for c in [
        "<c xmlns='http://jabber.org/protocol/caps'/>".to_owned(),
        "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='' ver=''/>".to_owned(),
        "<c xmlns='urn:other' hash='sha-1' node='n' ver='v'/>".to_owned(),
        format!(
            "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='{}'/>",
            "v".repeat(9_000)
        ),
    ] {
        alice.send(&format!("<presence>{c}</presence>")).await;
        assert_eq!(question(&mut alice), None);
    }
    // Directed presence tells its addressee, not the server.
    let directed = hashed(VER).replace("<presence>", "<presence to='localhost'>");
    alice.send(&directed).await;
    assert_eq!(question(&mut alice), None);
}

#[tokio::test]
async fn what_is_shared_is_bounded() {
    let house = House::configured(MODULES, "[xep0115_caps]\nshared_bytes_max = 65536\n").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    for n in 0..40 {
        let features: String = (0..100)
            .map(|at| format!("<feature var='urn:feature:{n}:{at:03}'/>"))
            .collect();
        let inner = format!("<identity category='client' type='pc'/>{features}");
        let query = format!("<query xmlns='http://jabber.org/protocol/disco#info'>{inner}</query>");
        let said = crate::xep0115_caps::verify::Said::read(Element::parse(&query).unwrap().el()).unwrap();
        alice
            .send(&hashed(&said.hash(crate::xep0115_caps::verify::Algorithm::Sha1)))
            .await;
        answer(&mut alice, &inner).await;
    }
    let (bytes, entries) = caps(&house).shared.weight_bytes();
    assert!(
        bytes <= 65_536 && (10..40).contains(&entries),
        "{bytes} bytes, {entries} entries"
    );
    // Who knows an entry keeps it.
    assert!(
        caps(&house)
            .features_of(&alice.session)
            .unwrap()
            .has("urn:feature:39:007")
    );
}

/// A module that writes down what becomes known.
struct Diary;

static HEARD: Mutex<Vec<(bool, bool)>> = Mutex::new(Vec::new());

impl Module for Diary {
    type Config = NoSettings;
    const NAME: &'static str = "diary";
    const SPECS: &'static [Spec] = &[];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.hear::<CapsKnown>(Stage::Notify, Diary);
        Ok(())
    }
}

impl Hear<CapsKnown> for Diary {
    async fn hear(&self, event: &mut CapsKnown, _: &mut Cx) -> Result<(), Fault> {
        HEARD
            .lock()
            .unwrap()
            .push((event.before.is_some(), event.now.wants("urn:b")));
        Ok(())
    }
}

#[tokio::test]
async fn others_hear_when_it_becomes_known() {
    let house = House::new(&[MODULES, &[Entry::of::<Diary>()]].concat()).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send(&hashed(VER)).await;
    answer(&mut alice, ANSWER).await;
    alice.send(&presence("", "2")).await;
    answer(&mut alice, "<identity category='client' type='pc'/>").await;
    let mut bob = house.connect("bob@localhost/phone").await;
    bob.send(&hashed(VER)).await;
    assert_eq!(
        *HEARD.lock().unwrap(),
        [(false, true), (true, false), (false, true)]
    );
}

#[tokio::test]
async fn the_servers_own_hash_is_that_of_what_it_answers() {
    // With all modules: none of them registers a form twice.
    let house = House::new(crate::MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let features = house.router.stream_features(Offer::AfterLogin, "localhost");
    let features = Element::parse(&format!("<features>{features}</features>")).unwrap();
    // §6.3
    let c = features.child("c", "http://jabber.org/protocol/caps").unwrap();
    let (node, ver) = (c.attr("node").unwrap(), c.attr("ver").unwrap());
    // §6.2: asked with and without the node it answers the same, and the same as was hashed.
    let mut hashes = Vec::new();
    for attr in ["".to_owned(), format!("node='{node}#{ver}'")] {
        let question = format!("<query xmlns='http://jabber.org/protocol/disco#info' {attr}/>");
        alice
            .send(&format!("<iq id='1' to='localhost' type='get'>{question}</iq>"))
            .await;
        let result = Element::parse(&alice.next().unwrap()).unwrap();
        let query = result.children().next().unwrap();
        assert_eq!(query.attr("node").is_some(), !attr.is_empty());
        let said = crate::xep0115_caps::verify::Said::read(query).unwrap();
        hashes.push(said.hash(crate::xep0115_caps::verify::Algorithm::Sha1));
    }
    assert_eq!(hashes, [ver.as_ref(), ver.as_ref()]);
}
