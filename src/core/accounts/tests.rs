//! Stories of accounts: registering, changing the password, removing.

mod epochs;

use super::*;
use crate::db::{CORE_MIGRATIONS, Migration, Query};
use crate::testing::{TestDb, migrated_databases};

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn password(text: &str) -> Password {
    Password::prepare(text).unwrap()
}

async fn accounts(db: &TestDb) -> Accounts {
    // As few iterations as possible: the arithmetic is tested elsewhere.
    let options = AccountsOptions {
        iterations: 2,
        ..AccountsOptions::default()
    };
    Accounts::open(db.db(), options).await.unwrap()
}

#[tokio::test]
async fn a_registered_account_has_keys_for_both_hashes_that_fit_its_password() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        let alice = jid("alice@example.org");
        assert!(!accounts.exists(&alice).await.unwrap());
        accounts
            .create(&alice, &password("wonderland"), Tombstone::Respect)
            .await
            .unwrap();
        assert!(accounts.exists(&alice).await.unwrap());
        for hash in HASHES {
            let keys = accounts.keys(&alice, hash).await.unwrap().unwrap();
            assert_eq!((keys.hash(), keys.iterations()), (hash, 2));
            assert!(keys.verify(&password("wonderland")));
            assert!(!keys.verify(&password("looking-glass")));
        }
        assert!(accounts.verify(&alice, &password("wonderland")).await.unwrap());
        assert!(!accounts.verify(&alice, &password("looking-glass")).await.unwrap());
    }
}

#[tokio::test]
async fn of_many_who_race_for_a_name_one_gets_it() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        let alice = jid("alice@example.org");
        let passwords: Vec<Password> = (0..8).map(|n| password(&format!("password {n}"))).collect();
        let racers = passwords
            .iter()
            .map(|p| accounts.create(&alice, p, Tombstone::Respect));
        let results = futures_util::future::join_all(racers).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(
            results
                .iter()
                .all(|result| matches!(result, Ok(()) | Err(AccountError::Exists)))
        );
        let winner = results.iter().position(Result::is_ok).unwrap();
        assert!(accounts.verify(&alice, &passwords[winner]).await.unwrap());
    }
}

#[tokio::test]
async fn a_domain_is_no_account() {
    let db = &migrated_databases(&[CORE_MIGRATIONS]).await[0];
    let created = accounts(db)
        .await
        .create(&jid("example.org"), &password("x"), Tombstone::Respect)
        .await;
    assert_eq!(created, Err(AccountError::NotAnAccount));
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        let alice = jid("alice@example.org");
        assert_eq!(
            accounts.set_password(&alice, &password("new")).await,
            Err(AccountError::NotFound)
        );
        accounts
            .create(&alice, &password("old"), Tombstone::Respect)
            .await
            .unwrap();
        accounts.set_password(&alice, &password("new")).await.unwrap();
        assert!(accounts.verify(&alice, &password("new")).await.unwrap());
        assert!(!accounts.verify(&alice, &password("old")).await.unwrap());
    }
}

#[tokio::test]
async fn the_list_comes_in_pages_that_miss_nobody() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        for n in 0..7 {
            accounts
                .import(&jid(&format!("u{n}@example.org")), vec![], n, Tombstone::Respect)
                .await
                .unwrap();
        }
        let mut seen = Vec::new();
        let mut last = None;
        loop {
            let page = accounts.list(last.as_ref(), 3).await.unwrap();
            let Some(end) = page.last() else { break };
            last = Some(end.account.clone());
            seen.extend(
                page.iter()
                    .map(|account| (account.account.to_string(), account.created_at)),
            );
        }
        let expected: Vec<_> = (0..7).map(|n| (format!("u{n}@example.org"), n)).collect();
        assert_eq!(seen, expected);
        db.assert_uses_index(
            Query::new(
                "SELECT account, created_at FROM accounts WHERE account > $1 ORDER BY account LIMIT $2",
            )
            .bind("")
            .bind(3),
        )
        .await;
    }
}

/// The table of a module that keeps something of every account.
const DIARY: &[Migration] = &[Migration {
    module: "diary",
    name: "0001_diary",
    sql: "CREATE TABLE diary (account TEXT NOT NULL PRIMARY KEY, page TEXT NOT NULL)",
}];

fn erase_diary<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        tx.execute(Query::new("DELETE FROM diary WHERE account = $1").bind(account))
            .await?;
        Ok(())
    })
}

