//! What the tables keep, for how long, and how it is found.

use kim_core::db::Query;
use kim_core::jid::BareJid;

use super::{got, having, say, stories, text};
use crate::strangers::store;

const COUNTS: [(&str, &str); 3] = [
    ("written", "SELECT COUNT(*) FROM strangers_written"),
    ("requests", "SELECT COUNT(*) FROM strangers_requests"),
    ("accounts", "SELECT COUNT(*) FROM strangers_accounts"),
];

async fn counts(story: &super::Story) -> Vec<i64> {
    let mut counts = Vec::new();
    for (_, sql) in COUNTS {
        let row = story
            .house
            .db
            .fetch_optional(Query::new(sql))
            .await
            .unwrap()
            .unwrap();
        counts.push(row.i64(0).unwrap());
    }
    counts
}

#[tokio::test]
async fn everything_goes_with_the_account_and_nothing_readable_is_kept() {
    for story in stories("[strangers]\nmessages = \"hold\"\n").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        alice
            .send("<message to='juliet@example.org' type='chat'><body>hi</body></message>")
            .await;
        say(
            &mut there,
            &text(
                "romeo@example.org/x",
                "alice@localhost",
                "m",
                "secret: https://x.example/",
            ),
        )
        .await;
        assert_eq!(counts(&story).await, [1, 1, 1]);
        let rows = house
            .db
            .fetch_all(Query::new("SELECT stanza FROM strangers_requests"))
            .await
            .unwrap();
        let sealed = rows[0].bytes(0).unwrap();
        for word in ["secret", "romeo"] {
            assert!(
                !sealed.windows(word.len()).any(|part| part == word.as_bytes()),
                "{word}"
            );
        }
        let account = BareJid::parse("alice@localhost").unwrap();
        house.router.erase_account(&account).await.unwrap();
        assert_eq!(counts(&story).await, [0, 0, 0]);
    }
}

#[tokio::test]
async fn what_was_written_outlives_the_memory() {
    for story in stories("").await {
        let house = &story.house;
        let mut alice = house.online("alice@localhost/phone").await;
        let mut there = house.neighbour("example.org");
        alice
            .send("<message to='romeo@example.org' type='chat'><body>hi</body></message>")
            .await;
        house.db.caches().drop_all();
        say(
            &mut there,
            &text(
                "romeo@example.org/x",
                "alice@localhost",
                "m",
                "https://x.example/",
            ),
        )
        .await;
        assert_eq!(having(&got(&mut alice), "x.example"), 1);
    }
}

#[tokio::test]
async fn requests_expire() {
    for story in stories("[strangers]\nrequest_days = 2\n").await {
        let house = &story.house;
        house.account("alice@localhost").await;
        let mut there = house.neighbour("example.org");
        say(
            &mut there,
            &text(
                "romeo@example.org/x",
                "alice@localhost",
                "m",
                "https://x.example/",
            ),
        )
        .await;
        house.clock.advance(86_400);
        house.router.tidy().await;
        assert_eq!(counts(&story).await[1], 1);
        house.clock.advance(86_401);
        house.router.tidy().await;
        assert_eq!(counts(&story).await[1], 0);
    }
}

#[tokio::test]
async fn queries_use_their_indexes() {
    for story in stories("")
        .await
        .into_iter()
        .filter(|story| !story.house.db.is_postgres())
    {
        let account = BareJid::parse("a@localhost").unwrap();
        for query in [
            store::was_written_query(&account, 1),
            store::of_peer_query(&account, 1),
            store::due_query(kim_core::clock::Timestamp(1)),
        ] {
            let plan = story.house.db.explain(query).await.unwrap();
            let searches = |line: &String| line.contains("SEARCH") && line.contains("INDEX");
            assert!(plan.iter().any(searches), "{plan:?}");
        }
    }
}
