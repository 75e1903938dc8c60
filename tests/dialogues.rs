//! Plays every module's dialogues end to end: the built server as a process, TLS with its certificate verified, SQLite and,
//! where `KIM_TEST_POSTGRES` names a server, PostgreSQL. Each dialogue has a server and a database of its own, so
//! none sees what another left behind.

mod whole;

use std::path::{Path, PathBuf};

use futures_util::{FutureExt, StreamExt, stream};
use kim_core::testing::dialogue;

use whole::process::{Database, Kim};
use whole::theatre::Stage;

/// Servers at the same time. More than cores: each of them mostly waits for its disk.
const AT_ONCE: usize = 4;

fn dialogues() -> Vec<PathBuf> {
    let rooms = Path::new(env!("CARGO_MANIFEST_DIR")).join("xep");
    let mut found = Vec::new();
    for room in std::fs::read_dir(rooms).expect("rooms").flatten() {
        let files = std::fs::read_dir(room.path().join("dialogues"))
            .into_iter()
            .flatten()
            .flatten();
        found.extend(
            files
                .map(|file| file.path())
                .filter(|path| path.extension().is_some_and(|end| end == "dialogue")),
        );
    }
    found.sort();
    found
}

async fn play(path: &Path, database: Database) -> Result<(), String> {
    let script = dialogue::parse(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)?;
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let playing = async {
        let mut kim = Kim::start_on(database, &format!("dialogue-{name}"), "").await;
        dialogue::play(&script, &mut Stage::new(&kim))
            .await
            .and(kim.try_stop())
    };
    // One that does not even come so far is to be told of like any other.
    let played = std::panic::AssertUnwindSafe(playing).catch_unwind().await;
    played.unwrap_or_else(|_| Err("panicked; what it said stands above".to_owned()))
}

async fn play_all(database: Database) {
    let files = dialogues();
    assert!(!files.is_empty(), "no dialogues");
    let played = stream::iter(&files).map(|path| async move {
        let outcome = play(path, database).await;
        outcome.err().map(|why| format!("{}: {why}", path.display()))
    });
    let failures: Vec<String> = played
        .buffer_unordered(AT_ONCE)
        .filter_map(|failure| async { failure })
        .collect()
        .await;
    let (failed, all) = (failures.len(), files.len());
    assert!(
        failures.is_empty(),
        "{failed} of {all} dialogues failed on {database:?}:\n{}",
        failures.join("\n\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dialogue_goes_as_written_on_sqlite() {
    play_all(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dialogue_goes_as_written_on_postgresql() {
    if Database::all().contains(&Database::Postgres) {
        play_all(Database::Postgres).await;
    }
}
