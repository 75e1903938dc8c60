//! Bookmarks of old and new clients, side by side.

use kim_core::testing::Client;

use crate::xep0163_pep::tests::cast::{ask, house, options, outcome, pubsub, wanting};

const PRIVATE: &str = "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>";

async fn native(client: &mut Client) -> String {
    pubsub(client, "", "get", "<items node='urn:xmpp:bookmarks:1'/>").await
}

async fn private(client: &mut Client) -> String {
    ask(client, "", "get", PRIVATE).await
}

async fn old_node(client: &mut Client) -> String {
    pubsub(client, "", "get", "<items node='storage:bookmarks'/>").await
}

async fn add(client: &mut Client, room: &str, inner: &str) -> String {
    let options = options(&[
        ("persist_items", "true"),
        ("max_items", "max"),
        ("send_last_published_item", "never"),
        ("access_model", "whitelist"),
    ]);
    let item = format!("<item id='{room}'>{inner}</item>");
    pubsub(
        client,
        "",
        "set",
        &format!("<publish node='urn:xmpp:bookmarks:1'>{item}</publish>{options}"),
    )
    .await
}

const PLAY: &str = "<conference xmlns='urn:xmpp:bookmarks:1' name='The Play' autojoin='1'><nick>JC</nick>\
                    <extensions><state xmlns='urn:mine' minimized='true'/></extensions></conference>";

#[tokio::test]
async fn what_a_new_client_adds_an_old_one_sees() {
    // §5.3.1
    let house = house().await;
    let mut phone = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut old = wanting(&house, "alice@localhost/old", &["storage:bookmarks"]).await;
    assert_eq!(
        outcome(&add(&mut phone, "play@conference.localhost", PLAY).await),
        "result"
    );
    let cast = "<conference jid='play@conference.localhost' name='The Play' autojoin='true'><nick>JC</nick></conference>";
    assert!(private(&mut old).await.contains(cast));
    assert!(old_node(&mut old).await.contains(cast));
    // And when it is removed.
    let retract =
        "<retract node='urn:xmpp:bookmarks:1' notify='true'><item id='play@conference.localhost'/></retract>";
    assert_eq!(outcome(&pubsub(&mut phone, "", "set", retract).await), "result");
    assert!(!private(&mut old).await.contains("conference.localhost"));
    assert!(!old_node(&mut old).await.contains("conference.localhost"));
}

#[tokio::test]
async fn what_an_old_client_changes_a_new_one_is_told_of_and_nothing_else() {
    // §5.3.2
    let house = house().await;
    let mut phone = wanting(&house, "alice@localhost/phone", &["urn:xmpp:bookmarks:1"]).await;
    let mut old = wanting(&house, "alice@localhost/old", &[]).await;
    add(&mut phone, "play@conference.localhost", PLAY).await;
    add(&mut phone, "same@conference.localhost", PLAY).await;
    add(&mut phone, "gone@conference.localhost", PLAY).await;
    phone.skip();
    let storage = "<storage xmlns='storage:bookmarks'>\
        <conference jid='play@conference.localhost' name='The Play!' autojoin='true'><nick>JC</nick></conference>\
        <conference jid='same@conference.localhost' name='The Play' autojoin='1'><nick>JC</nick></conference>\
        <conference jid='new@conference.localhost'/><conference jid='@'/><conference/>\
        <url name='A page' url='https://example.org/'/></storage>";
    let put = format!("<query xmlns='jabber:iq:private'>{storage}</query>");
    assert_eq!(outcome(&ask(&mut old, "", "set", &put).await), "result");
    let mut told = Vec::new();
    while let Some(xml) = phone.next() {
        told.push(xml);
    }
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].contains("id='play@conference.localhost'") && told[0].contains("The Play!"));
    assert!(
        told[0].contains("minimized='true'"),
        "extensions stay: {}",
        told[0]
    );
    assert!(told[1].contains("id='new@conference.localhost'"));
    assert!(told[2].contains("<retract id='gone@conference.localhost'/>"));
    // The page is still there when a new client adds another room.
    add(&mut phone, "more@conference.localhost", PLAY).await;
    let kept = private(&mut old).await;
    assert!(
        kept.contains("https://example.org/") && kept.contains("more@conference.localhost"),
        "{kept}"
    );
    // Over the old node it is the same.
    let item = "<publish node='storage:bookmarks'><item id='current'><storage xmlns='storage:bookmarks'>\
                <conference jid='only@conference.localhost'/></storage></item></publish>";
    assert_eq!(outcome(&pubsub(&mut old, "", "set", item).await), "result");
    let now = native(&mut phone).await;
    assert_eq!(now.matches("<item ").count(), 1);
    assert!(now.contains("only@conference.localhost"));
    assert!(private(&mut old).await.contains("only@conference.localhost"));
}

