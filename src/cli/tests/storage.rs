//! Looking after the database as an operator does it.

use std::sync::Arc;

use kim_core::cluster::Solo;
use kim_core::config::Config;
use kim_core::db::Query;

use super::*;
use crate::control::{ControlSocket, Direct};
use crate::house::House;

/// Lets the database grow by some megabytes that nobody needs.
async fn grow(house: &House) {
    house
        .db
        .write(|tx| {
            Box::pin(async move {
                let page = "x".repeat(1_000);
                let rows = (0..4_000_i64)
                    .map(|n| ["a@localhost".into(), n.into(), n.into(), page.as_bytes().into()]);
                let into = "INSERT INTO im_offline (account, received_at, id, stanza)";
                tx.insert_rows(into, rows, "").await.map(drop)
            })
        })
        .await
        .unwrap();
    house
        .db
        .execute(Query::new("DELETE FROM im_offline"))
        .await
        .unwrap();
}

fn freed(said: &str) -> u64 {
    let bytes = said.strip_prefix("The database file is ").unwrap();
    bytes.split(' ').next().unwrap().parse().unwrap()
}

async fn open(home: &Home) -> House {
    let mut config = Config::default();
    config.server.data_dir = home.data();
    let house = House::open(Arc::new(config), kim_xep::MODULES, Box::new(Solo)).await;
    house.ok().unwrap()
}

#[test]
fn the_database_is_compacted_with_a_server_and_without() {
    let home = Home::new();
    home.done("user add alice@localhost", "");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let house = runtime.block_on(open(&home));
    runtime.block_on(grow(&house));
    runtime.block_on(house.db.close());
    assert!(freed(&home.done("storage compact", "")) > 3_000_000);

    let house = runtime.block_on(async {
        let house = open(&home).await;
        let socket = ControlSocket::bind(&home.data()).unwrap();
        tokio::spawn(socket.serve(Arc::new(Direct::serving(house.router.clone()))));
        grow(&house).await;
        house
    });
    assert!(freed(&home.done("storage compact", "")) > 3_000_000);
    assert_eq!(home.done("user list", ""), "alice@localhost\n");
    runtime.block_on(house.db.close());
}
