//! Stories of keys: made once, found again, exchanged with the power failing at every step, destroyed.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::db::{CORE_MIGRATIONS, Query};
use crate::jid::BareJid;
use crate::random;
use crate::testing::{TestDb, migrated_databases};

/// A folder that is gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("kim-seal-{}", random::token()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn key(&self) -> PathBuf {
        self.0.join("sealing.key")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn databases() -> Vec<TestDb> {
    migrated_databases(&[CORE_MIGRATIONS]).await
}

async fn start(db: &TestDb, key: &Path) -> Result<Seals, SealError> {
    Seals::open(db.db(), key).await
}

#[tokio::test]
async fn the_first_start_makes_a_key_and_later_ones_find_it() {
    for db in databases().await {
        let folder = Folder::new();
        let seals = start(&db, &folder.key()).await.unwrap();
        let mode = std::fs::metadata(folder.key()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let sealed = seals.seal("alice@localhost", &[b"x"], b"hello").await.unwrap();
        assert_ne!(
            sealed.get(..5),
            seals
                .seal("bob@localhost", &[b"x"], b"hello")
                .await
                .unwrap()
                .get(..5)
        );

        let again = start(&db, &folder.key()).await.unwrap();
        assert_eq!(
            again
                .open_sealed("alice@localhost", &[b"x"], &sealed)
                .await
                .unwrap(),
            b"hello"
        );
        assert!(
            again
                .open_sealed("bob@localhost", &[b"x"], &sealed)
                .await
                .is_err()
        );
        assert!(
            again
                .open_sealed("nobody@localhost", &[b"x"], &sealed)
                .await
                .is_err()
        );
        assert!(
            again.known_key("nobody@localhost").await.unwrap().is_none(),
            "asking makes no key"
        );
        assert!(!format!("{again:?} {:?}", again.key("alice@localhost").await).contains("hello"));
    }
}

#[tokio::test]
async fn a_wrong_or_missing_key_is_one_clear_line_and_no_start() {
    for db in databases().await {
        let (folder, elsewhere) = (Folder::new(), Folder::new());
        let seals = start(&db, &folder.key()).await.unwrap();
        let needed = seals.ring().current.id.clone();

        let other = Kek::random();
        KeyFile::At(elsewhere.key()).write(&[&other]).unwrap();
        let error = start(&db, &elsewhere.key()).await.unwrap_err().to_string();
        assert!(
            error.contains("does not fit") && error.contains(&needed) && error.contains(&other.id),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);

        std::fs::write(elsewhere.key(), "hello\n").unwrap();
        let error = start(&db, &elsewhere.key()).await.unwrap_err().to_string();
        assert!(error.contains("holds no sealing key"), "{error}");
        std::fs::write(elsewhere.key(), "kim-sealing-key-1 AAAA\n").unwrap();
        assert!(start(&db, &elsewhere.key()).await.is_err());

        std::fs::remove_file(elsewhere.key()).unwrap();
        let error = start(&db, &elsewhere.key()).await.unwrap_err().to_string();
        assert!(error.contains("is missing") && error.contains(&needed), "{error}");
        assert!(
            !elsewhere.key().exists(),
            "no other key is made for a database that has one"
        );

        std::fs::create_dir(elsewhere.key()).unwrap();
        assert!(matches!(
            start(&db, &elsewhere.key()).await,
            Err(SealError::KeyFile { .. })
        ));
    }
}

#[tokio::test]
async fn many_who_need_a_key_at_once_get_the_same() {
    for db in databases().await {
        let folder = Folder::new();
        let one = start(&db, &folder.key()).await.unwrap();
        let two = start(&db, &folder.key()).await.unwrap();
        let asks = (0..32).map(|at| {
            let seals = if at % 2 == 0 { one.clone() } else { two.clone() };
            tokio::spawn(async move { *seals.key("room@conference.localhost").await.unwrap().secret() })
        });
        let secrets = futures_util::future::join_all(asks).await;
        let first = *secrets[0].as_ref().unwrap();
        assert!(secrets.iter().all(|secret| *secret.as_ref().unwrap() == first));
    }
}

#[tokio::test]
async fn the_database_holds_no_key_that_opens_anything_by_itself() {
    for db in databases().await {
        let folder = Folder::new();
        let seals = start(&db, &folder.key()).await.unwrap();
        let key = seals.key("alice@localhost").await.unwrap();
        let row = db
            .fetch_optional(Query::new("SELECT wrapped FROM kim_data_keys"))
            .await
            .unwrap()
            .unwrap();
        let wrapped = row.bytes(0).unwrap();
        assert!(
            !wrapped
                .windows(8)
                .any(|part| key.secret().windows(8).any(|secret| secret == part))
        );
        // A wrapped key that is moved to another owner does not open there.
        let stolen = Wrapped {
            owner: "mallory@localhost".into(),
            kek: seals.ring().current.id.clone(),
            bytes: wrapped,
        };
        assert!(unwrap(&seals.ring(), &stolen).is_err());
    }
}

#[tokio::test]
async fn a_rotation_wraps_anew_and_touches_no_row() {
    for db in databases().await {
        let folder = Folder::new();
        let seals = start(&db, &folder.key()).await.unwrap();
        let owners: Vec<String> = (0..300).map(|n| format!("user{n}@localhost")).collect();
        let mut sealed = Vec::new();
        for owner in &owners {
            sealed.push(seals.seal(owner, &[], owner.as_bytes()).await.unwrap());
        }
        let before = std::fs::read(folder.key()).unwrap();
        let old = seals.ring().current.id.clone();
        let rotation = seals.rotate().await.unwrap();
        assert_eq!(rotation.rewrapped, 300);
        assert_ne!(rotation.key, old);
        let opens = async |seals: &Seals| {
            for (owner, sealed) in owners.iter().zip(&sealed) {
                assert_eq!(
                    seals.open_sealed(owner, &[], sealed).await.unwrap(),
                    owner.as_bytes()
                );
            }
        };
        opens(&seals).await;
        opens(&start(&db, &folder.key()).await.unwrap()).await;
        // The old file opens nothing any more.
        std::fs::write(folder.key(), before).unwrap();
        assert!(matches!(
            start(&db, &folder.key()).await,
            Err(SealError::Foreign { .. })
        ));
    }
}

/// What stands in the file and the tables after each step of [`super::rotate`], were the power to fail there.
#[tokio::test]
async fn a_rotation_that_is_cut_off_anywhere_goes_on_at_the_next_start() {
    for step in 1..=4 {
        for db in databases().await {
            let folder = Folder::new();
            let seals = start(&db, &folder.key()).await.unwrap();
            let mut sealed = Vec::new();
            for owner in ["a@localhost", "b@localhost", "c@localhost"] {
                sealed.push((owner, seals.seal(owner, &[], b"hello").await.unwrap()));
            }
            let (old, new) = (seals.ring().current.clone(), Kek::random());
            let file = KeyFile::At(folder.key());
            file.write(&[&new, &old]).unwrap();
            if step >= 2 {
                store::prove(&db, new.id.clone(), proof(&new)).await.unwrap();
            }
            if step >= 3 {
                let key = seals.key("b@localhost").await.unwrap();
                let fresh = vec![wrap(&new, "b@localhost", &key)];
                assert_eq!(store::rewrap(&db, fresh, vec![old.id.clone()]).await.unwrap(), 1);
                assert!(
                    !store::retire_others(&db, new.id.clone()).await.unwrap(),
                    "two still need the old key"
                );
            }
            if step >= 4 {
                for owner in ["a@localhost", "c@localhost"] {
                    let key = seals.key(owner).await.unwrap();
                    store::rewrap(&db, vec![wrap(&new, owner, &key)], vec![old.id.clone()])
                        .await
                        .unwrap();
                }
                assert!(store::retire_others(&db, new.id.clone()).await.unwrap());
            }
            let after = start(&db, &folder.key()).await.unwrap();
            assert_eq!(after.ring().current.id, new.id);
            assert!(after.ring().retiring.is_empty());
            assert_eq!(
                file.read().unwrap().unwrap().len(),
                1,
                "the old key is gone from the file"
            );
            for (owner, sealed) in &sealed {
                assert_eq!(
                    after.open_sealed(owner, &[], sealed).await.unwrap(),
                    b"hello",
                    "step {step}"
                );
            }
            let left = db
                .fetch_all(Query::new("SELECT kek FROM kim_keks"))
                .await
                .unwrap();
            assert_eq!(left.len(), 1);
        }
    }
}

#[tokio::test]
async fn another_server_follows_a_rotation_by_the_file() {
    for db in databases().await {
        let folder = Folder::new();
        let one = start(&db, &folder.key()).await.unwrap();
        let two = start(&db, &folder.key()).await.unwrap();
        let sealed = one.seal("alice@localhost", &[], b"hello").await.unwrap();
        one.rotate().await.unwrap();
        assert_eq!(
            two.open_sealed("alice@localhost", &[], &sealed).await.unwrap(),
            b"hello"
        );
        let later = two.seal("late@localhost", &[], b"hello").await.unwrap();
        assert_eq!(
            one.open_sealed("late@localhost", &[], &later).await.unwrap(),
            b"hello"
        );

        // One that makes a key while it does not know yet: the old key is refused, the file asked again.
        two.set_ring(Ring {
            current: Kek::random(),
            retiring: Vec::new(),
        });
        let sealed = two.seal("new@localhost", &[], b"hello").await.unwrap();
        assert_eq!(
            one.open_sealed("new@localhost", &[], &sealed).await.unwrap(),
            b"hello"
        );
    }
}

#[tokio::test]
async fn a_destroyed_key_opens_nothing_and_a_new_account_gets_another() {
    for db in databases().await {
        let seals = Seals::with_key(db.db(), [1; 32]).await.unwrap();
        let sealed = seals.seal("alice@localhost", &[], b"hello").await.unwrap();
        let alice = BareJid::parse("alice@localhost").unwrap();
        db.write(move |tx| {
            let alice = alice.clone();
            Box::pin(async move { erase(tx, &alice).await })
        })
        .await
        .unwrap();
        seals.forget("alice@localhost");
        assert!(seals.known_key("alice@localhost").await.unwrap().is_none());
        let _ = seals.key("alice@localhost").await.unwrap();
        assert!(seals.open_sealed("alice@localhost", &[], &sealed).await.is_err());
    }
}

/// How many of these wrapped keys are in the database's files: its own, the log, and what else lies there.
fn found_in_files(db: &TestDb, wrapped: &[Vec<u8>]) -> usize {
    /// Of a key's bytes, random as they are, the first will do.
    const HEAD: usize = 16;
    let heads: HashSet<&[u8]> = wrapped.iter().map(|wrapped| &wrapped[..HEAD]).collect();
    assert_eq!(heads.len(), wrapped.len());
    let folder = Path::new(db.url().strip_prefix("sqlite://").unwrap())
        .parent()
        .unwrap();
    let mut found = HashSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for window in bytes.windows(HEAD) {
            found.extend(heads.get(window).copied());
        }
    }
    found.len()
}

