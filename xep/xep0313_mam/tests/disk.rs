//! What lies in the database: nothing readable, old messages no longer than they may, and every query by an index.

use std::path::Path;

use kim_core::clock::Clock;
use kim_core::db::{CORE_MIGRATIONS, Query};
use kim_core::jid::BareJid;
use kim_core::module::Module;
use kim_core::seal::Seals;
use kim_core::testing::{TestDb, migrated_databases};

use super::*;
use crate::xep0313_mam::archive::Archives;
use crate::xep0313_mam::purge::purge;
use crate::xep0313_mam::store::{ArchiveKey, Peer, Span, With, newest_query, page_query, referred_query};

const SENTENCE: &str = "The sentence that nobody but Bob may read";

/// Every file beside and below this one that holds the words.
fn files_with(folder: &Path, words: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .filter(|file| {
            let bytes = std::fs::read(file).unwrap();
            bytes
                .windows(words.len())
                .any(|window| window == words.as_bytes())
        })
        .map(|file| file.display().to_string())
        .collect()
}

/// Everything in a table, as PostgreSQL writes it: text, and bytes in hexadecimal.
async fn dump(db: &TestDb, table: &'static str) -> String {
    let sql = match table {
        "mam_archive" => "SELECT CAST(mam_archive AS TEXT) FROM mam_archive",
        "private_xml" => "SELECT CAST(private_xml AS TEXT) FROM private_xml",
        "vcard" => "SELECT CAST(vcard AS TEXT) FROM vcard",
        _ => "SELECT CAST(im_offline AS TEXT) FROM im_offline",
    };
    let rows = db.fetch_all(Query::new(sql)).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap()).collect()
}

/// Alice writes to Bob, who is away: it is in both archives and waits. She keeps it in her private XML and in her vCard too.
async fn write_to_bob(house: &House) {
    house.account("bob@localhost").await;
    let mut alice = house.online("alice@localhost/phone").await;
    say(&mut alice, "bob@localhost", SENTENCE).await;
    for kept in [
        format!(
            "<query xmlns='jabber:iq:private'><note xmlns='urn:note'><body>{SENTENCE}</body></note></query>"
        ),
        format!("<vCard xmlns='vcard-temp'><FN>{SENTENCE}</FN></vCard>"),
    ] {
        alice.skip();
        alice.send(&format!("<iq id='k' type='set'>{kept}</iq>")).await;
        assert!(alice.next().unwrap().contains("type='result'"));
    }
    let stored = |table: &'static str| async move {
        let rows = house.db.fetch_all(Query::new(table)).await.unwrap();
        rows.len()
    };
    assert_eq!(stored("SELECT owner FROM mam_archive").await, 2);
    assert_eq!(stored("SELECT account FROM im_offline").await, 1);
    assert_eq!(stored("SELECT account FROM private_xml").await, 1);
    assert_eq!(stored("SELECT account FROM vcard").await, 1);
}

