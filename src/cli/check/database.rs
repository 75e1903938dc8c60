//! Checks of the database: reachable, and with the tables of this version. Makes and changes nothing.

use kim_core::db::{Db, DbOptions};
use kim_core::seal::Seals;

use super::{CheckContext, Finding, store};

/// Whether the database is there and up to date.
pub(super) async fn database(context: &CheckContext) -> Vec<Finding> {
    let url = context.config.storage_url();
    let in_data_dir = context.config.storage.url.is_none();
    if let Some(barred) = context.barred.filter(|_| in_data_dir) {
        return vec![Finding::skip("database", barred)];
    }
    if let Some(path) = url.sqlite_path().filter(|path| !path.exists()) {
        let text = format!("{} will be created at the first start", path.display());
        return vec![Finding::skip("database", text)];
    }
    let db = match Db::open(url.as_str(), &DbOptions::default()).await {
        Ok(db) => db,
        Err(error) => return vec![Finding::fail("database", error.to_string())],
    };
    let applied = store::applied(&db).await;
    let key = sealing_key(context, &db).await;
    let what = db.describe();
    db.close().await;
    let applied = match applied {
        Ok(applied) => applied,
        Err(error) => return vec![Finding::fail("database", format!("{what}: {error}"))],
    };
    let known = || context.migrations.iter().flat_map(|set| set.iter());
    let newer = applied
        .iter()
        .find(|(module, name)| !known().any(|step| step.module == module && step.name == name));
    let missing = known()
        .filter(|step| {
            !applied
                .iter()
                .any(|(module, name)| step.module == module && step.name == name)
        })
        .count();
    let tables = match (newer, missing) {
        (Some((room, name)), _) => Finding::fail(
            "database",
            format!(
                "{what} was used by a newer version of kIM: it has {room}/{name}, which this version does not know"
            ),
        ),
        (None, 0) => Finding::ok("database", format!("{what} is reachable and up to date")),
        (None, missing) => Finding::ok(
            "database",
            format!("{what} is reachable; the next start upgrades it ({missing} steps)"),
        ),
    };
    std::iter::once(tables).chain(key).collect()
}

/// Whether the sealing key is the one of this database. Nothing is said where the first start makes both.
async fn sealing_key(context: &CheckContext, db: &Db) -> Option<Finding> {
    let path = context.config.sealing_key();
    let in_data_dir = context.config.storage.sealing_key.is_none();
    if let Some(barred) = context.barred.filter(|_| in_data_dir) {
        return Some(Finding::skip("sealing key", barred));
    }
    match Seals::inspect(db.clone(), &path).await {
        Ok(None) => None,
        Ok(Some(key)) => Some(Finding::ok(
            "sealing key",
            format!(
                "{} (key {key}) matches the database; keep a copy of it",
                path.display()
            ),
        )),
        Err(error) => Some(Finding::fail("sealing key", error.to_string())),
    }
}
