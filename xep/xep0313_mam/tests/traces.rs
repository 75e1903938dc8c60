//! What was deleted is found nowhere in the files of SQLite, while the server has them open: neither what a key that is still
//! there would open, nor names that were never sealed.

use std::path::Path;

use kim_core::db::{Query, Traces};
use kim_core::jid::BareJid;
use kim_core::testing::TestDb;

use super::*;

/// Files beside the database's own that hold these bytes.
fn files_with(db: &TestDb, bytes: &[u8]) -> Vec<String> {
    let folder = Path::new(db.url().strip_prefix("sqlite://").unwrap())
        .parent()
        .unwrap();
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .filter(|file| {
            std::fs::read(file)
                .unwrap()
                .windows(bytes.len())
                .any(|window| window == bytes)
        })
        .map(|file| file.display().to_string())
        .collect()
}

/// What an account has in tables where it is not sealed.
const READABLE: [&str; 6] = [
    "rosalind-the-contact",
    "The Name Of Rosalind",
    "A Group Of Contacts",
    "urn:node:only-hers",
    "urn:note:only-hers",
    "somebody-she-blocked",
];

#[tokio::test]
async fn nothing_an_account_had_is_found_once_it_is_gone() {
    let db = TestDb::sqlite_file().await;
    let house = House::on(db.db(), crate::MODULES, "").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut fillers = Vec::new();
    for n in 0..60 {
        fillers.push(format!("<item jid='filler{n}@localhost' name='Filler {n}'/>"));
    }
    for set in [
        "<query xmlns='jabber:iq:roster'><item jid='rosalind-the-contact@localhost' name='The Name Of Rosalind'>\
         <group>A Group Of Contacts</group></item></query>",
        "<query xmlns='jabber:iq:private'><note xmlns='urn:note:only-hers'>x</note></query>",
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:node:only-hers'><item id='1'>\
         <x xmlns='urn:x'/></item></publish></pubsub>",
        "<block xmlns='urn:xmpp:blocking'><item jid='somebody-she-blocked@localhost'/></block>",
    ] {
        alice.send(&format!("<iq id='s' type='set'>{set}</iq>")).await;
    }
    // Others have rows in between, so that pages are split.
    let mut bob = house.online("bob@localhost/laptop").await;
    for item in &fillers {
        let set = format!("<query xmlns='jabber:iq:roster'>{item}</query>");
        for client in [&mut alice, &mut bob] {
            client.send(&format!("<iq id='f' type='set'>{set}</iq>")).await;
            client.skip();
        }
    }
    let key = Query::new("SELECT wrapped FROM kim_data_keys WHERE owner = 'alice@localhost'");
    let key = db.fetch_optional(key).await.unwrap().unwrap().bytes(0).unwrap();
    for words in READABLE {
        assert!(
            !files_with(&db, words.as_bytes()).is_empty(),
            "the search finds {words}"
        );
    }
    assert!(!files_with(&db, &key).is_empty());

    let account = BareJid::parse("alice@localhost").unwrap();
    house.router.erase_account(&account).await.unwrap();
    // It is seen to beside everything else; this waits for it.
    db.scrub(Traces::Keys).await.unwrap();
    for words in READABLE {
        assert_eq!(files_with(&db, words.as_bytes()), Vec::<String>::new(), "{words}");
    }
    assert_eq!(files_with(&db, &key), Vec::<String>::new());
    assert!(
        !files_with(&db, b"filler7@localhost").is_empty(),
        "bob's are there"
    );
}

#[tokio::test]
async fn a_retracted_message_is_found_nowhere() {
    let db = TestDb::sqlite_file().await;
    let house = House::on(db.db(), crate::MODULES, "").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    alice
        .send("<message id='m1' to='bob@localhost' type='chat'><body>a mistake</body></message>")
        .await;
    let all = Query::new("SELECT stanza FROM mam_archive ORDER BY owner");
    let rows = db.fetch_all(all).await.unwrap();
    let sealed: Vec<_> = rows.iter().map(|row| row.bytes(0).unwrap()).collect();
    assert_eq!(sealed.len(), 2);
    for sealed in &sealed {
        assert!(!files_with(&db, sealed).is_empty(), "the search finds it");
    }
    alice
        .send(
            "<message id='r1' to='bob@localhost' type='chat'><retract xmlns='urn:xmpp:message-retract:1' id='m1'/>\
             <body>gone</body></message>",
        )
        .await;
    assert_eq!(ask(&mut bob, "").await.bodies(), ["", "gone"]);
    db.scrub(Traces::Keys).await.unwrap();
    for sealed in &sealed {
        // The file is page after page of what is there now; a long sealed text may lie in two of them, so its parts count.
        for part in sealed.chunks_exact(32) {
            assert_eq!(files_with(&db, part), Vec::<String>::new());
        }
    }
}
