//! An account goes, and with it everything of it: its own nodes, its subscriptions and affiliations at others', and the
//! nodes at the service that nobody else owns.

use kim_core::db::{BoxFuture, DbError, Query, Tx};
use kim_core::jid::BareJid;

const OWN: [&str; 4] = [
    "DELETE FROM pubsub_item WHERE owner = $1",
    "DELETE FROM pubsub_subscription WHERE owner = $1",
    "DELETE FROM pubsub_affiliation WHERE owner = $1",
    "DELETE FROM pubsub_node WHERE owner = $1",
];
const OWNED: &str = "SELECT owner, node FROM pubsub_affiliation WHERE jid = $1 AND affiliation = 'owner'";
const OTHERS: &str =
    "SELECT 1 FROM pubsub_affiliation WHERE owner = $1 AND node = $2 AND affiliation = 'owner' LIMIT 1";
const NODE: [&str; 4] = [
    "DELETE FROM pubsub_item WHERE owner = $1 AND node = $2",
    "DELETE FROM pubsub_subscription WHERE owner = $1 AND node = $2",
    "DELETE FROM pubsub_affiliation WHERE owner = $1 AND node = $2",
    "DELETE FROM pubsub_node WHERE owner = $1 AND node = $2",
];
const ELSEWHERE: [&str; 2] = [
    "DELETE FROM pubsub_subscription WHERE who = $1",
    "DELETE FROM pubsub_affiliation WHERE jid = $1",
];

/// Erases an account.
pub fn erase<'a>(tx: &'a mut Tx, account: &'a BareJid) -> BoxFuture<'a, Result<(), DbError>> {
    Box::pin(async move {
        for sql in OWN {
            tx.execute(Query::new(sql).bind(account)).await?;
        }
        let owned = tx.fetch_all(Query::new(OWNED).bind(account)).await?;
        for sql in ELSEWHERE {
            tx.execute(Query::new(sql).bind(account)).await?;
        }
        for row in owned {
            let (owner, node) = (row.text(0)?, row.text(1)?);
            if tx
                .fetch_optional(Query::new(OTHERS).bind(&owner).bind(&node))
                .await?
                .is_some()
            {
                continue;
            }
            for sql in NODE {
                tx.execute(Query::new(sql).bind(&owner).bind(&node)).await?;
            }
        }
        Ok(())
    })
}
