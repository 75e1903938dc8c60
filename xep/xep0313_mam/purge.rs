//! Retention (§3.2): what is older than the operator keeps messages is deleted, the oldest first, so that an archive never
//! has holes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use kim_core::clock::Clock;
use kim_core::error::Fault;

use super::archive::Archives;

/// Messages deleted in one transaction; others write between two of them.
const ROWS_MAX: usize = 500;
/// How long after the start it is looked for the first time, and how long until the next time, in seconds.
const FIRST_SECONDS: u64 = 60;
const EVERY_SECONDS: u64 = 3_600;
const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// Deletes what is older than so many days, now; tells how many messages.
pub async fn purge(archives: &Archives, clock: &Clock, retention_days: u32) -> Result<u64, Fault> {
    let before = clock
        .now()
        .0
        .saturating_sub(i64::from(retention_days).saturating_mul(DAY_MICROS));
    let (mut owner, mut purged) = (String::new(), 0);
    while let Some(next) = archives.store.next_owner(&owner).await? {
        owner = next;
        loop {
            let dropped = archives.store.drop_oldest(&owner, before, ROWS_MAX).await?;
            purged += dropped;
            if dropped == 0 {
                break;
            }
        }
    }
    Ok(purged)
}

/// Does so now and then for as long as the house stands.
pub fn go_on(archives: &Arc<Archives>, clock: Clock, retention_days: u32) {
    let archives: Weak<Archives> = Arc::downgrade(archives);
    tokio::spawn(async move {
        let mut pause = FIRST_SECONDS;
        loop {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            pause = EVERY_SECONDS;
            let Some(archives) = archives.upgrade() else {
                return;
            };
            match purge(&archives, &clock, retention_days).await {
                Ok(0) => {}
                Ok(messages) => tracing::info!(event = "archives_purged", messages),
                Err(fault) => tracing::error!(event = "archives_not_purged", ?fault),
            }
        }
    });
}
