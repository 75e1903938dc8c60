//! Rooms in memory: the dialogues of this folder, the tables of section 5, and what dialogues cannot show.

use std::path::Path;

use kim_core::testing::{House, dialogue};

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
