//! Plays every module's dialogues in memory, each in a fresh house with all modules. The same files are played over TLS
//! by `tests/dialogues.rs` of the server.

mod components;
mod elsewhere;
mod second_opinion;
mod switched_off;

use std::path::Path;

use kim_core::testing::{House, dialogue};

#[tokio::test]
async fn every_dialogue_goes_as_written() {
    let mut played = 0;
    let mut failures = Vec::new();
    for room in std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap().flatten() {
        let folder = room.path().join("dialogues");
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = file.path();
            played += 1;
            if let Err(why) = play(&path).await {
                failures.push(format!("{}: {why}", path.display()));
            }
        }
    }
    assert!(played > 0);
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

async fn play(path: &Path) -> Result<(), String> {
    let script = dialogue::parse(&std::fs::read_to_string(path).unwrap())?;
    let mut house = House::new(crate::MODULES).await;
    dialogue::play(&script, &mut house).await
}