/// The same sentence where nothing is sealed.
async fn write_readable(db: &TestDb) {
    let query =
        Query::new("INSERT INTO im_offline (account, received_at, id, stanza) VALUES ('x', 1, 1, $1)");
    let query = query.bind(SENTENCE.as_bytes());
    db.write(move |tx| {
        let query = query.clone();
        Box::pin(async move { tx.execute(query).await.map(|_| ()) })
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn no_message_is_readable_in_the_files_of_sqlite() {
    let db = TestDb::sqlite_file().await;
    let folder = Path::new(db.url().strip_prefix("sqlite://").unwrap())
        .parent()
        .unwrap()
        .to_owned();
    let house = House::on(db.db(), crate::MODULES, "").await;
    write_to_bob(&house).await;
    for words in [SENTENCE, "<body>", "<message"] {
        assert_eq!(files_with(&folder, words), Vec::<String>::new(), "{words}");
    }
    // The search finds it where it is: in the log that is not folded in yet.
    write_readable(&db).await;
    assert!(!files_with(&folder, SENTENCE).is_empty());
}

#[tokio::test]
async fn no_message_is_readable_in_a_dump_of_postgresql() {
    let Some(db) = TestDb::postgres().await else {
        return;
    };
    let house = House::on(db.db(), crate::MODULES, "").await;
    write_to_bob(&house).await;
    let hexadecimal = |words: &str| data_encoding::HEXLOWER.encode(words.as_bytes());
    let everything = async || {
        let mut all = String::new();
        for table in ["mam_archive", "im_offline", "private_xml", "vcard"] {
            all += &dump(&db, table).await;
        }
        all
    };
    let text = everything().await;
    assert!(text.len() > 1000);
    for words in [SENTENCE, "<body>"] {
        assert!(!text.contains(words) && !text.contains(&hexadecimal(words)));
    }
    write_readable(&db).await;
    assert!(everything().await.contains(&hexadecimal(SENTENCE)));
}

#[tokio::test]
async fn a_row_that_is_moved_does_not_open() {
    // Into another archive, or to another time.
    for sql in [
        "UPDATE mam_archive SET owner = 'mallory@localhost' WHERE owner = 'alice@localhost'",
        "UPDATE mam_archive SET stamp = stamp + 1 WHERE owner = 'alice@localhost'",
    ] {
        let house = house().await;
        house.account("bob@localhost").await;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut mallory = house.online("mallory@localhost/x").await;
        say(&mut alice, "bob@localhost", "hello").await;
        house
            .db
            .write(move |tx| Box::pin(async move { tx.execute(Query::new(sql)).await.map(|_| ()) }))
            .await
            .unwrap();
        let moved = [
            ask(&mut alice, "").await.results,
            ask(&mut mallory, "").await.results,
        ]
        .concat();
        assert_eq!(moved.len(), 1);
        assert!(!moved[0].contains("hello") && moved[0].contains("<forwarded "));
    }
}

#[tokio::test]
async fn a_damaged_waiting_message_keeps_nobody_from_theirs() {
    let house = house().await;
    house.account("bob@localhost").await;
    let mut alice = house.online("alice@localhost/phone").await;
    for body in ["one", "two", "three"] {
        say(&mut alice, "bob@localhost", body).await;
    }
    let rows = house
        .db
        .fetch_all(Query::new(
            "SELECT id, stanza FROM im_offline ORDER BY received_at",
        ))
        .await
        .unwrap();
    let (id, mut stanza) = (rows[1].i64(0).unwrap(), rows[1].bytes(1).unwrap());
    stanza[50] ^= 1;
    house
        .db
        .write(move |tx| {
            let query = Query::new("UPDATE im_offline SET stanza = $1 WHERE id = $2")
                .bind(&stanza)
                .bind(id);
            Box::pin(async move { tx.execute(query).await.map(|_| ()) })
        })
        .await
        .unwrap();
    let bob = &mut house.online("bob@localhost/x").await;
    let rows = house
        .db
        .fetch_all(Query::new("SELECT id FROM im_offline"))
        .await
        .unwrap();
    assert!(rows.is_empty());
    assert_eq!(
        ask(bob, "").await.bodies(),
        ["one", "two", "three"],
        "the archive has it"
    );
}

#[tokio::test]
async fn every_query_walks_an_index() {
    for db in migrated_databases(&[CORE_MIGRATIONS, Mam::MIGRATIONS]).await {
        let owner = BareJid::parse("alice@localhost").unwrap();
        let peer = Peer { bare: 1, full: 2 };
        for with in [With::Everybody, With::Bare(1), With::Full(peer)] {
            let span = Span {
                after: ArchiveKey { stamp: 5, tie: 1 },
                before: ArchiveKey { stamp: 9, tie: 1 },
                with,
            };
            for newest_first in [false, true] {
                let query = page_query(&owner, &span, newest_first, 50);
                db.assert_uses_index(query.clone()).await;
                let plan = db.explain(query).await.unwrap().join("\n");
                // In the order of the index, and both ends by it.
                assert!(!plan.contains("TEMP B-TREE") && !plan.contains("Sort"), "{plan}");
                let ends = if db.is_postgres() {
                    ["stamp, tie) > ", "stamp, tie) < "]
                } else {
                    ["tie)>(", "tie)<("]
                };
                let condition = plan
                    .lines()
                    .find(|line| line.contains(ends[0]))
                    .unwrap_or_default();
                assert!(
                    condition.contains(ends[1]) && !condition.contains("Filter"),
                    "{plan}"
                );
                let by_peer = !matches!(with, With::Everybody);
                assert_eq!(plan.contains("mam_archive_by_peer"), by_peer, "{plan}");
            }
        }
        let newest = newest_query(&owner, kim_core::clock::Timestamp(5), 10);
        db.assert_uses_index(newest.clone()).await;
        let plan = db.explain(newest).await.unwrap().join("\n");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("Sort"), "{plan}");
        let plan = db.explain(referred_query(1, 2, 10)).await.unwrap().join("\n");
        assert!(
            plan.contains("mam_archive_by_peer") && !plan.contains("SCAN mam_archive"),
            "{plan}"
        );
    }
}

#[tokio::test]
async fn old_messages_go_and_the_newest_stay() {
    // §3.2
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    for n in 0..10 {
        say(&mut alice, "bob@localhost", &format!("m{n}")).await;
        house.clock.advance(24 * 3_600);
    }
    let all = ask(&mut alice, "").await;
    let archives = Archives::new(&house.db, house.router.seals(), &house.clock);
    assert_eq!(purge(&archives, &house.clock, 4).await.unwrap(), 14);
    assert_eq!(purge(&archives, &house.clock, 4).await.unwrap(), 0);
    for client in [&mut alice, &mut bob] {
        assert_eq!(ask(client, "").await.bodies(), ["m7", "m8", "m9"]);
    }
    // §4.3.2: an id that is gone is not there any more.
    let answer = ask(&mut alice, &set(&format!("<after>{}</after>", all.ids[0]))).await;
    assert!(answer.fin.contains("<item-not-found "));
}

#[tokio::test]
async fn a_large_archive_is_purged_in_small_steps() {
    for db in migrated_databases(&[CORE_MIGRATIONS, Mam::MIGRATIONS]).await {
        db.write(|tx| {
            Box::pin(async move {
                let rows = (0..1_700_i64).map(|n| {
                    [
                        "a@localhost".into(),
                        n.into(),
                        0_i64.into(),
                        1_i64.into(),
                        1_i64.into(),
                        1_i64.into(),
                        None::<i64>.into(),
                        b"x".into(),
                    ]
                });
                let prefix =
                    "INSERT INTO mam_archive (owner, stamp, tie, peer, peer_full, reference, resend, stanza)";
                tx.insert_rows(prefix, rows, "").await.map(|_| ())
            })
        })
        .await
        .unwrap();
        let seals = Seals::with_key(db.db(), [1; 32]).await.unwrap();
        let archives = Archives::new(&db, &seals, &Clock::system());
        assert_eq!(purge(&archives, &Clock::system(), 1).await.unwrap(), 1_700);
    }
}
