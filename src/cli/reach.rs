//! How a command gets at the data: it asks the running server, so that sessions end and caches stay correct; when no server
//! runs, it opens the house itself, without doors.

use std::sync::Arc;

use kim_core::cluster::Solo;
use kim_core::config::Config;
use kim_core::db::{Db, DbOptions};

use super::check::applied;
use super::terminal::Terminal;
use super::{App, serve};
use crate::control::{Control, Direct, ODD_ANSWER, Remote};
use crate::failure::Failure;
use crate::house::House;

/// The program, its configuration, and whether anybody said where the data is.
pub(super) struct Site<'a> {
    pub app: &'a App,
    pub config: Arc<Config>,
    /// By a flag, a configuration file or a variable. Otherwise the data directory is one of the directory in which the
    /// command happened to be typed.
    pub is_named: bool,
}

/// Whether a command may begin a database where there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// It may, where somebody said where: it makes an account or an invitation, which a server finds that starts later.
    IfNamed,
    /// It may not: it could only tell of nothing, and leave an empty database behind.
    Never,
}

/// What carries out a command.
pub(super) enum Reached {
    Server(Remote),
    House { control: Direct, db: Db },
}

impl Reached {
    pub fn control(&self) -> &dyn Control {
        match self {
            Reached::Server(remote) => remote,
            Reached::House { control, .. } => control,
        }
    }

    /// To be called at the end, or the last writes may be lost.
    pub async fn close(self) {
        if let Reached::House { db, .. } = self {
            db.close().await;
        }
    }
}

impl Site<'_> {
    /// The running server, or the house. Makes nothing unless the command may begin a database.
    pub async fn reach(&self, begins: Begins, terminal: &mut Terminal<'_>) -> Result<Reached, Failure> {
        let remote = Remote::find(&self.config.control_socket()).await;
        if let Some(remote) = remote.map_err(|error| Failure::Other(error.to_string()))? {
            return Ok(Reached::Server(remote));
        }
        let is_new = !self.has_data().await?;
        if is_new && !(begins == Begins::IfNamed && self.is_named) {
            return Err(self.no_data());
        }
        serve::prepare_data_dir(&self.config.server.data_dir)?;
        let house = House::open(self.config.clone(), self.app.modules, Box::new(Solo)).await?;
        if is_new {
            terminal.complain(format_args!("kim: a new database begins at {}\n", self.place()));
        }
        Ok(Reached::House {
            control: Direct::without_doors(house.router),
            db: house.db,
        })
    }

    /// Whether the command would begin a database.
    pub async fn would_begin(&self, begins: Begins) -> Result<bool, Failure> {
        let may = begins == Begins::IfNamed && self.is_named;
        let remote = Remote::find(&self.config.control_socket()).await;
        let runs = remote
            .map_err(|error| Failure::Other(error.to_string()))?
            .is_some();
        Ok(may && !runs && !self.has_data().await?)
    }

    /// Whether a server or a command has stored anything yet.
    pub async fn has_data(&self) -> Result<bool, Failure> {
        let data_dir = &self.config.server.data_dir;
        if data_dir.exists() && !data_dir.is_dir() {
            // It says why it cannot be used.
            serve::prepare_data_dir(data_dir)?;
        }
        let url = self.config.storage_url();
        if let Some(path) = url.sqlite_path() {
            return Ok(path.exists());
        }
        let broken = |error: kim_core::db::DbError| Failure::Database(error.to_string());
        let db = Db::open(url.as_str(), &DbOptions::default())
            .await
            .map_err(broken)?;
        let known = applied(&db).await;
        db.close().await;
        Ok(!known.map_err(broken)?.is_empty())
    }

    fn no_data(&self) -> Failure {
        Failure::Database(format!(
            "there is no database at {}; name another place with --data-dir or --config, or begin one here with: kim serve",
            self.place()
        ))
    }

    /// The database as an operator may see it: without its password.
    fn place(&self) -> String {
        let url = self.config.storage_url();
        match url.sqlite_path() {
            Some(path) => std::path::absolute(&path).unwrap_or(path).display().to_string(),
            None => url.to_string(),
        }
    }
}

/// The server has answered something else than it was asked for.
pub(super) fn odd_answer() -> Failure {
    Failure::Other(ODD_ANSWER.to_owned())
}
