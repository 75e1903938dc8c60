//! `kim storage …`: asks the running server, which holds back its commits meanwhile; opens the house itself when no server is
//! running.

use std::sync::Arc;

use kim_core::cluster::Solo;
use kim_core::config::Config;

use super::terminal::Terminal;
use super::{App, StorageCommand, serve};
use crate::control::{Control, Direct, Remote};
use crate::failure::Failure;
use crate::house::House;

/// Runs one of them.
pub(super) async fn run(
    app: &App,
    config: Config,
    command: StorageCommand,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let remote = Remote::find(&config.control_socket()).await;
    let StorageCommand::Compact = command;
    let result = match remote.map_err(|error| Failure::Other(error.to_string()))? {
        Some(remote) => remote.storage_compact().await,
        None => {
            serve::prepare_data_dir(&config.server.data_dir)?;
            let house = House::open(Arc::new(config), app.modules, Box::new(Solo)).await?;
            let result = Direct::without_doors(house.router.clone())
                .storage_compact()
                .await;
            house.db.close().await;
            result
        }
    };
    let compacted = result.map_err(|error| Failure::Other(error.to_string()))?;
    terminal.say(match compacted.freed_bytes {
        Some(bytes) => format!("The database file is {bytes} bytes smaller.\n"),
        None => "The tables are vacuumed; PostgreSQL reuses the free space.\n".to_owned(),
    });
    Ok(())
}