fn fail_to_erase<'a>(_: &'a mut Tx, _: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async { Err(DbError::Refused("this module cannot erase now")) })
}

async fn write_diary(db: &TestDb, account: &BareJid) {
    let account = account.clone();
    db.write(move |tx| {
        let query = Query::new("INSERT INTO diary (account, page) VALUES ($1, 'dear diary')").bind(&account);
        Box::pin(async move { tx.execute(query).await })
    })
    .await
    .unwrap();
}

async fn diary_pages(db: &TestDb) -> i64 {
    db.fetch_optional(Query::new("SELECT COUNT(*) FROM diary"))
        .await
        .unwrap()
        .unwrap()
        .i64(0)
        .unwrap()
}

#[tokio::test]
async fn removing_an_account_erases_every_rooms_rows_or_nothing() {
    for db in migrated_databases(&[CORE_MIGRATIONS, DIARY]).await {
        let accounts = accounts(&db).await;
        let (alice, bob) = (jid("alice@example.org"), jid("bob@example.org"));
        for account in [&alice, &bob] {
            accounts
                .create(account, &password("x"), Tombstone::Respect)
                .await
                .unwrap();
            write_diary(&db, account).await;
        }
        let failed = accounts.delete(&alice, &[erase_diary, fail_to_erase]).await;
        assert_eq!(
            failed,
            Err(AccountError::Db(DbError::Refused("this module cannot erase now")))
        );
        assert!(accounts.verify(&alice, &password("x")).await.unwrap());
        assert_eq!(diary_pages(&db).await, 2);

        accounts.delete(&alice, &[erase_diary]).await.unwrap();
        assert!(!accounts.exists(&alice).await.unwrap());
        assert!(accounts.keys(&alice, Hash::Sha256).await.unwrap().is_none());
        assert_eq!(diary_pages(&db).await, 1);
        assert!(accounts.exists(&bob).await.unwrap());
        assert_eq!(accounts.delete(&alice, &[]).await, Err(AccountError::NotFound));
    }
}

