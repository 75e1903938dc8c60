//! What a proof is worth once the password is another one; names that look alike; tokens that are over.

use sha2::{Digest, Sha256};

use super::*;
use crate::router::NotStarted;
use crate::session::Session;
use crate::testing::House;

#[tokio::test]
async fn what_was_proved_with_an_old_password_counts_no_more() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        let alice = jid("alice@example.org");
        accounts
            .create(&alice, &password("old"), Tombstone::Respect)
            .await
            .unwrap();
        assert_eq!(accounts.prove(&alice, &password("wrong")).await.unwrap(), None);
        let old = accounts.prove(&alice, &password("old")).await.unwrap().unwrap();
        let (_, of_keys) = accounts.keys_or_fake(&alice, Hash::Sha1).await.unwrap();
        assert_eq!((Some(old), old), (accounts.epoch(&alice).await.unwrap(), of_keys));
        accounts.give_token(&alice, old, Scopes::all(), 60).await.unwrap();

        // The same password once more is another one too: whoever sets it means to shut others out.
        accounts.set_password(&alice, &password("old")).await.unwrap();
        let refused = accounts.give_token(&alice, old, Scopes::all(), 60).await;
        assert_eq!(refused.err(), Some(AccountError::Outdated));
        let new = accounts.prove(&alice, &password("old")).await.unwrap().unwrap();
        assert_ne!(old, new);
        let token = accounts.give_token(&alice, new, Scopes::all(), 60).await.unwrap();
        let bearer = accounts.bearer(&token.text).await.unwrap().unwrap();
        assert_eq!(bearer.epoch, new);

        // Nor for a later account of the same name.
        accounts.delete(&alice, &[]).await.unwrap();
        assert_eq!(accounts.epoch(&alice).await.unwrap(), None);
        accounts
            .create(&alice, &password("old"), Tombstone::Override)
            .await
            .unwrap();
        let again = accounts.epoch(&alice).await.unwrap().unwrap();
        assert!(again != new && again != old);
    }
}

#[tokio::test]
async fn a_name_that_looks_like_another_is_refused() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        let make = async |name: &str| {
            accounts
                .create(&jid(name), &password("x"), Tombstone::Respect)
                .await
        };
        make("alice@example.org").await.unwrap();
        // Cyrillic first letter; then a Latin alpha.
        for name in ["\u{430}lice@example.org", "\u{251}lice@example.org"] {
            assert_eq!(make(name).await, Err(AccountError::Lookalike), "{name}");
            assert!(!accounts.exists(&jid(name)).await.unwrap());
        }
        // Elsewhere nobody is mistaken for her, and these differ.
        make("\u{430}lice@example.com").await.unwrap();
        make("alicia@example.org").await.unwrap();
        assert_eq!(make("alice@example.org").await, Err(AccountError::Exists));
        // Where she is gone, her name is held back, and those like it are free.
        accounts.delete(&jid("alice@example.org"), &[]).await.unwrap();
        make("\u{430}lice@example.org").await.unwrap();
        db.assert_uses_index(
            Query::new("SELECT account FROM accounts WHERE skeleton = $1 LIMIT 1").bind("x"),
        )
        .await;
    }
}

#[tokio::test]
async fn accounts_from_before_get_their_skeletons_at_the_next_start() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        db.execute(Query::new(
            "INSERT INTO accounts (account, created_at) VALUES ('alice@example.org', 1)",
        ))
        .await
        .unwrap();
        let accounts = accounts(&db).await;
        let refused = accounts
            .create(
                &jid("\u{430}lice@example.org"),
                &password("x"),
                Tombstone::Respect,
            )
            .await;
        assert_eq!(refused, Err(AccountError::Lookalike));
    }
}

#[tokio::test]
async fn a_damaged_row_hides_no_other_account() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        for name in ["alice@example.org", "carol@example.org"] {
            accounts
                .create(&jid(name), &password("x"), Tombstone::Respect)
                .await
                .unwrap();
        }
        db.execute(Query::new(
            "INSERT INTO accounts (account, created_at) VALUES ('b b@@', 1)",
        ))
        .await
        .unwrap();
        let listed = accounts.list(None, 10).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|row| row.account.as_str()).collect();
        assert_eq!(listed, ["alice@example.org", "carol@example.org"]);
    }
}

#[tokio::test]
async fn tokens_that_are_over_are_cleared_away_whoever_stays_away() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        let alice = jid("alice@example.org");
        accounts
            .create(&alice, &password("x"), Tombstone::Respect)
            .await
            .unwrap();
        let epoch = accounts.epoch(&alice).await.unwrap().unwrap();
        let good = accounts
            .give_token(&alice, epoch, Scopes::all(), 60)
            .await
            .unwrap();
        let rows: Vec<[u8; 32]> = (0..1_200_u32)
            .map(|n| Sha256::digest(n.to_be_bytes()).into())
            .collect();
        db.write(move |tx| {
            let rows = rows.clone();
            Box::pin(async move {
                let rows = rows.into_iter().map(|hash| {
                    let at = 1_i64;
                    [
                        hash.into(),
                        "id".into(),
                        "bob@example.org".into(),
                        "read".into(),
                        at.into(),
                        at.into(),
                    ]
                });
                let into =
                    "INSERT INTO account_tokens (token_hash, id, account, scopes, created_at, expires_at)";
                tx.insert_rows(into, rows, "").await.map(drop)
            })
        })
        .await
        .unwrap();
        assert_eq!(accounts.tidy_tokens().await.unwrap(), 1_200);
        assert_eq!(accounts.tidy_tokens().await.unwrap(), 0);
        assert!(accounts.bearer(&good.text).await.unwrap().is_some());
        let over = Query::new("SELECT token_hash FROM account_tokens WHERE expires_at <= $1 LIMIT $2");
        db.assert_uses_index(over.bind(1_i64).bind(1_i64)).await;
    }
}

#[tokio::test]
async fn a_session_begins_only_by_the_password_that_holds() {
    let house = House::new(&[]).await;
    let alice = house.account("alice@localhost").await;
    let epoch = async || house.router.accounts().epoch(&alice).await.unwrap();
    let session = |resource| Session::new(alice.with_resource(resource).unwrap(), false, None, 1_000);
    let old = epoch().await.unwrap();
    let phone = session("phone");
    house.router.start_proved(&phone, old).await.unwrap();

    let asked_by = Some(&phone.jid);
    house
        .router
        .change_password(&alice, &password("new"), asked_by)
        .await
        .unwrap();
    // It neither begins nor takes the place of the one that is there.
    for resource in ["phone", "tablet"] {
        let stale = house.router.start_proved(&session(resource), old).await;
        assert_eq!(stale, Err(NotStarted::Outdated));
    }
    assert_eq!(house.router.sessions().all_of(&alice).len(), 1);
    assert!(!phone.outbox.is_closed() && !phone.has_left());
    let tablet = session("tablet");
    house
        .router
        .start_proved(&tablet, epoch().await.unwrap())
        .await
        .unwrap();
    house
        .router
        .change_password(&alice, &password("newer"), None)
        .await
        .unwrap();
    assert!(phone.outbox.is_closed() && tablet.outbox.is_closed());

    let newest = epoch().await.unwrap();
    house.router.erase_account(&alice).await.unwrap();
    let gone = house.router.start_proved(&session("phone"), newest).await;
    assert_eq!(gone, Err(NotStarted::Outdated));
    assert!(house.router.sessions().all_of(&alice).is_empty());
}
