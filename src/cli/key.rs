//! `kim key …`: asks the running server, which holds keys in memory; opens the house itself when no server is running.

use super::KeyCommand;
use super::reach::{Begins, Site};
use super::terminal::Terminal;
use crate::failure::Failure;

/// Runs one of them.
pub(super) async fn run(
    site: Site<'_>,
    command: KeyCommand,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let file = site.config.sealing_key();
    let KeyCommand::Rotate = command;
    let reached = site.reach(Begins::Never, terminal).await?;
    let result = reached.control().key_rotate().await;
    reached.close().await;
    let rotated = result.map_err(|error| Failure::Other(error.to_string()))?;
    terminal.say(format_args!(
        "The sealing key is now {}, in {}.\n{} data keys are wrapped with it; the old key opens nothing any more.\n\
         Keep a copy of the new file, apart from the copies of the database.\n",
        rotated.key,
        file.display(),
        rotated.rewrapped
    ));
    Ok(())
}