#[tokio::test]
async fn the_name_of_a_removed_account_is_held_unless_the_operator_insists() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        let alice = jid("alice@example.org");
        accounts
            .create(&alice, &password("first"), Tombstone::Respect)
            .await
            .unwrap();
        let before = crate::db::now_us();
        accounts.delete(&alice, &[]).await.unwrap();
        let removed_at = accounts.removed_at(&alice).await.unwrap().unwrap();
        assert!(removed_at >= before);
        let again = accounts
            .create(&alice, &password("second"), Tombstone::Respect)
            .await;
        assert_eq!(again, Err(AccountError::Removed { removed_at }));

        accounts
            .create(&alice, &password("second"), Tombstone::Override)
            .await
            .unwrap();
        assert!(accounts.verify(&alice, &password("second")).await.unwrap());
        assert_eq!(accounts.removed_at(&alice).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_stranger_sees_the_same_invented_salt_after_a_restart() {
    let db = TestDb::sqlite_file().await;
    db.migrate(&[CORE_MIGRATIONS]).await.unwrap();
    let nobody = jid("nobody@example.org");
    let (first, _) = accounts(&db)
        .await
        .keys_or_fake(&nobody, Hash::Sha256)
        .await
        .unwrap();
    db.close().await;
    let db = crate::db::Db::open(db.url(), &crate::db::DbOptions::default())
        .await
        .unwrap();
    let accounts = Accounts::open(
        db,
        AccountsOptions {
            iterations: 2,
            ..Default::default()
        },
    )
    .await
    .unwrap();
    let (second, _) = accounts.keys_or_fake(&nobody, Hash::Sha256).await.unwrap();
    assert_eq!(first.salt(), second.salt());
    assert_eq!(first.iterations(), second.iterations());
    assert!(!accounts.verify(&nobody, &password("x")).await.unwrap());
    let (other, _) = accounts
        .keys_or_fake(&jid("nobody-else@example.org"), Hash::Sha256)
        .await
        .unwrap();
    assert_ne!(first.salt(), other.salt());
}

#[tokio::test]
async fn too_many_passwords_at_once_are_refused_not_queued_without_end() {
    let db = &migrated_databases(&[CORE_MIGRATIONS]).await[0];
    let options = AccountsOptions {
        iterations: 2,
        hashing_max: 1,
        hashing_waiting_max: 1,
    };
    let accounts = Accounts::open(db.db(), options).await.unwrap();
    let both = (
        accounts.hashing_turn().await.unwrap(),
        accounts.inner.waiting.clone().try_acquire_owned(),
    );
    let refused = accounts.verify(&jid("alice@example.org"), &password("x")).await;
    assert_eq!(refused, Err(AccountError::Busy));
    drop(both);
    assert!(
        !accounts
            .verify(&jid("alice@example.org"), &password("x"))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_token_stands_for_its_account_until_it_is_over() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        let (alice, bob) = (jid("alice@example.org"), jid("bob@example.org"));
        assert_eq!(
            accounts
                .give_token(&alice, Epoch(0), Scopes::all(), 60)
                .await
                .err(),
            Some(AccountError::Outdated)
        );
        for account in [&alice, &bob] {
            let old = password("old");
            accounts.create(account, &old, Tombstone::Respect).await.unwrap();
        }
        let epoch = async |account| accounts.epoch(account).await.unwrap().unwrap();
        let give = async |seconds| {
            let given = accounts.give_token(&alice, epoch(&alice).await, Scopes::all(), seconds);
            given.await.unwrap()
        };
        let owner = async |token: &Token| {
            accounts
                .bearer(&token.text)
                .await
                .unwrap()
                .map(|bearer| bearer.account)
        };
        let (phone, laptop, over) = (give(60).await, give(60).await, give(0).await);
        assert_eq!(owner(&phone).await.as_ref(), Some(&alice));
        assert_eq!(owner(&over).await, None, "expired");
        for wrong in [&"a".repeat(32), "", &phone.row.id] {
            assert_eq!(accounts.bearer(wrong).await.unwrap(), None);
        }
        let listed = accounts.tokens(&alice).await.unwrap();
        assert_eq!(
            listed,
            [laptop.row.clone(), phone.row.clone()],
            "the newest first"
        );
        assert!(
            !accounts.revoke_token(&bob, &phone.row.id).await.unwrap(),
            "it is not his"
        );
        assert!(accounts.revoke_token(&alice, &phone.row.id).await.unwrap());
        assert!(!accounts.revoke_token(&alice, &phone.row.id).await.unwrap());
        assert_eq!(owner(&phone).await, None);
        assert_eq!(owner(&laptop).await.as_ref(), Some(&alice));
        accounts.set_password(&alice, &password("new")).await.unwrap();
        assert_eq!(owner(&laptop).await, None, "of the old password's time");

        let bobs = accounts
            .give_token(&bob, epoch(&bob).await, Scopes::all(), 60)
            .await
            .unwrap();
        give(60).await;
        assert_eq!(accounts.revoke_tokens(&alice).await.unwrap(), 1);
        assert_eq!(owner(&bobs).await.as_ref(), Some(&bob));
        accounts.delete(&bob, &[]).await.unwrap();

        let first = give(60).await;
        for _ in 0..TOKENS_PER_ACCOUNT_MAX {
            give(60).await;
        }
        assert_eq!(owner(&first).await, None, "there are so many newer ones");
        let last = give(60).await;
        accounts.delete(&alice, &[]).await.unwrap();
        assert_eq!(owner(&last).await, None);
        let rows = db
            .db()
            .fetch_all(Query::new("SELECT account FROM account_tokens"))
            .await;
        assert!(rows.unwrap().is_empty(), "nothing stays");
    }
}

#[tokio::test]
async fn a_token_is_good_for_what_it_was_given_for() {
    for db in migrated_databases(&[CORE_MIGRATIONS]).await {
        let accounts = accounts(&db).await;
        let alice = jid("alice@example.org");
        let password = password("x");
        accounts
            .create(&alice, &password, Tombstone::Respect)
            .await
            .unwrap();
        for scopes in [
            vec![],
            vec![Scope::Read],
            vec![Scope::Send, Scope::Manage],
            Scope::ALL.to_vec(),
        ] {
            let epoch = accounts.epoch(&alice).await.unwrap().unwrap();
            let given = accounts.give_token(&alice, epoch, scopes.iter().copied().collect(), 60);
            let given = given.await.unwrap();
            let bearer = accounts.bearer(&given.text).await.unwrap().unwrap();
            for scope in Scope::ALL {
                assert_eq!(
                    bearer.scopes.has(scope),
                    scopes.contains(&scope),
                    "{scope:?} of {scopes:?}"
                );
            }
            assert_eq!(bearer.id, given.row.id);
        }
    }
}
