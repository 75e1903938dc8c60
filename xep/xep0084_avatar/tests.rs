//! Pictures between the nodes and the vCard, in presence, and those that are none.

use data_encoding::BASE64;
use kim_core::testing::Client;

use super::metadata::id_of;
use crate::xep0163_pep::tests::cast::{ask, befriend, house, options, outcome, pubsub, wanting, was_told};

const PICTURE: &[u8] = b"\x89PNG picture";

async fn publish(client: &mut Client, picture: &[u8], access: &str) -> (String, String) {
    let id = id_of(picture);
    let options = options(&[("access_model", access)]);
    let data = format!(
        "<publish node='urn:xmpp:avatar:data'><item id='{id}'><data xmlns='urn:xmpp:avatar:data'>{}</data></item></publish>{options}",
        BASE64.encode(picture)
    );
    let metadata = format!(
        "<publish node='urn:xmpp:avatar:metadata'><item id='{id}'><metadata xmlns='urn:xmpp:avatar:metadata'>\
         <info bytes='9' id='http' type='image/gif' url='https://example.org/a.gif'/>\
         <info bytes='{}' id='{id}' type='image/png'/></metadata></item></publish>{options}",
        picture.len()
    );
    let first = pubsub(client, "", "set", &data).await;
    let second = pubsub(client, "", "set", &metadata).await;
    (outcome(&first), outcome(&second))
}

async fn card(client: &mut Client, of: &str) -> String {
    ask(client, of, "get", "<vCard xmlns='vcard-temp'/>").await
}

#[tokio::test]
async fn a_picture_at_the_nodes_is_in_the_vcard_and_in_presence() {
    // XEP-0398 §3.1, §4
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut bob = wanting(&house, "bob@localhost/x", &["urn:xmpp:avatar:metadata"]).await;
    befriend(&mut alice, &mut bob).await;
    ask(
        &mut alice,
        "",
        "set",
        "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>",
    )
    .await;
    bob.skip();
    assert_eq!(
        publish(&mut alice, PICTURE, "open").await,
        ("result".into(), "result".into())
    );
    let hash = id_of(PICTURE);
    let (mut shown, mut told) = (false, false);
    while let Some(xml) = bob.next() {
        shown |= xml.starts_with("<presence") && xml.contains(&hash);
        told |= xml.contains("urn:xmpp:avatar:metadata");
    }
    assert!(shown && told, "the broadcast goes out again with the hash");
    let card = card(&mut bob, "alice@localhost").await;
    assert!(
        card.contains(&BASE64.encode(PICTURE))
            && card.contains("image/png")
            && card.contains("<FN>Alice</FN>"),
        "{card}"
    );
    // Directed presence has it too.
    alice.send("<presence to='bob@localhost/x'/>").await;
    assert!(bob.next().unwrap().contains(&hash));
    // §4.2.1 of XEP-0084: an empty metadata element takes it back.
    let none = "<publish node='urn:xmpp:avatar:metadata'><item id='none'><metadata xmlns='urn:xmpp:avatar:metadata'/></item></publish>";
    assert_eq!(outcome(&pubsub(&mut alice, "", "set", none).await), "result");
    let card = self::card(&mut bob, "alice@localhost").await;
    assert!(
        !card.contains("PHOTO") && card.contains("<FN>Alice</FN>"),
        "{card}"
    );
}

#[tokio::test]
async fn a_picture_for_some_is_not_in_the_vcard_for_all() {
    // XEP-0398 §7
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    publish(&mut alice, PICTURE, "open").await;
    assert!(card(&mut alice, "").await.contains("PHOTO"));
    let mut bob = wanting(&house, "bob@localhost/x", &[]).await;
    publish(&mut bob, PICTURE, "presence").await;
    assert_eq!(
        outcome(&card(&mut alice, "bob@localhost").await),
        "service-unavailable"
    );
}

#[tokio::test]
async fn a_picture_in_the_vcard_is_at_the_nodes() {
    // XEP-0398 §3.2
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut tablet = wanting(&house, "alice@localhost/tablet", &["urn:xmpp:avatar:metadata"]).await;
    let photo = format!(
        "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/jpeg</TYPE><BINVAL>{}</BINVAL></PHOTO></vCard>",
        BASE64.encode(PICTURE)
    );
    ask(&mut alice, "", "set", &photo).await;
    let hash = id_of(PICTURE);
    let told = std::iter::from_fn(|| tablet.next())
        .find(|xml| xml.contains("pubsub#event"))
        .unwrap();
    assert!(
        told.contains(&hash) && told.contains("image/jpeg") && told.contains("bytes='12'"),
        "{told}"
    );
    let data = pubsub(
        &mut tablet,
        "",
        "get",
        &format!("<items node='urn:xmpp:avatar:data'><item id='{hash}'/></items>"),
    )
    .await;
    assert!(data.contains(&BASE64.encode(PICTURE)), "{data}");
    // A vCard is for everybody, and so are the nodes that are made of it; published there anew, the picture stays in it.
    assert_eq!(
        publish(&mut alice, PICTURE, "open").await,
        ("result".into(), "result".into())
    );
    assert!(card(&mut alice, "").await.contains("PHOTO"));
    tablet.skip();
    // The same vCard again is no news.
    ask(&mut alice, "", "set", &photo).await;
    assert_eq!(was_told(&mut tablet, "urn:xmpp:avatar:metadata"), 0);
    ask(&mut alice, "", "set", "<vCard xmlns='vcard-temp'/>").await;
    let told = std::iter::from_fn(|| tablet.next())
        .find(|xml| xml.contains("pubsub#event"))
        .unwrap();
    assert!(
        told.contains("<metadata xmlns='urn:xmpp:avatar:metadata'/>"),
        "{told}"
    );
}

#[tokio::test]
async fn a_picture_under_a_false_name_is_refused() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    for (id, data) in [
        ("0000000000000000000000000000000000000000", BASE64.encode(PICTURE)),
        (&id_of(PICTURE), "not base64!".to_owned()),
        (&id_of(b""), String::new()),
    ] {
        let item = format!("<item id='{id}'><data xmlns='urn:xmpp:avatar:data'>{data}</data></item>");
        let answer = pubsub(
            &mut alice,
            "",
            "set",
            &format!("<publish node='urn:xmpp:avatar:data'>{item}</publish>"),
        )
        .await;
        assert_eq!(outcome(&answer), "not-acceptable", "{id} {data}");
    }
    // Metadata of a picture that is not there changes nothing.
    let metadata = "<publish node='urn:xmpp:avatar:metadata'><item id='1'><metadata xmlns='urn:xmpp:avatar:metadata'>\
                    <info bytes='1' id='1' type='image/png'/></metadata></item></publish>";
    assert_eq!(outcome(&pubsub(&mut alice, "", "set", metadata).await), "result");
    assert_eq!(outcome(&card(&mut alice, "").await), "item-not-found");
}
