//! Nodes as they are loaded, and the changes of all that is about them but not in them.

use std::sync::Arc;

use kim_core::db::{DbError, Query};
use kim_core::jid::BareJid;

use super::NodeStore;

const NODES: &str = "SELECT node, config FROM pubsub_node WHERE owner = $1 ORDER BY node";
const AMOUNTS: &str = "SELECT node, CAST(COUNT(*) AS BIGINT), CAST(SUM(bytes) AS BIGINT) FROM pubsub_item \
     WHERE owner = $1 GROUP BY node";
const SUBSCRIPTIONS: &str =
    "SELECT node, jid, subid, state FROM pubsub_subscription WHERE owner = $1 ORDER BY node, jid";
const AFFILIATIONS: &str = "SELECT node, jid, affiliation FROM pubsub_affiliation WHERE owner = $1";
const OWNERS_OF: &str = "SELECT owner FROM pubsub_subscription WHERE who = $1 \
     UNION SELECT owner FROM pubsub_affiliation WHERE jid = $1";
const IS_THERE: &str = "SELECT 1 FROM pubsub_node WHERE owner = $1 AND node = $2";
const DELETE: [&str; 4] = [
    "DELETE FROM pubsub_item WHERE owner = $1 AND node = $2",
    "DELETE FROM pubsub_subscription WHERE owner = $1 AND node = $2",
    "DELETE FROM pubsub_affiliation WHERE owner = $1 AND node = $2",
    "DELETE FROM pubsub_node WHERE owner = $1 AND node = $2",
];
const SUBSCRIBE: &str = "INSERT INTO pubsub_subscription (owner, node, jid, who, subid, state) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (owner, node, jid) DO UPDATE SET state = excluded.state";
const UNSUBSCRIBE: &str = "DELETE FROM pubsub_subscription WHERE owner = $1 AND node = $2 AND jid = $3";
const AFFILIATE: &str = "INSERT INTO pubsub_affiliation (owner, node, jid, affiliation) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (owner, node, jid) DO UPDATE SET affiliation = excluded.affiliation";
const DISAFFILIATE: &str = "DELETE FROM pubsub_affiliation WHERE owner = $1 AND node = $2 AND jid = $3";

/// A node as it is stored.
pub struct NodeRow {
    /// Its name.
    pub node: String,
    /// Its configuration, sealed.
    pub config: Vec<u8>,
}

/// A subscription as it is stored.
#[derive(Clone)]
pub struct SubscriptionRow {
    /// The node.
    pub node: String,
    /// Who gets the notifications.
    pub jid: String,
    /// The id that tells subscriptions apart.
    pub subid: String,
    /// The word for its state.
    pub state: String,
}

/// An affiliation as it is stored.
#[derive(Clone)]
pub struct AffiliationRow {
    /// The node.
    pub node: String,
    /// Whose affiliation.
    pub jid: String,
    /// The word for it; `none` removes it.
    pub affiliation: String,
}

/// All about an owner's nodes but the items.
pub struct Loaded {
    /// The nodes.
    pub nodes: Vec<NodeRow>,
    /// How many items there are at nodes, and how many bytes they take.
    pub amounts: Vec<(String, i64, i64)>,
    /// The subscriptions.
    pub subscriptions: Vec<SubscriptionRow>,
    /// The affiliations.
    pub affiliations: Vec<AffiliationRow>,
}

impl NodeStore {
    /// Reads all about an owner's nodes.
    pub async fn load(&self, owner: &BareJid) -> Result<Loaded, DbError> {
        let mut loaded = Loaded {
            nodes: Vec::new(),
            amounts: Vec::new(),
            subscriptions: Vec::new(),
            affiliations: Vec::new(),
        };
        for row in self.db.fetch_all(Query::new(NODES).bind(owner)).await? {
            let (node, config) = (row.text(0)?, row.bytes(1)?);
            loaded.nodes.push(NodeRow { node, config });
        }
        if loaded.nodes.is_empty() {
            // Everything else hangs on a node.
            return Ok(loaded);
        }
        for row in self.db.fetch_all(Query::new(AMOUNTS).bind(owner)).await? {
            loaded.amounts.push((row.text(0)?, row.i64(1)?, row.i64(2)?));
        }
        for row in self.db.fetch_all(Query::new(SUBSCRIPTIONS).bind(owner)).await? {
            loaded.subscriptions.push(SubscriptionRow {
                node: row.text(0)?,
                jid: row.text(1)?,
                subid: row.text(2)?,
                state: row.text(3)?,
            });
        }
        for row in self.db.fetch_all(Query::new(AFFILIATIONS).bind(owner)).await? {
            let (node, jid, affiliation) = (row.text(0)?, row.text(1)?, row.text(2)?);
            loaded.affiliations.push(AffiliationRow {
                node,
                jid,
                affiliation,
            });
        }
        Ok(loaded)
    }

    /// The owners at whose nodes somebody is subscribed or affiliated.
    pub async fn owners_of(&self, who: &BareJid) -> Result<Vec<String>, DbError> {
        let rows = self.db.fetch_all(Query::new(OWNERS_OF).bind(who)).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Deletes a node with all that hangs on it.
    pub async fn delete(&self, owner: &BareJid, node: &str) -> Result<(), DbError> {
        let queries = DELETE.map(|sql| Query::new(sql).bind(owner).bind(node));
        self.db
            .write(move |tx| {
                let queries = queries.clone();
                Box::pin(async move {
                    for query in queries {
                        tx.execute(query).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Adds subscriptions or changes their state, all at once; the state `none` removes one. False if the node is not there.
    pub async fn subscribe(
        &self,
        owner: &BareJid,
        node: &str,
        rows: Vec<SubscriptionRow>,
    ) -> Result<bool, DbError> {
        self.change(owner, node, rows, |owner, node, row| {
            if row.state == "none" {
                return Query::new(UNSUBSCRIBE).bind(owner).bind(node).bind(&row.jid);
            }
            let who = row.jid.split('/').next().unwrap_or_default();
            let query = Query::new(SUBSCRIBE).bind(owner).bind(node).bind(&row.jid);
            query.bind(who).bind(&row.subid).bind(&row.state)
        })
        .await
    }

    /// Sets affiliations, all at once. False if the node is not there.
    pub async fn affiliate(
        &self,
        owner: &BareJid,
        node: &str,
        rows: Vec<AffiliationRow>,
    ) -> Result<bool, DbError> {
        self.change(owner, node, rows, |owner, node, row| {
            if row.affiliation == "none" {
                return Query::new(DISAFFILIATE).bind(owner).bind(node).bind(&row.jid);
            }
            let query = Query::new(AFFILIATE).bind(owner).bind(node).bind(&row.jid);
            query.bind(&row.affiliation)
        })
        .await
    }

    /// Executes a statement for each row, all at once. False if the node is not there.
    async fn change<R: Send + Sync + 'static>(
        &self,
        owner: &BareJid,
        node: &str,
        rows: Vec<R>,
        query: fn(&BareJid, &str, &R) -> Query,
    ) -> Result<bool, DbError> {
        let job = Arc::new((owner.clone(), node.to_owned(), rows));
        self.db
            .write(move |tx| {
                let job = job.clone();
                Box::pin(async move {
                    let (owner, node, rows) = &*job;
                    let is_there = Query::new(IS_THERE).bind(owner).bind(node);
                    if tx.fetch_optional(is_there).await?.is_none() {
                        return Ok(false);
                    }
                    for row in rows {
                        tx.execute(query(owner, node, row)).await?;
                    }
                    Ok(true)
                })
            })
            .await
    }
}
