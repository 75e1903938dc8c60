//! vCards: limits, pictures that are none, guests, subscribers, and that nothing stays of an account that goes.

use kim_core::db::Query;
use kim_core::module::Entry;
use kim_core::testing::{Client, House};
use kim_core::wire::Element;

use super::VCardTemp;
use super::avatar::hash;
use crate::rfc6121_im::Im;
use crate::xep0359_ids::StanzaIds;

const MODULES: &[Entry] = &[
    Entry::of::<StanzaIds>(),
    Entry::of::<Im>(),
    Entry::of::<VCardTemp>(),
];
const ABCD: &str = "81fe8bfe87576c3ecb22426f8e57847382917acf";

fn photo(binval: &str) -> String {
    format!(
        "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>{binval}</BINVAL></PHOTO></vCard>"
    )
}

fn shown(hash: &str) -> String {
    format!("<x xmlns='vcard-temp:x:update'><photo>{hash}</photo></x>")
}

async fn set(client: &mut Client, card: &str) {
    client.send(&format!("<iq id='s' type='set'>{card}</iq>")).await;
    let answer = std::iter::from_fn(|| client.next())
        .find(|xml| xml.contains("id='s'"))
        .unwrap();
    assert!(answer.contains("type='result'"), "{answer}");
}

#[test]
fn the_hash_is_that_of_the_picture_itself() {
    let of = |card: &str| hash(Element::parse(card).unwrap().el());
    // XEP-0153 §3.1, §4.6: white space is ignored.
    assert_eq!(of(&photo("YWJjZA==")).as_deref(), Some(ABCD));
    assert_eq!(of(&photo(" YW\n\tJj\r\nZA== ")).as_deref(), Some(ABCD));
    for none in [
        photo(""),
        photo(" \n "),
        photo("YWJjZA"),
        photo("not base64!"),
        photo("YWJj=ZA="),
        "<vCard xmlns='vcard-temp'/>".into(),
        "<vCard xmlns='vcard-temp'><PHOTO/></vCard>".into(),
        "<vCard xmlns='vcard-temp'><PHOTO><EXTVAL>https://example.org/a.png</EXTVAL></PHOTO></vCard>".into(),
        "<vCard xmlns='vcard-temp'><PHOTO xmlns='urn:x'><BINVAL>YWJjZA==</BINVAL></PHOTO></vCard>".into(),
        "<vCard xmlns='vcard-temp'><BINVAL>YWJjZA==</BINVAL></vCard>".into(),
    ] {
        assert_eq!(of(&none), None, "{none}");
    }
}

#[tokio::test]
async fn a_card_that_is_too_large_changes_nothing() {
    let house = House::configured(MODULES, "[limits]\nvcard_bytes_max = 2_000\n").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    set(&mut alice, "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>").await;
    alice
        .ask(
            &format!("<iq id='1' type='set'>{}</iq>", photo(&"QUJD".repeat(600))),
            "<iq id='1' type='error'><error type='modify'>...
               <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        )
        .await;
    alice
        .ask(
            "<iq id='2' type='get'><vCard xmlns='vcard-temp'/></iq>",
            "<iq id='2' type='result'><vCard xmlns='vcard-temp'><FN>Alice</FN></vCard></iq>",
        )
        .await;
}

#[tokio::test]
async fn odd_cards_are_kept_as_they_are() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    for card in [
        photo("not base64!"),
        "<vCard xmlns='vcard-temp' version='2.0'><PHOTO/><PHOTO/><x xmlns='urn:x' a='&lt;'>&amp;</x></vCard>"
            .into(),
        format!(
            "<vCard xmlns='vcard-temp'>{}{}</vCard>",
            "<a>".repeat(40),
            "</a>".repeat(40)
        ),
    ] {
        set(&mut alice, &card).await;
        alice
            .ask(
                "<iq id='2' type='get'><vCard xmlns='vcard-temp'/></iq>",
                &format!("<iq id='2' type='result'>{card}</iq>"),
            )
            .await;
    }
    // None of them has a picture to tell of.
    alice.send("<presence/>").await;
    alice.expect("<presence from='alice@localhost/phone'/>");
}

