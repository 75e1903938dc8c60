//! The page about data at rest, compared with the tables: every column stands there as readable or as sealed.

use std::collections::{BTreeMap, BTreeSet};

use kim_core::db::Query;
use kim_core::testing::TestDb;

/// Columns that are hashes or tags though they are no bytes.
const OPAQUE: [&str; 11] = [
    "mam_archive.peer",
    "mam_archive.peer_full",
    "mam_archive.reference",
    "mam_archive.resend",
    "outreach_people.peer",
    "pubsub_item.item",
    "push_registration.tag",
    "push_subscription.tag",
    "sm_session.id_hash",
    "strangers_requests.peer",
    "strangers_written.peer",
];

/// The columns of each table, with their types.
async fn tables() -> BTreeMap<String, BTreeMap<String, String>> {
    let db = TestDb::sqlite().await;
    db.migrate(&kim::house::migrations(kim_xep::MODULES))
        .await
        .expect("the tables");
    let columns = Query::new(
        "SELECT t.name AS in_table, c.name AS named, c.type AS typed FROM sqlite_master t \
         JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'",
    );
    let mut tables: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in db.fetch_all(columns).await.expect("the columns") {
        let text = |column| row.text(column).expect("a text");
        tables
            .entry(text("in_table"))
            .or_default()
            .insert(text("named"), text("typed"));
    }
    tables
}

/// What a cell names in code marks.
fn named(cell: &str) -> BTreeSet<String> {
    let columns = cell.split('`').skip(1).step_by(2);
    columns.map(str::to_owned).collect()
}

/// What the page says of each table: what is readable, and what is not.
fn page() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let text = std::fs::read_to_string(path).expect("the page");
    let (_, rest) = text.split_once("### Every column").expect("the table");
    let rows = rest.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            let table = named(cells[0]).into_iter().next().expect("a table");
            // Words in brackets explain; the columns they speak of are named before.
            (table, (named(cells[1]), named(cells[2])))
        })
        .collect()
}

#[tokio::test]
async fn every_column_is_on_the_page_of_what_leaks() {
    let (tables, mut page) = (tables().await, page());
    let mut wrong = Vec::new();
    assert!(tables.len() > 30);
    for (table, columns) in &tables {
        let Some((readable, sealed)) = page.remove(table) else {
            wrong.push(format!("{table} is not on the page"));
            continue;
        };
        for (column, kind) in columns {
            let is_opaque = OPAQUE.contains(&format!("{table}.{column}").as_str());
            match (readable.contains(column), sealed.contains(column)) {
                (false, false) => wrong.push(format!("{table}.{column} is not on the page")),
                (true, true) => wrong.push(format!("{table}.{column} is there twice")),
                (false, true) if kind != "BYTEA" && !is_opaque => {
                    wrong.push(format!("{table}.{column} is {kind}, so it is not sealed"));
                }
                _ => {}
            }
        }
        let known = |column: &&String| !columns.contains_key(*column);
        for gone in readable.iter().chain(&sealed).filter(known) {
            wrong.push(format!("{table}.{gone} is on the page and not in the table"));
        }
    }
    wrong.extend(
        page.keys()
            .map(|table| format!("{table} is on the page and not in the database")),
    );
    assert!(wrong.is_empty(), "docs/security.md:\n{}", wrong.join("\n"));
}
