//! The tables of nodes, items, subscriptions and affiliations. What is sealed here and opened there is the business of
//! the callers; these statements see tags, places and sealed bytes.

mod erase;
mod items;
mod nodes;

use kim_core::db::Db;

pub use erase::erase;
pub use items::{FoundItem, ItemRow, NodeChange, Page, Written};
pub use nodes::{AffiliationRow, Loaded, SubscriptionRow};

/// Every statement of this module.
#[derive(Clone)]
pub struct NodeStore {
    db: Db,
}

impl NodeStore {
    /// The tables in a database.
    pub fn new(db: Db) -> NodeStore {
        NodeStore { db }
    }
}
