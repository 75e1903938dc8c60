//! A PostgreSQL connection that breaks: between batches, inside one, and at the worst moment, during COMMIT.

use super::*;
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn postgres() -> Option<TestDb> {
    let db = TestDb::postgres().await?;
    db.migrate(&[NOTES]).await.unwrap();
    Some(db)
}

const PID: &str = "SELECT CAST(pg_backend_pid() AS BIGINT)";
const KILL: &str = "SELECT pg_terminate_backend(CAST($1 AS INTEGER))";

fn writer_pid(tx: &mut Tx) -> BoxFuture<'_, Result<i64, DbError>> {
    Box::pin(async move {
        match tx.fetch_optional(Query::new(PID)).await? {
            Some(row) => row.i64(0),
            None => Err(DbError::Refused("no pid")),
        }
    })
}

#[tokio::test]
async fn a_writer_that_was_killed_between_two_batches_comes_back() {
    let Some(db) = postgres().await else { return };
    let pid = db.write(writer_pid).await.unwrap();
    assert_eq!(number(&db, Query::new(KILL).bind(pid)).await, 1);
    let sink = db.sink(insert_notes);
    let tickets: Vec<Ticket> = (0..20).map(|id| sink.put(note(id))).collect();
    for ticket in tickets {
        ticket.await.unwrap();
    }
    assert_eq!(count(&db).await, 20);
    assert_ne!(db.write(writer_pid).await.unwrap(), pid);
}

#[tokio::test]
async fn a_writer_that_was_killed_inside_a_batch_runs_it_again_and_once_only() {
    let Some(db) = postgres().await else { return };
    let (killed, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let before = db.write_later(bump);
    let row = db.sink(insert_notes).put(note(1));
    let (killed_in_job, runs_in_job) = (killed.clone(), runs.clone());
    let suicide = db.write_later(move |tx| {
        let first = !killed_in_job.swap(true, Ordering::SeqCst);
        runs_in_job.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if first {
                tx.fetch_all(Query::new("SELECT pg_terminate_backend(pg_backend_pid())"))
                    .await?;
            }
            Ok(())
        })
    });
    let after = db.write_later(bump);
    for ticket in [before, row, suicide, after] {
        ticket.await.unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!((count(&db).await, bumps(&db).await), (1, 2));
}

#[tokio::test]
async fn readers_that_were_all_killed_are_replaced_unseen() {
    let Some(db) = postgres().await else { return };
    let slow_pid = "SELECT CAST(pg_backend_pid() AS BIGINT) FROM pg_sleep(0.1)";
    let readers = (0..8).map(|_| number(&db, Query::new(slow_pid)));
    let pids = futures_util::future::join_all(readers).await;
    let killer = Db::open(db.url(), &DbOptions::default()).await.unwrap();
    for pid in pids {
        killer.fetch_all(Query::new(KILL).bind(pid)).await.unwrap();
    }
    killer.close().await;
    for _ in 0..16 {
        assert_eq!(count(&db).await, 0);
    }
}

const PASS: u8 = 0;
/// The connection breaks before the server sees COMMIT.
const CUT_BEFORE_COMMIT: u8 = 1;
/// The server commits, and the connection breaks before its answer arrives.
const CUT_AFTER_COMMIT: u8 = 2;
/// Nobody gets through.
const REFUSE: u8 = 3;

/// A proxy in front of the server for tests, which breaks connections at a chosen moment.
struct Proxy {
    mode: Arc<AtomicU8>,
    url: String,
}

impl Proxy {
    async fn before(db: &TestDb) -> Proxy {
        let options = PgConnectOptions::from_str(db.url()).unwrap();
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let url = db.url().replace(&server, &own);
        assert_ne!(
            url,
            db.url(),
            "the URL of the server for tests must name host and port"
        );
        let mode = Arc::new(AtomicU8::new(PASS));
        let accept_mode = mode.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if accept_mode.load(Ordering::SeqCst) != REFUSE {
                    tokio::spawn(forward(client, server.clone(), accept_mode.clone()));
                }
            }
        });
        Proxy { mode, url }
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

