//! `kim key …`: asks the running server, which holds keys in memory; opens the house itself when no server is running.

use std::sync::Arc;

use kim_core::cluster::Solo;
use kim_core::config::Config;

use super::terminal::Terminal;
use super::{App, KeyCommand, serve};
use crate::control::{Control, Direct, Remote};
use crate::failure::Failure;
use crate::house::House;

/// Runs one of them.
pub(super) async fn run(
    app: &App,
    config: Config,
    command: KeyCommand,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let file = config.sealing_key();
    let remote = Remote::find(&config.control_socket()).await;
    let KeyCommand::Rotate = command;
    let result = match remote.map_err(|error| Failure::Other(error.to_string()))? {
        Some(remote) => remote.key_rotate().await,
        None => {
            serve::prepare_data_dir(&config.server.data_dir)?;
            let house = House::open(Arc::new(config), app.modules, Box::new(Solo)).await?;
            let result = Direct::without_doors(house.router.clone()).key_rotate().await;
            house.db.close().await;
            result
        }
    };
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