#[tokio::test]
async fn nothing_of_it_lies_open_in_the_database() {
    let house = house().await;
    let mut old = wanting(&house, "alice@localhost/old", &[]).await;
    let put = "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='secret@conference.localhost'/></storage></query>";
    assert_eq!(outcome(&ask(&mut old, "", "set", put).await), "result");
    let rows = kim_core::db::Query::new("SELECT COUNT(*) FROM private_xml");
    assert_eq!(
        house
            .db
            .fetch_optional(rows)
            .await
            .unwrap()
            .unwrap()
            .i64(0)
            .unwrap(),
        0
    );
    // Erasing it erases all.
    assert_eq!(outcome(&ask(&mut old, "", "set", PRIVATE).await), "result");
    assert!(
        private(&mut old)
            .await
            .contains("<storage xmlns='storage:bookmarks'/>")
    );
    assert!(!native(&mut old).await.contains("<item "));
}

#[tokio::test]
async fn what_is_no_bookmark_is_refused() {
    let house = house().await;
    let mut alice = wanting(&house, "alice@localhost/phone", &[]).await;
    assert_eq!(outcome(&add(&mut alice, "@", PLAY).await), "not-acceptable");
    assert_eq!(
        outcome(&add(&mut alice, "a@b", "<conference xmlns='urn:other'/>").await),
        "not-acceptable"
    );
    assert_eq!(
        outcome(&add(&mut alice, "a@b", "<conference xmlns='urn:xmpp:bookmarks:1'/>").await),
        "result"
    );
}

#[tokio::test]
async fn what_nobody_here_knows_stays_when_another_bookmark_changes() {
    let house = house().await;
    let mut phone = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut old = wanting(&house, "alice@localhost/old", &[]).await;
    let strange = "<conference jid='Strange@conference.localhost' name='Strange' autojoin='1' minimize='1' \
                   xmlns:x='urn:x' x:colour='red'><nick>A</nick><print_status xmlns='urn:gajim'>all</print_status>\
                   <unknown/></conference>";
    let without = "<conference name='No address'><nick>B</nick></conference>";
    let url = "<url name='A page' url='https://example.org/'/>";
    let other = "<note xmlns='urn:note' to='self'>mine</note>";
    let plain = "<conference jid='plain@conference.localhost' name='Plain'/>";
    let put = format!(
        "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>{strange}{url}{without}{other}{plain}\
         </storage></query>"
    );
    assert_eq!(outcome(&ask(&mut old, "", "set", &put).await), "result");
    let before = private(&mut old).await;

    // Another room comes and goes.
    add(&mut phone, "play@conference.localhost", PLAY).await;
    let with_play = private(&mut old).await;
    assert!(with_play.contains("play@conference.localhost"), "{with_play}");
    let retract = "<retract node='urn:xmpp:bookmarks:1'><item id='play@conference.localhost'/></retract>";
    assert_eq!(outcome(&pubsub(&mut phone, "", "set", retract).await), "result");
    assert_eq!(private(&mut old).await, before);

    // The bookmark itself is renamed: what it says besides stays, and so does what others are.
    let renamed = "<conference xmlns='urn:xmpp:bookmarks:1' name='Stranger' autojoin='true'><nick>A</nick></conference>";
    add(&mut phone, "strange@conference.localhost", renamed).await;
    let after = private(&mut old).await;
    assert_eq!(after, before.replace("name='Strange'", "name='Stranger'"));
    // Only the room that is removed goes.
    let retract = "<retract node='urn:xmpp:bookmarks:1'><item id='strange@conference.localhost'/></retract>";
    assert_eq!(outcome(&pubsub(&mut phone, "", "set", retract).await), "result");
    let after = private(&mut old).await;
    assert!(
        !after.contains("Stranger") && after.contains(url) && after.contains(without),
        "{after}"
    );
}

#[tokio::test]
async fn what_a_native_bookmark_says_besides_stays_when_an_old_client_renames_it() {
    let house = house().await;
    let mut phone = wanting(&house, "alice@localhost/phone", &[]).await;
    let mut old = wanting(&house, "alice@localhost/old", &[]).await;
    let rich = "<conference xmlns='urn:xmpp:bookmarks:1' name='The Play' autojoin='1' pinned='yes'><nick>JC</nick>\
                <password>secret</password><extensions><state xmlns='urn:mine'/></extensions><later xmlns='urn:later'/>\
                </conference>";
    add(&mut phone, "play@conference.localhost", rich).await;
    let put = "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>\
               <conference jid='play@conference.localhost' name='Renamed' autojoin='true'><nick>Caesar</nick></conference>\
               </storage></query>";
    assert_eq!(outcome(&ask(&mut old, "", "set", put).await), "result");
    let now = native(&mut phone).await;
    let wanted = "<conference xmlns='urn:xmpp:bookmarks:1' name='Renamed' autojoin='1' pinned='yes'><nick>Caesar</nick>\
                  <extensions><state xmlns='urn:mine'/></extensions><later xmlns='urn:later'/></conference>";
    assert!(now.contains(wanted), "{now}");
}
