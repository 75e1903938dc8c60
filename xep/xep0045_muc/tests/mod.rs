//! Rooms in memory: the dialogues of this folder, the tables of section 5, and what dialogues cannot show.

use std::path::Path;

use kim_core::db::CORE_MIGRATIONS;
use kim_core::module::Module;
use kim_core::testing::{Client, House, dialogue, migrated_databases};

mod bounces;
mod entering;
mod errands;
mod forged;
mod history;
mod hostile;
mod passwords;
mod privileges;
mod retention;
mod surviving;

/// The room of these tests.
const ROOM: &str = "coven@conference.localhost";

#[tokio::test]
async fn every_dialogue_of_rooms_goes_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("xep0045_muc/dialogues");
    let mut failures = Vec::new();
    for file in std::fs::read_dir(folder).unwrap().flatten() {
        let path = file.path();
        let script = dialogue::parse(&std::fs::read_to_string(&path).unwrap());
        let mut house = House::new(crate::MODULES).await;
        let played = match script {
            Ok(script) => dialogue::play(&script, &mut house).await,
            Err(why) => Err(why),
        };
        if let Err(why) = played {
            failures.push(format!("{}: {why}", path.display()));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

async fn configured(toml: &str) -> House {
    House::configured(crate::MODULES, toml).await
}

/// Asks to enter.
async fn join(client: &mut Client, nick: &str) {
    client
        .send(&format!(
            "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
}

/// Enters, and reads what comes.
async fn enter(client: &mut Client, nick: &str) {
    client.skip();
    join(client, nick).await;
    let got: Vec<String> = std::iter::from_fn(|| client.next()).collect();
    assert!(got.iter().any(|xml| xml.contains("<subject")), "{got:#?}");
}

/// Opens a room with these fields set.
async fn instant(owner: &mut Client, room: &str, fields: &str) {
    owner.skip();
    let form = format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>");
    let query = format!("<query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query>");
    owner
        .send(&format!("<iq id='open' to='{room}' type='set'>{query}</iq>"))
        .await;
    let got: Vec<String> = std::iter::from_fn(|| owner.next()).collect();
    let opened = got
        .iter()
        .any(|xml| xml.contains("id='open'") && xml.contains("type='result'"));
    assert!(opened, "{got:#?}");
}

/// Everything that has come.
fn all(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next()).collect()
}

/// Says something to all.
async fn say(client: &mut Client, id: &str, what: &str) {
    client
        .send(&format!(
            "<message id='{id}' to='{ROOM}' type='groupchat'>{what}</message>"
        ))
        .await;
}

/// A persistent room that Alice owns, with her and Bob in it; what came is read.
async fn room(house: &House) -> (Client, Client) {
    let mut alice = house.connect("alice@localhost/desktop").await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    enter(&mut alice, "alice").await;
    let persistent = "<field var='muc#roomconfig_persistentroom'><value>1</value></field>";
    instant(&mut alice, ROOM, persistent).await;
    enter(&mut bob, "bob").await;
    alice.skip();
    (alice, bob)
}

#[tokio::test]
async fn public_rooms_are_read_by_an_index_page_by_page() {
    for db in migrated_databases(&[CORE_MIGRATIONS, super::Muc::MIGRATIONS]).await {
        let query = super::store::public_query("a@conference.localhost", 200);
        db.assert_uses_index(query.clone()).await;
        // PostgreSQL sorts the few rows that it expects in a table without statistics.
        let plan = db.explain(query).await.unwrap().join("\n");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
