//! Retention (§3.2): messages older than the operator keeps them are deleted, the oldest first, so that an archive never has
//! holes.

use kim_core::clock::Clock;
use kim_core::error::Fault;

use super::archive::Archives;

/// Messages deleted in one transaction; others write between two of them.
const ROWS_MAX: usize = 500;
const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// Deletes what is older than so many days (0: nothing), and from archives with a retention of their own what is older than
/// that. Returns the number of messages.
pub async fn purge(archives: &Archives, clock: &Clock, retention_days: u32) -> Result<u64, Fault> {
    let own = archives.own_retention.get();
    if retention_days == 0 && own.is_none() {
        return Ok(0);
    }
    let now = clock.now().0;
    let (mut owner, mut purged) = (String::new(), 0);
    while let Some(next) = archives.store.next_owner(&owner).await? {
        owner = next;
        let days = match own {
            Some(own) => own.days(&owner).await?.unwrap_or(retention_days),
            None => retention_days,
        };
        if days == 0 {
            continue;
        }
        let before = now.saturating_sub(i64::from(days).saturating_mul(DAY_MICROS));
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

/// Does so once; a failure is logged.
pub async fn tidy(archives: &Archives, clock: &Clock, retention_days: u32) -> u64 {
    match purge(archives, clock, retention_days).await {
        Ok(messages) => messages,
        Err(fault) => {
            tracing::error!(event = "archives_not_purged", ?fault);
            0
        }
    }
}
