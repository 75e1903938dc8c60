//! Items: publishing, reading, removing. The newest of a node are found by an index, never by a scan.

use std::sync::Arc;

use kim_core::db::{DbError, Query, Row, Tx};
use kim_core::jid::BareJid;

use super::NodeStore;

const MAKE_NODE: &str =
    "INSERT INTO pubsub_node (owner, node, config) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const AFFILIATE: &str = "INSERT INTO pubsub_affiliation (owner, node, jid, affiliation) VALUES ($1, $2, $3, $4) \
     ON CONFLICT DO NOTHING";
const SET_CONFIG: &str = "UPDATE pubsub_node SET config = $3 WHERE owner = $1 AND node = $2";
const IS_THERE: &str = "SELECT 1 FROM pubsub_node WHERE owner = $1 AND node = $2";
const BYTES: &str = "SELECT bytes FROM pubsub_item WHERE owner = $1 AND node = $2 AND item = $3";
const PUT: &str = "INSERT INTO pubsub_item (owner, node, item, place, bytes, sealed) VALUES ($1, $2, $3, $4, $5, $6) \
     ON CONFLICT (owner, node, item) \
     DO UPDATE SET place = excluded.place, bytes = excluded.bytes, sealed = excluded.sealed";
const SURPLUS: &str = "SELECT item, bytes FROM pubsub_item WHERE owner = $1 AND node = $2 \
     ORDER BY place DESC LIMIT 1000 OFFSET $3";
const EXPIRED: &str = "SELECT item, bytes FROM pubsub_item WHERE owner = $1 AND node = $2 AND place < $3 \
     ORDER BY place LIMIT 1000";
const REMOVE: &str = "DELETE FROM pubsub_item WHERE owner = $1 AND node = $2 AND item = $3";
const PURGE: &str = "DELETE FROM pubsub_item WHERE owner = $1 AND node = $2";
const FIND: &str = "SELECT item, place, sealed FROM pubsub_item WHERE owner = $1 AND node = $2 AND item = $3 AND place >= $4";
const NEWEST: &str = "SELECT item, place, sealed FROM pubsub_item WHERE owner = $1 AND node = $2 \
     AND place >= $3 AND place < $4 ORDER BY place DESC LIMIT $5";
const OLDEST: &str = "SELECT item, place, sealed FROM pubsub_item WHERE owner = $1 AND node = $2 \
     AND place > $3 AND place >= $4 ORDER BY place LIMIT $5";
const COUNT: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) FROM pubsub_item WHERE owner = $1 AND node = $2 AND place >= $3";

/// An item as it is stored.
pub struct ItemRow {
    /// The tag of its id.
    pub item: i64,
    /// When it was published.
    pub place: i64,
    /// Sealed.
    pub sealed: Vec<u8>,
}

/// What a publication writes.
pub struct NodeChange {
    /// Whose node.
    pub owner: BareJid,
    /// Its name.
    pub node: String,
    /// The sealed configuration of a node that is made by this, and its first owner at the service.
    pub make: Option<(Vec<u8>, Option<String>)>,
    /// A sealed configuration that replaces the one there is.
    pub configure: Option<Vec<u8>>,
    /// The items.
    pub items: Vec<ItemRow>,
    /// So many items stay, the newest.
    pub keep: i64,
    /// Whether there may be more than that.
    pub looks_for_surplus: bool,
    /// Older items go.
    pub not_before: i64,
    /// The owner's items may grow by so many bytes.
    pub growth_bytes_max: i64,
}

/// What it did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// By how many bytes the owner's items grew.
    pub bytes: i64,
    /// By how many the node's items became more.
    pub items: i64,
}

/// An item that was read.
pub struct FoundItem {
    /// The tag of its id.
    pub item: i64,
    /// When it was published.
    pub place: i64,
    /// Sealed.
    pub sealed: Vec<u8>,
}

/// Which items of a node.
#[derive(Clone, Copy, Debug)]
pub enum Page {
    /// The newest, before this place.
    Newest(i64),
    /// The oldest, behind this place.
    Oldest(i64),
}