#[tokio::test]
async fn every_session_shows_a_new_picture_to_subscribers() {
    let house = House::new(MODULES).await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut tablet = house.online("alice@localhost/tablet").await;
    let hidden = house.connect("alice@localhost/hidden").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    bob.send("<presence to='alice@localhost' type='subscribe'/>")
        .await;
    phone
        .send("<presence to='bob@localhost' type='subscribed'/>")
        .await;
    tablet.send("<presence><show>away</show></presence>").await;
    bob.skip();
    set(&mut phone, &photo("YWJjZA==")).await;
    bob.expect_all(&[
        &format!(
            "<presence from='alice@localhost/phone'>{}</presence>",
            shown(ABCD)
        ),
        &format!(
            "<presence from='alice@localhost/tablet'><show>away</show>{}</presence>",
            shown(ABCD)
        ),
    ]);
    bob.expect_nothing();
    assert!(hidden.session.presence().is_none());
    // The same picture again, or another name, is nothing new.
    set(
        &mut phone,
        &photo("YWJjZA==").replace("<PHOTO>", "<FN>Alice</FN><PHOTO>"),
    )
    .await;
    bob.expect_nothing();
    // A later presence carries it, and so does the answer to a probe.
    tablet
        .send(&format!("<presence>{}</presence>", shown(&ABCD.to_uppercase())))
        .await;
    bob.expect(&format!(
        "<presence from='alice@localhost/tablet'>{}</presence>",
        shown(&ABCD.to_uppercase())
    ));
    let mut other = house.online("bob@localhost/other").await;
    other.send("<presence to='alice@localhost' type='probe'/>").await;
    let seen: Vec<String> = std::iter::from_fn(|| other.next()).collect();
    assert!(
        seen.iter()
            .any(|xml| xml.contains("alice@localhost/phone") && xml.contains(ABCD)),
        "{seen:?}"
    );
    // The picture is taken away.
    bob.skip();
    set(&mut tablet, "<vCard xmlns='vcard-temp'/>").await;
    bob.expect_all(&[
        &format!("<presence from='alice@localhost/phone'>{}</presence>", shown("")),
        &format!("<presence from='alice@localhost/tablet'>{}</presence>", shown("")),
    ]);
}

#[tokio::test]
async fn a_guest_has_no_card() {
    let house = House::new(MODULES).await;
    let mut ghost = house.guest("ghost@guest.localhost/web").await;
    let unavailable =
        "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    ghost
        .ask(
            &format!("<iq id='1' type='set'>{}</iq>", photo("YWJjZA==")),
            &format!("<iq id='1' type='error'>{unavailable}</iq>"),
        )
        .await;
    ghost
        .send("<presence><x xmlns='vcard-temp:x:update'/></presence>")
        .await;
    ghost.expect("<presence><x xmlns='vcard-temp:x:update'/></presence>");
}

#[tokio::test]
async fn nothing_stays_of_an_account_that_goes() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut bob = house.connect("bob@localhost/phone").await;
    set(&mut alice, &photo("YWJjZA==")).await;
    set(&mut bob, &photo("YWJjZA==")).await;
    house.router.erase_account(&alice.session.account).await.unwrap();
    let rows = house
        .db
        .fetch_all(Query::new("SELECT account FROM vcard"))
        .await
        .unwrap();
    assert_eq!(
        rows.iter().map(|row| row.text(0).unwrap()).collect::<Vec<_>>(),
        ["bob@localhost"]
    );
}

#[tokio::test]
async fn what_lies_there_is_sealed_and_rows_from_before_are_read_still() {
    use kim_core::db::Query;
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let old = "INSERT INTO vcard (account, xml) \
         VALUES ('alice@localhost', '<vCard xmlns=''vcard-temp''><FN>Old</FN></vCard>')";
    let job = house
        .db
        .write(move |tx| Box::pin(async move { tx.execute(Query::new(old)).await.map(|_| ()) }));
    job.await.unwrap();
    for name in ["Old", "New"] {
        alice
            .ask(
                "<iq id='1' type='get'><vCard xmlns='vcard-temp'/></iq>",
                &format!("<iq id='1' type='result'><vCard xmlns='vcard-temp'><FN>{name}</FN></vCard></iq>"),
            )
            .await;
        set(&mut alice, "<vCard xmlns='vcard-temp'><FN>New</FN></vCard>").await;
    }
    let count = Query::new("SELECT COUNT(*) FROM vcard WHERE xml = '' AND length(sealed) > 20");
    let row = house.db.fetch_optional(count).await.unwrap().unwrap();
    assert_eq!(row.i64(0).unwrap(), 1);
}
