//! Puts a house together: the database with its tables, the accounts, the modules. What `kim serve` opens its doors to,
//! and what the other commands use without doors.

use std::sync::Arc;

use kim_core::accounts::{Accounts, AccountsOptions};
use kim_core::clock::Clock;
use kim_core::cluster::Cluster;
use kim_core::config::Config;
use kim_core::db::{CORE_MIGRATIONS, Db, DbOptions, Migration, Traces};
use kim_core::module::{Entry, Startup};
use kim_core::router::{Parts, Router};
use kim_core::seal::{SealError, Seals};

use crate::failure::Failure;

/// A database that ends with the process.
pub(crate) const IN_MEMORY: &str = "sqlite::memory:";

/// A house without doors.
pub struct House {
    /// The router, with the modules that are switched on.
    pub router: Arc<Router>,
    /// Its database; close it at the end, or the last writes may be lost.
    pub db: Db,
}

/// All migrations: the core's, and those of all modules, also of those that are switched off.
pub fn migrations(modules: &[Entry]) -> Vec<&'static [Migration]> {
    std::iter::once(CORE_MIGRATIONS)
        .chain(modules.iter().map(|entry| entry.migrations))
        .collect()
}

impl House {
    /// Opens the configured database, brings it up to date and starts the modules.
    pub async fn open(
        config: Arc<Config>,
        modules: &[Entry],
        cluster: Box<dyn Cluster>,
    ) -> Result<House, Failure> {
        let url = config.storage_url();
        House::at(url.as_str(), config, modules, cluster).await
    }

    /// The same on another database.
    pub(crate) async fn at(
        url: &str,
        config: Arc<Config>,
        modules: &[Entry],
        cluster: Box<dyn Cluster>,
    ) -> Result<House, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::Database(error.to_string());
        let db = Db::open(url, &DbOptions::default())
            .await
            .map_err(|error| broken(&error))?;
        db.migrate(&migrations(modules))
            .await
            .map_err(|error| broken(&error))?;
        if !db.is_postgres() {
            // What a process that was killed had deleted may still lie in its log.
            if let Err(error) = db.scrub(Traces::Keys).await {
                tracing::warn!(event = "traces_not_removed", %error);
            }
        }
        let accounts = Accounts::open(db.clone(), AccountsOptions::default()).await;
        let accounts = accounts.map_err(|error| broken(&error))?;
        let seals = if url == IN_MEMORY {
            // It ends with the process, and so may its key.
            Seals::with_key(db.clone(), kim_core::random::bytes()).await
        } else {
            Seals::open(db.clone(), &config.sealing_key()).await
        };
        let seals = seals.map_err(|error| match error {
            SealError::Db(error) => broken(&error),
            other => Failure::SealingKey(other.to_string()),
        })?;
        let parts = Parts {
            config,
            db: db.clone(),
            accounts,
            seals,
            clock: Clock::system(),
            cluster,
        };
        let router = Router::new(parts, modules).map_err(|startup| match startup {
            Startup::Config(error) => Failure::Config(error.into()),
            other => Failure::Other(other.to_string()),
        })?;
        Ok(House { router, db })
    }
}
