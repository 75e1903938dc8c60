//! Stories of strangers, on SQLite and, where `KIM_TEST_POSTGRES` is set, on PostgreSQL.

mod hardly_known;
mod joint;
mod requests;
mod rules;
mod store;
mod wave;

use std::sync::Arc;

use kim_core::module::Entry;
use kim_core::testing::{Client, House, Neighbour, TestDb};

use super::api::{Became, Counters, Requests, SentByStranger};
use crate::MODULES;

/// What stands in for keys in these stories is none, so nobody looks at them.
const BASE: &str = "[xep0384_omemo]\npolicy = \"off\"\n";

/// A house and its database, which goes with it.
struct Story {
    house: House,
    _db: TestDb,
}

impl Story {
    fn counters(&self) -> Arc<Counters> {
        self.house.router.fact().expect("the module is on")
    }

    fn count(&self, sent: SentByStranger, became: Became) -> u64 {
        self.counters().of(sent, became)
    }

    /// The time passes, and what is due is judged.
    async fn after(&self, seconds: u64) {
        self.house.clock.advance(seconds);
        let requests: Arc<Requests> = self.house.router.fact().expect("the module is on");
        requests.sweep(&self.house.router).await.expect("the sweep");
    }
}

/// The same story on every kind of database.
async fn stories(toml: &str) -> Vec<Story> {
    stories_with(MODULES, toml).await
}

async fn stories_with(modules: &[Entry], toml: &str) -> Vec<Story> {
    let dbs = [Some(TestDb::sqlite().await), TestDb::postgres().await];
    let mut stories = Vec::new();
    for db in dbs.into_iter().flatten() {
        let house = House::on(db.db(), modules, &format!("{BASE}{toml}")).await;
        stories.push(Story { house, _db: db });
    }
    stories
}

fn message(from: &str, to: &str, id: &str, children: &str) -> String {
    format!("<message from='{from}' to='{to}' id='{id}' type='chat'>{children}</message>")
}

fn text(from: &str, to: &str, id: &str, body: &str) -> String {
    message(from, to, id, &format!("<body>{body}</body>"))
}

/// Sends a stanza of another server, which its stream survives.
async fn say(there: &mut Neighbour, xml: &str) {
    assert_eq!(there.send(xml).await, None, "{xml}");
}

/// Everything that a client has got.
fn got(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next()).collect()
}

/// Everything that another server has got.
fn heard(there: &mut Neighbour) -> Vec<String> {
    std::iter::from_fn(|| there.next()).collect()
}

/// How many of these have something in them.
fn having(stanzas: &[String], what: &str) -> usize {
    stanzas.iter().filter(|stanza| stanza.contains(what)).count()
}

/// What the archive of an account has: the stanzas of one page.
async fn archived(client: &mut Client) -> Vec<String> {
    client
        .send("<iq id='mam' type='set'><query xmlns='urn:xmpp:mam:2'/></iq>")
        .await;
    let mut page = got(client);
    page.retain(|stanza| stanza.contains("<result "));
    page
}