impl NodeChange {
    async fn write(&self, tx: &mut Tx) -> Result<Option<Written>, DbError> {
        let (owner, node) = (&self.owner, &self.node);
        let is_there = Query::new(IS_THERE).bind(owner).bind(node);
        if tx.fetch_optional(is_there).await?.is_some() == self.make.is_some() {
            // Made or deleted meanwhile: the caller looks again.
            return Ok(None);
        }
        let mut written = Written::default();
        for row in &self.items {
            let bytes = i64::try_from(row.sealed.len()).unwrap_or(i64::MAX);
            let replaced = tx
                .fetch_optional(Query::new(BYTES).bind(owner).bind(node).bind(row.item))
                .await?;
            written.bytes += bytes;
            match replaced {
                Some(replaced) => written.bytes -= replaced.i64(0)?,
                None => written.items += 1,
            }
        }
        if written.bytes > 0 && written.bytes > self.growth_bytes_max {
            return Err(DbError::Refused("too many bytes of items"));
        }
        if let Some((config, first_owner)) = &self.make {
            tx.execute(Query::new(MAKE_NODE).bind(owner).bind(node).bind(config))
                .await?;
            if let Some(jid) = first_owner {
                let query = Query::new(AFFILIATE)
                    .bind(owner)
                    .bind(node)
                    .bind(jid)
                    .bind("owner");
                tx.execute(query).await?;
            }
        }
        if let Some(config) = &self.configure {
            tx.execute(Query::new(SET_CONFIG).bind(owner).bind(node).bind(config))
                .await?;
        }
        for row in &self.items {
            let query = Query::new(PUT)
                .bind(owner)
                .bind(node)
                .bind(row.item)
                .bind(row.place);
            let bytes = i64::try_from(row.sealed.len()).unwrap_or(i64::MAX);
            tx.execute(query.bind(bytes).bind(&row.sealed)).await?;
        }
        if self.make.is_none() {
            let surplus = Query::new(SURPLUS).bind(owner).bind(node).bind(self.keep);
            let expired = Query::new(EXPIRED).bind(owner).bind(node).bind(self.not_before);
            let surplus = self.looks_for_surplus.then_some(surplus);
            let expired = (self.not_before > i64::MIN).then_some(expired);
            for query in surplus.into_iter().chain(expired) {
                for row in tx.fetch_all(query).await? {
                    let (item, bytes) = (row.i64(0)?, row.i64(1)?);
                    tx.execute(Query::new(REMOVE).bind(owner).bind(node).bind(item))
                        .await?;
                    written.bytes -= bytes;
                    written.items -= 1;
                }
            }
        }
        Ok(Some(written))
    }
}

impl NodeStore {
    /// Stores a publication; `None`: the node was made or deleted meanwhile, and nothing was stored. An owner who would
    /// have too many bytes is [`DbError::Refused`].
    pub async fn publish(&self, change: NodeChange) -> Result<Option<Written>, DbError> {
        let change = Arc::new(change);
        self.db
            .write(move |tx| {
                let change = change.clone();
                Box::pin(async move { change.write(tx).await })
            })
            .await
    }

    /// Removes items; tells which of them were there, and by how much the owner's items shrank.
    pub async fn remove(
        &self,
        owner: &BareJid,
        node: &str,
        items: Vec<i64>,
    ) -> Result<(Vec<bool>, Written), DbError> {
        let job = Arc::new((owner.clone(), node.to_owned(), items));
        self.db
            .write(move |tx| {
                let job = job.clone();
                Box::pin(async move {
                    let (owner, node, items) = &*job;
                    let (mut found, mut written) = (Vec::new(), Written::default());
                    for item in items {
                        let bytes = Query::new(BYTES).bind(owner).bind(node).bind(*item);
                        let row = tx.fetch_optional(bytes).await?;
                        if let Some(row) = &row {
                            written.bytes -= row.i64(0)?;
                            written.items -= 1;
                            tx.execute(Query::new(REMOVE).bind(owner).bind(node).bind(*item))
                                .await?;
                        }
                        found.push(row.is_some());
                    }
                    Ok((found, written))
                })
            })
            .await
    }

    /// Removes all items of a node.
    pub async fn purge(&self, owner: &BareJid, node: &str) -> Result<(), DbError> {
        let query = Query::new(PURGE).bind(owner).bind(node);
        self.db.execute(query).await.map(drop)
    }

    /// One item that is not older than `not_before`.
    pub async fn find(
        &self,
        owner: &BareJid,
        node: &str,
        item: i64,
        not_before: i64,
    ) -> Result<Option<FoundItem>, DbError> {
        let query = Query::new(FIND)
            .bind(owner)
            .bind(node)
            .bind(item)
            .bind(not_before);
        self.db
            .fetch_optional(query)
            .await?
            .as_ref()
            .map(found)
            .transpose()
    }

    /// Items of a node in the order in which they were asked for, none older than `not_before`.
    pub async fn page(
        &self,
        owner: &BareJid,
        node: &str,
        page: Page,
        not_before: i64,
        rows_max: usize,
    ) -> Result<Vec<FoundItem>, DbError> {
        let max = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let query = match page {
            Page::Newest(before) => Query::new(NEWEST)
                .bind(owner)
                .bind(node)
                .bind(not_before)
                .bind(before),
            Page::Oldest(after) => Query::new(OLDEST)
                .bind(owner)
                .bind(node)
                .bind(after)
                .bind(not_before),
        };
        self.db
            .fetch_all(query.bind(max))
            .await?
            .iter()
            .map(found)
            .collect()
    }

    /// How many items a node has that are not older than `not_before`.
    pub async fn count(&self, owner: &BareJid, node: &str, not_before: i64) -> Result<usize, DbError> {
        let query = Query::new(COUNT).bind(owner).bind(node).bind(not_before);
        let row = self.db.fetch_optional(query).await?;
        let count = row.map_or(Ok(0), |row| row.i64(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }
}

fn found(row: &Row) -> Result<FoundItem, DbError> {
    Ok(FoundItem {
        item: row.i64(0)?,
        place: row.i64(1)?,
        sealed: row.bytes(2)?,
    })
}
