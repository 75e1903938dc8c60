//! `kim storage …`: asks the running server, which holds back its commits meanwhile; opens the house itself when no server is
//! running.

use super::StorageCommand;
use super::reach::{Begins, Site};
use super::terminal::Terminal;
use crate::failure::Failure;

/// Runs one of them.
pub(super) async fn run(
    site: Site<'_>,
    command: StorageCommand,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let StorageCommand::Compact = command;
    let reached = site.reach(Begins::Never, terminal).await?;
    let result = reached.control().storage_compact().await;
    reached.close().await;
    let compacted = result.map_err(|error| Failure::Other(error.to_string()))?;
    terminal.say(match compacted.freed_bytes {
        Some(0) => "The database file had no space to give back.\n".to_owned(),
        Some(bytes) => format!("The database file is {bytes} bytes smaller.\n"),
        None => "The tables are vacuumed; PostgreSQL reuses the free space.\n".to_owned(),
    });
    Ok(())
}
