//! Private XML: limits, what is odd but allowed, guests, and that nothing stays of an account that goes.

use kim_core::db::Query;
use kim_core::module::Entry;
use kim_core::testing::{Client, House};

use super::PrivateXml;

const MODULES: &[Entry] = &[Entry::of::<PrivateXml>()];

async fn set(client: &mut Client, inner: &str) -> bool {
    let query = format!("<query xmlns='jabber:iq:private'>{inner}</query>");
    client.send(&format!("<iq id='s' type='set'>{query}</iq>")).await;
    let answer = client.next().unwrap();
    assert!(
        answer.contains("type='result'") || answer.contains("policy-violation"),
        "{answer}"
    );
    answer.contains("type='result'")
}

async fn get(client: &mut Client, element: &str, inner: &str) {
    let query = |inner: &str| format!("<query xmlns='jabber:iq:private'>{inner}</query>");
    client
        .ask(
            &format!("<iq id='g' type='get'>{}</iq>", query(element)),
            &format!("<iq id='g' type='result'>{}</iq>", query(inner)),
        )
        .await;
}

async fn rows(house: &House) -> i64 {
    let row = house
        .db
        .fetch_optional(Query::new("SELECT COUNT(*) FROM private_xml"))
        .await
        .unwrap()
        .unwrap();
    row.i64(0).unwrap()
}

#[tokio::test]
async fn ten_thousand_elements_find_an_end() {
    let house = House::configured(MODULES, "[limits]\nprivate_bytes_max = 100_000\n").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut bob = house.connect("bob@localhost/phone").await;
    let mut stored = 0;
    for n in 0..10_000 {
        if !set(&mut alice, &format!("<e{n} xmlns='urn:many'>x</e{n}>")).await {
            break;
        }
        stored += 1;
    }
    assert!(
        (500..1_000).contains(&stored),
        "{stored} elements of about 125 bytes"
    );
    // What is there may be replaced and erased, and then there is room again.
    assert!(set(&mut alice, "<e0 xmlns='urn:many'>y</e0>").await);
    assert!(
        !set(
            &mut alice,
            &format!("<e0 xmlns='urn:many'>{}</e0>", "y".repeat(1_000))
        )
        .await
    );
    get(
        &mut alice,
        "<e0 xmlns='urn:many'/>",
        "<e0 xmlns='urn:many'>y</e0>",
    )
    .await;
    assert!(set(&mut alice, "<e0 xmlns='urn:many'/><e1 xmlns='urn:many'/>").await);
    assert!(set(&mut alice, "<more xmlns='urn:other'>z</more>").await);
    // Another account's room is its own.
    assert!(
        set(
            &mut bob,
            &format!("<e xmlns='urn:many'>{}</e>", "y".repeat(50_000))
        )
        .await
    );
}

#[tokio::test]
async fn too_many_elements_at_once_are_refused() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let many: String = (0..65)
        .map(|n| format!("<e{n} xmlns='urn:many'>x</e{n}>"))
        .collect();
    alice
        .ask(
            &format!("<iq id='s' type='set'><query xmlns='jabber:iq:private'>{many}</query></iq>"),
            "<iq id='s' type='error'><error type='modify'>...
               <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        )
        .await;
    assert_eq!(rows(&house).await, 0);
}

#[tokio::test]
async fn elements_of_one_name_belong_together() {
    // §2.3: a set or result may contain multiple elements qualified by the same namespace.
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let both = "<note xmlns='urn:n'>1</note><note xmlns='urn:n' a='&lt;'>2<x xmlns='urn:x'/>&amp;</note>";
    assert!(set(&mut alice, both).await);
    get(&mut alice, "<note xmlns='urn:n'/>", both).await;
    // The same name in another namespace is another matter, and so is an empty element: there is nothing to keep.
    get(&mut alice, "<note xmlns='urn:m'/>", "<note xmlns='urn:m'/>").await;
    assert!(set(&mut alice, "<note xmlns='urn:n'/>").await);
    get(&mut alice, "<note xmlns='urn:n'/>", "<note xmlns='urn:n'/>").await;
    assert_eq!(rows(&house).await, 0);
    // An attribute is something to keep.
    assert!(set(&mut alice, "<note xmlns='urn:n' a='1'/>").await);
    get(&mut alice, "<note xmlns='urn:n'/>", "<note xmlns='urn:n' a='1'/>").await;
}

#[tokio::test]
async fn a_guest_keeps_nothing() {
    let house = House::new(MODULES).await;
    let mut ghost = house.guest("ghost@guest.localhost/web").await;
    for kind in ["get", "set"] {
        let query = "<query xmlns='jabber:iq:private'><a xmlns='urn:a'>1</a></query>";
        ghost
            .ask(
                &format!("<iq id='1' type='{kind}'>{query}</iq>"),
                "<iq id='1' type='error'><error type='cancel'>
                   <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
            )
            .await;
    }
    assert_eq!(rows(&house).await, 0);
}

#[tokio::test]
async fn nothing_stays_of_an_account_that_goes() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut bob = house.connect("bob@localhost/phone").await;
    assert!(set(&mut alice, "<a xmlns='urn:a'>1</a>").await && set(&mut bob, "<a xmlns='urn:a'>2</a>").await);
    house.router.erase_account(&alice.session.account).await.unwrap();
    assert_eq!(rows(&house).await, 1);
    get(&mut bob, "<a xmlns='urn:a'/>", "<a xmlns='urn:a'>2</a>").await;
}

/// Changes a row behind the server's back.
async fn meddle(house: &House, sql: &'static str) {
    let job = house
        .db
        .write(move |tx| Box::pin(async move { tx.execute(Query::new(sql)).await.map(|_| ()) }));
    job.await.unwrap();
}

#[tokio::test]
async fn what_lies_there_is_sealed_and_rows_from_before_are_read_still() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    meddle(
        &house,
        "INSERT INTO private_xml (account, ns, name, xml, bytes) \
         VALUES ('alice@localhost', 'urn:old', 'a', '<a xmlns=''urn:old''>x</a>', 100)",
    )
    .await;
    get(&mut alice, "<a xmlns='urn:old'/>", "<a xmlns='urn:old'>x</a>").await;
    assert!(set(&mut alice, "<a xmlns='urn:old'>y</a>").await);
    assert!(set(&mut alice, "<b xmlns='urn:old'>z</b>").await);
    let count = Query::new("SELECT COUNT(*) FROM private_xml WHERE xml = '' AND length(sealed) > 20");
    let row = house.db.fetch_optional(count).await.unwrap().unwrap();
    assert_eq!(row.i64(0).unwrap(), 2);
    get(&mut alice, "<a xmlns='urn:old'/>", "<a xmlns='urn:old'>y</a>").await;
    // What is sealed for one place does not open at another, and keeps nobody from writing anew.
    meddle(
        &house,
        "UPDATE private_xml SET sealed = (SELECT sealed FROM private_xml WHERE name = 'b') WHERE name = 'a'",
    )
    .await;
    get(&mut alice, "<a xmlns='urn:old'/>", "<a xmlns='urn:old'/>").await;
    assert!(set(&mut alice, "<a xmlns='urn:old'>again</a>").await);
    get(&mut alice, "<a xmlns='urn:old'/>", "<a xmlns='urn:old'>again</a>").await;
}
