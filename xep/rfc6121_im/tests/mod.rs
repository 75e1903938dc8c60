//! Stories of this module, told in memory; each names its section. Those about what is stored are told on every kind of
//! database at hand.

use kim_core::module::Entry;
use kim_core::testing::{Client, House, TestDb, databases};

use super::Im;
use crate::xep0359_ids::StanzaIds;

mod cache;
mod delivery;
mod existence;
mod hostile;
mod nobody;
mod offline;
mod presence;
mod removal;
mod requests;
mod roster;
mod speed;
mod subscription;

const MODULES: &[Entry] = &[Entry::of::<StanzaIds>(), Entry::of::<Im>()];

/// A house with this module and the one it needs.
async fn configured(toml: &str) -> House {
    House::configured(MODULES, toml).await
}

/// Such a house on each kind of database at hand.
async fn houses(toml: &str) -> Vec<(TestDb, House)> {
    let mut houses = Vec::new();
    for db in databases().await {
        let house = House::on(db.db(), MODULES, toml).await;
        houses.push((db, house));
    }
    houses
}

/// Binds a session with a presence of that priority; what came back is read away.
async fn with_priority(house: &House, jid: &str, priority: i8) -> Client {
    let mut client = house.connect(jid).await;
    client
        .send(&format!("<presence><priority>{priority}</priority></presence>"))
        .await;
    client.skip();
    client
}

/// Two people who see each other's presence; what came of that is read away.
async fn friends(one: &mut Client, other: &mut Client) {
    let (a, b) = (one.session.account.clone(), other.session.account.clone());
    one.send(&format!("<presence to='{b}' type='subscribed'/>")).await;
    one.send(&format!("<presence to='{b}' type='subscribe'/>")).await;
    other
        .send(&format!("<presence to='{a}' type='subscribed'/>"))
        .await;
    other
        .send(&format!("<presence to='{a}' type='subscribe'/>"))
        .await;
    one.skip();
    other.skip();
}

/// An error of that type and condition, as a child of the answer.
fn error(kind: &str, condition: &str) -> String {
    format!("<error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
}

/// How many rows of a table an account has.
async fn rows(house: &House, sql: &'static str, account: &str) -> i64 {
    let query = kim_core::db::Query::new(sql).bind(account);
    house
        .db
        .fetch_optional(query)
        .await
        .unwrap()
        .unwrap()
        .i64(0)
        .unwrap()
}
