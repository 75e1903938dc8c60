//! One SQL text, the same answers from both databases.

use super::*;
use bytes::Bytes;

#[tokio::test]
async fn values_of_every_type_come_back_as_they_went() {
    for db in databases().await {
        let tables = [Migration {
            module: "types",
            name: "0001_types",
            sql: "CREATE TABLE types (id BIGINT PRIMARY KEY, n BIGINT, t TEXT, b BYTEA)",
        }];
        db.migrate(&[&tables]).await.unwrap();
        db.write(|tx| {
            Box::pin(async move {
                let rows: [[Value; 4]; 3] = [
                    [
                        1.into(),
                        i64::MIN.into(),
                        "häß🙂".into(),
                        Bytes::from_static(&[0, 255]).into(),
                    ],
                    [2.into(), Value::I64(None), Value::Text(None), Value::Bytes(None)],
                    [3.into(), true.into(), "".into(), b"".as_slice().into()],
                ];
                tx.insert_rows("INSERT INTO types (id, n, t, b)", rows, "").await
            })
        })
        .await
        .unwrap();
        let rows = db
            .fetch_all(Query::new("SELECT n, t, b FROM types ORDER BY id"))
            .await
            .unwrap();
        assert_eq!(rows[0].i64(0), Ok(i64::MIN));
        assert_eq!(rows[0].text("t"), Ok("häß🙂".to_owned()));
        assert_eq!(rows[0].bytes("b"), Ok(vec![0, 255]));
        assert_eq!(rows[1].opt_i64("n"), Ok(None));
        assert_eq!(rows[1].opt_text(1), Ok(None));
        assert_eq!(rows[1].opt_bytes(2), Ok(None));
        assert_eq!(rows[2].i64("n"), Ok(1));
        assert_eq!(rows[2].text("t"), Ok(String::new()));
        assert_eq!(rows[2].bytes("b"), Ok(vec![]));
    }
}

#[tokio::test]
async fn a_wrong_column_is_an_error_and_no_panic() {
    for db in databases().await {
        let row = db
            .fetch_optional(Query::new("SELECT 1 AS one, NULL AS none"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.i64("one"), Ok(1));
        assert!(matches!(row.i64("none"), Err(DbError::Column(_))));
        assert!(matches!(row.i64("absent"), Err(DbError::Column(_))));
        assert!(matches!(row.i64(9), Err(DbError::Column(_))));
        assert!(matches!(row.text("one"), Err(DbError::Column(_))));
    }
}

#[tokio::test]
async fn counting_and_existence_are_numbers_on_both() {
    for db in migrated_databases(&[NOTES]).await {
        db.write(one(1)).await.unwrap();
        assert_eq!(
            number(
                &db,
                Query::new("SELECT EXISTS (SELECT 1 FROM notes WHERE id = 1)")
            )
            .await,
            1
        );
        assert_eq!(
            number(
                &db,
                Query::new("SELECT EXISTS (SELECT 1 FROM notes WHERE id = 2)")
            )
            .await,
            0
        );
        assert_eq!(number(&db, Query::new("SELECT 1 FROM notes")).await, 1);
        assert_eq!(
            number(&db, Query::new("SELECT CAST(SUM(id) AS BIGINT) FROM notes")).await,
            1
        );
    }
}

#[tokio::test]
async fn upserts_and_returning_have_one_text() {
    for db in migrated_databases(&[NOTES]).await {
        let upsert = "INSERT INTO counters (name, n) VALUES ($1, 1) \
                      ON CONFLICT (name) DO UPDATE SET n = counters.n + excluded.n RETURNING n";
        let mut seen = Vec::new();
        for _ in 0..3 {
            let n = db
                .write(move |tx| {
                    Box::pin(async move {
                        let row = tx.fetch_optional(Query::new(upsert).bind("upserts")).await?;
                        row.map(|row| row.i64(0)).transpose()
                    })
                })
                .await;
            seen.push(n.unwrap().unwrap());
        }
        assert_eq!(seen, [1, 2, 3]);
        let like = Query::new("SELECT COUNT(*) FROM counters WHERE name LIKE $1 ESCAPE '!'").bind("ups%");
        assert_eq!(number(&db, like).await, 1);
    }
}

#[tokio::test]
async fn a_taken_key_is_a_typed_error_for_the_caller() {
    for db in migrated_databases(&[NOTES]).await {
        db.write(one(1)).await.unwrap();
        assert!(db.write(one(1)).await.unwrap_err().is_unique());
        let null = db.write(|tx| {
            Box::pin(async move { tx.execute(Query::new("INSERT INTO notes (id) VALUES (2)")).await })
        });
        assert!(matches!(null.await, Err(DbError::Constraint(_))));
        let nonsense = db.write(|tx| Box::pin(async move { tx.execute(Query::new("SELEC 1")).await }));
        assert!(matches!(nonsense.await, Err(DbError::Statement(_))));
        assert!(matches!(
            db.fetch_all(Query::new("SELEC 1")).await,
            Err(DbError::Statement(_))
        ));
    }
}

/// With one exception (`Db::write`), everything must go through the committer; the pool sees to it.
#[tokio::test]
async fn reading_connections_refuse_to_write() {
    for db in migrated_databases(&[NOTES]).await {
        assert!(db.fetch_all(insert_one(1)).await.is_err());
        assert_eq!(count(&db).await, 0);
    }
}

#[tokio::test]
async fn the_plan_tells_an_index_from_a_scan() {
    for db in migrated_databases(&[NOTES]).await {
        db.assert_uses_index(Query::new("SELECT body FROM notes WHERE id = $1").bind(1))
            .await;
        db.assert_uses_index(Query::new("SELECT id FROM notes WHERE place = $1").bind("x"))
            .await;
        let plan = db
            .explain(Query::new("SELECT id FROM notes WHERE body = $1").bind(vec![0u8]))
            .await
            .unwrap();
        assert!(
            plan.iter()
                .any(|line| line.contains("SCAN notes") || line.contains("Seq Scan")),
            "{plan:?}"
        );
        let plan = db
            .explain(Query::new("DELETE FROM notes WHERE place = $1").bind("x"))
            .await
            .unwrap();
        assert!(
            plan.iter().any(|line| line.contains("notes_by_place")),
            "{plan:?}"
        );
    }
}

#[tokio::test]
async fn a_value_is_never_part_of_the_text() {
    for db in migrated_databases(&[NOTES]).await {
        let evil = "x'; DROP TABLE notes; --";
        assert_eq!(
            number(
                &db,
                Query::new("SELECT COUNT(*) FROM notes WHERE place = $1").bind(evil)
            )
            .await,
            0
        );
        assert_eq!(count(&db).await, 0, "the table is still there");
    }
}