async fn all_wrapped(db: &TestDb) -> Vec<Vec<u8>> {
    let rows = db
        .fetch_all(Query::new("SELECT wrapped FROM kim_data_keys"))
        .await
        .unwrap();
    rows.iter().map(|row| row.bytes(0).unwrap()).collect()
}

/// While the database is open, with its log: the old key file must open nothing that lies there.
#[tokio::test]
async fn no_key_as_it_was_wrapped_before_is_left_in_the_files() {
    let db = TestDb::sqlite_file().await;
    db.migrate(&[CORE_MIGRATIONS]).await.unwrap();
    let folder = Folder::new();
    let seals = start(&db, &folder.key()).await.unwrap();
    // Enough for pages to be split, in no order, and some that go, so that pages are joined.
    let owner = |n: u32| {
        format!(
            "{}@localhost",
            data_encoding::HEXLOWER.encode(&(n * 7_919).to_be_bytes())
        )
    };
    for n in 0..600 {
        seals.key(&owner(n)).await.unwrap();
    }
    for n in (0..600).filter(|n| n % 4 > 0) {
        let gone = BareJid::parse(&owner(n)).unwrap();
        db.write(move |tx| {
            let gone = gone.clone();
            Box::pin(async move { erase(tx, &gone).await })
        })
        .await
        .unwrap();
    }
    let old = all_wrapped(&db).await;
    assert_eq!(
        (old.len(), found_in_files(&db, &old)),
        (150, 150),
        "the search finds them"
    );
    let ring = seals.ring();

    seals.rotate().await.unwrap();
    assert_eq!(found_in_files(&db, &old), 0);
    let new = all_wrapped(&db).await;
    assert_eq!(
        (new.len(), found_in_files(&db, &new)),
        (150, 150),
        "the search still finds"
    );
    // And what is there does not open with the old key.
    let found = store::page(&db, "", 1_000).await.unwrap();
    assert!(found.iter().all(|wrapped| unwrap(&ring, wrapped).is_err()));
    assert!(found.iter().all(|wrapped| unwrap(&seals.ring(), wrapped).is_ok()));
}

#[tokio::test]
async fn a_rotation_writes_the_table_of_keys_anew_on_postgresql() {
    let Some(db) = TestDb::postgres().await else {
        return;
    };
    db.migrate(&[CORE_MIGRATIONS]).await.unwrap();
    let folder = Folder::new();
    let seals = start(&db, &folder.key()).await.unwrap();
    seals.key("alice@localhost").await.unwrap();
    let file = async || {
        let node = Query::new("SELECT CAST(pg_relation_filenode('kim_data_keys') AS BIGINT)");
        db.fetch_optional(node).await.unwrap().unwrap().i64(0).unwrap()
    };
    let before = file().await;
    seals.rotate().await.unwrap();
    // Dead rows were in the old file, which is gone.
    assert_ne!(file().await, before);
}