/// Passes bytes on until the mode says to cut; then both connections are dropped and the mode is PASS again.
async fn forward(mut client: TcpStream, server: String, mode: Arc<AtomicU8>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(n @ 1..) = read else { return };
                let commit = asked[..n].windows(6).any(|bytes| bytes == b"COMMIT");
                let at = mode.load(Ordering::SeqCst);
                if commit && at == CUT_BEFORE_COMMIT {
                    mode.store(PASS, Ordering::SeqCst);
                    return;
                }
                if server.write_all(&asked[..n]).await.is_err() { return }
                if commit && at == CUT_AFTER_COMMIT {
                    let _ = server.read(&mut answered).await;
                    mode.store(PASS, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(n @ 1..) = read else { return };
                if mode.load(Ordering::SeqCst) == REFUSE { return }
                if client.write_all(&answered[..n]).await.is_err() { return }
            }
        }
    }
}

#[tokio::test]
async fn an_answer_to_commit_that_got_lost_neither_loses_nor_doubles_the_batch() {
    let Some(db) = postgres().await else { return };
    let proxy = Proxy::before(&db).await;
    let through = Db::open(&proxy.url, &DbOptions::default()).await.unwrap();
    let sink = through.sink(insert_notes);
    for (mode, id) in [
        (CUT_BEFORE_COMMIT, 1),
        (CUT_AFTER_COMMIT, 2),
        (CUT_AFTER_COMMIT, 3),
        (PASS, 4),
    ] {
        proxy.set(mode);
        let (row, job) = (sink.put(note(id)), through.write_later(bump));
        row.await.unwrap();
        job.await.unwrap();
        assert_eq!((count(&db).await, bumps(&db).await), (id, id), "in mode {mode}");
    }
    through.close().await;
}

#[tokio::test]
async fn while_the_server_is_away_writes_fail_clearly_and_then_work_again() {
    let Some(db) = postgres().await else { return };
    let proxy = Proxy::before(&db).await;
    let options = DbOptions {
        reconnect_seconds_max: 0,
        ..DbOptions::default()
    };
    let through = Db::open(&proxy.url, &options).await.unwrap();
    through.write(bump).await.unwrap();
    proxy.set(REFUSE);
    for _ in 0..3 {
        let error = through.write(bump).await.unwrap_err();
        assert!(matches!(error, DbError::Unavailable(_)), "{error:?}");
        assert!(error.is_temporary());
        assert!(!through.stats().reachable);
    }
    proxy.set(PASS);
    through.write(bump).await.unwrap();
    assert!(through.stats().reachable);
    assert_eq!(bumps(&db).await, 2);
    through.close().await;
}

/// Locks one row, waits (the first time) for the other node to have locked the other row, then wants that one too.
fn crosswise(
    barrier: &Arc<tokio::sync::Barrier>,
    first: i64,
    second: i64,
) -> impl for<'a> Fn(&'a mut Tx) -> BoxFuture<'a, Result<(), DbError>> + Send + 'static {
    let (barrier, met) = (barrier.clone(), AtomicBool::new(false));
    let touch = "UPDATE notes SET place = 'touched' WHERE id = $1";
    move |tx: &mut Tx| {
        let wait = (!met.swap(true, Ordering::SeqCst)).then(|| barrier.clone());
        Box::pin(async move {
            tx.execute(Query::new(touch).bind(first)).await?;
            if let Some(barrier) = wait {
                barrier.wait().await;
            }
            tx.execute(Query::new(touch).bind(second)).await.map(|_| ())
        })
    }
}

#[tokio::test]
async fn two_nodes_that_deadlock_both_get_through() {
    let Some(db) = postgres().await else { return };
    let other = Db::open(db.url(), &DbOptions::default()).await.unwrap();
    db.write(one(1)).await.unwrap();
    db.write(one(2)).await.unwrap();
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let (left, right) = tokio::join!(
        db.write(crosswise(&barrier, 1, 2)),
        other.write(crosswise(&barrier, 2, 1))
    );
    left.unwrap();
    right.unwrap();
    other.close().await;
}
