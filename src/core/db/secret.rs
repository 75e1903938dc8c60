//! Random secrets that all nodes of a server share and that outlive a restart.
//!
//! They lie in the database in the clear: they make things unguessable for strangers (invented salts, occupant ids),
//! they do not protect against somebody who reads the database. Keys that do stand outside it.

use super::{Db, DbError, Query};
use crate::random;
use zeroize::Zeroizing;

/// The length of a secret.
pub const SECRET_BYTES: usize = 32;

const FIND: &str = "SELECT secret FROM kim_secrets WHERE name = $1";
const MAKE: &str = "INSERT INTO kim_secrets (name, secret) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

impl Db {
    /// The secret of this name, [`SECRET_BYTES`] random bytes that are made when it is asked for the first time.
    pub async fn secret(&self, name: &'static str) -> Result<Zeroizing<Vec<u8>>, DbError> {
        if let Some(secret) = self.find_secret(name).await? {
            return Ok(secret);
        }
        let fresh = Zeroizing::new(random::bytes::<SECRET_BYTES>());
        self.write(move |tx| {
            let query = Query::new(MAKE).bind(name).bind(fresh.as_slice());
            Box::pin(async move { tx.execute(query).await })
        })
        .await?;
        // Another node may have been first: theirs counts.
        self.find_secret(name)
            .await?
            .ok_or_else(|| DbError::column(format!("the secret {name} is not there")))
    }

    async fn find_secret(&self, name: &'static str) -> Result<Option<Zeroizing<Vec<u8>>>, DbError> {
        let row = self.fetch_optional(Query::new(FIND).bind(name)).await?;
        row.map(|row| row.bytes(0).map(Zeroizing::new)).transpose()
    }
}
