//! What accounts' nodes cost: publications with many contacts who want to hear of them, and bundles of keys that are fetched.
//! The figures in `docs/performance.md` come from here: `cargo bench -p kim --bench pubsub`.
//!
//! It drives the whole house but for the sockets, on SQLite in a file with every commit synced.

mod inside;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kim_core::session::Session;
use kim_core::testing::{House, TestDb};
use kim_core::wire::Element;

use inside::{cpu_seconds, perform, stanza};

/// How long each figure is measured, in seconds.
const SECONDS: u64 = 4;
const NODE: &str = "urn:bench";
const BUNDLES: &str = "eu.siacs.conversations.axolotl.bundles:1";
const BUNDLES_2: &str = "urn:xmpp:omemo:2:bundles";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let db = TestDb::sqlite_file().await;
        // Keys here are stand-ins.
        let limits = "[limits]\nenabled = false\n[xep0384_omemo]\npolicy = \"off\"\n";
        let house = Arc::new(House::on(db.db(), kim_xep::MODULES, limits).await);
        println!("{}", db.describe());
        for contacts in [0, 1, 10, 100, 1_000] {
            publications(&house, contacts).await;
        }
        absent(&house, 1_000).await;
        fetches(&house).await;
    });
}

/// A session that is available and wants to hear of the node.
async fn session(house: &House, jid: &str) -> Arc<Session> {
    let session = inside::session(house, jid, 1 << 24).await;
    let c = format!(
        "<c xmlns='http://jabber.org/protocol/caps' node='urn:client' ver='{}'/>",
        session.jid
    );
    perform(
        &house.router,
        &session,
        stanza(&format!("<presence>{c}</presence>")),
    )
    .await;
    let mut question = None;
    for parcel in session.outbox.take().0 {
        let stanza = parcel.stanza.expect("a stanza");
        if stanza.to_xml().contains("disco#info") {
            question = stanza.id.clone();
        }
    }
    let query = format!(
        "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc'/>\
         <feature var='{NODE}+notify'/></query>"
    );
    let id = question.expect("a question");
    perform(
        &house.router,
        &session,
        stanza(&format!(
            "<iq id='{id}' to='localhost' type='result'>{query}</iq>"
        )),
    )
    .await;
    session
}

/// Somebody with so many contacts, each online with one client if they are to be.
async fn popular(
    house: &House,
    name: &str,
    contacts: usize,
    online: bool,
) -> (Arc<Session>, Vec<Arc<Session>>) {
    let owner = session(house, &format!("{name}@localhost/x")).await;
    let mut sessions = Vec::new();
    for n in 0..contacts {
        let fan = format!("{name}-fan{n}@localhost");
        let contact = session(house, &format!("{fan}/x")).await;
        perform(
            &house.router,
            &contact,
            stanza(&format!("<presence to='{}' type='subscribe'/>", owner.account)),
        )
        .await;
        perform(
            &house.router,
            &owner,
            stanza(&format!("<presence to='{fan}' type='subscribed'/>")),
        )
        .await;
        if online {
            sessions.push(contact);
        } else {
            contact.close(kim_core::error::StreamCondition::Reset);
            house.router.end(&contact, []).await;
        }
        owner.outbox.take();
    }
    (owner, sessions)
}

fn publication(n: usize) -> String {
    format!(
        "<iq id='p' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{NODE}'><item id='current'>\
         <tune xmlns='http://jabber.org/protocol/tune'><artist>Gerald Finzi</artist><length>255</length>\
         <source>Music for Love's Labors Lost (Suite for small orchestra)</source><track>{n}</track></tune>\
         </item></publish></pubsub></iq>"
    )
}

async fn publish_for_a_while(house: &House, owner: &Arc<Session>, fans: &[Arc<Session>]) -> (f64, f64) {
    perform(&house.router, owner, stanza(&publication(0))).await;
    let (cpu, started, mut n) = (cpu_seconds(), Instant::now(), 0_usize);
    while started.elapsed() < Duration::from_secs(SECONDS) {
        n += 1;
        perform(&house.router, owner, stanza(&publication(n))).await;
        owner.outbox.take();
        for fan in fans {
            fan.outbox.take();
        }
    }
    (
        started.elapsed().as_secs_f64() * 1e6 / n as f64,
        (cpu_seconds() - cpu) * 1e6 / n as f64,
    )
}

async fn publications(house: &House, contacts: usize) {
    let (owner, fans) = popular(house, &format!("star{contacts}"), contacts, true).await;
    let (micros, cpu) = publish_for_a_while(house, &owner, &fans).await;
    let each = if contacts == 0 { 0.0 } else { cpu / contacts as f64 };
    println!(
        "{contacts:5} interested contacts: {micros:8.0} µs a publication, {cpu:8.0} µs CPU, {each:.2} µs CPU a contact"
    );
}

async fn absent(house: &House, contacts: usize) {
    let (owner, fans) = popular(house, "lonely", contacts, false).await;
    let (micros, cpu) = publish_for_a_while(house, &owner, &fans).await;
    println!("{contacts:5} contacts who are away:  {micros:8.0} µs a publication, {cpu:8.0} µs CPU");
}

/// A bundle as clients publish it: 100 prekeys, about 7 kB.
fn bundle() -> String {
    let key = "BWJ8c2MwohBWJ8c2MwohBWJ8c2MwohBWJ8c2MwohBWJ8";
    let prekeys: String = (1..=100)
        .map(|n| format!("<preKeyPublic preKeyId='{n}'>{key}</preKeyPublic>"))
        .collect();
    format!(
        "<bundle xmlns='eu.siacs.conversations.axolotl'><signedPreKeyPublic signedPreKeyId='1'>{key}</signedPreKeyPublic>\
         <signedPreKeySignature>{key}{key}</signedPreKeySignature><identityKey>{key}</identityKey><prekeys>{prekeys}</prekeys></bundle>"
    )
}

/// Bundles fetched by strangers, one owner after another: out of memory, and by id out of the database.
async fn fetches(house: &Arc<House>) {
    const OWNERS: usize = 100;
    const READERS: usize = 8;
    for n in 0..OWNERS {
        let owner = session(house, &format!("owner{n}@localhost/x")).await;
        let pubsub = house
            .router
            .fact::<kim_xep::xep0060_pubsub::api::PubSub>()
            .expect("nodes");
        let payload = Element::parse(&bundle()).expect("XML");
        for (node, items) in [(BUNDLES, 1), (BUNDLES_2, 5)] {
            let mut cx = house.router.cx().expect("a context");
            for id in 0..items {
                let draft = kim_xep::xep0060_pubsub::api::Draft::new(id.to_string(), payload.clone());
                // By the server nothing is refused, whatever checks keys.
                pubsub
                    .publish(&owner.account, node, vec![draft], &mut cx)
                    .await
                    .expect("published");
            }
            house.router.finish(cx).await;
        }
        for (node, most) in [(BUNDLES, "1"), (BUNDLES_2, "max")] {
            let field =
                |var: &str, value: &str| format!("<field var='pubsub#{var}'><value>{value}</value></field>");
            let form = format!(
                "<x xmlns='jabber:x:data' type='submit'>{}{}</x>",
                field("access_model", "open"),
                field("max_items", most)
            );
            let iq = format!(
                "<iq id='c' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='{node}'>{form}\
                 </configure></pubsub></iq>"
            );
            perform(&house.router, &owner, stanza(&iq)).await;
        }
        // The room for the five of them is there only now.
        let mut cx = house.router.cx().expect("a context");
        for id in 0..5 {
            let draft = kim_xep::xep0060_pubsub::api::Draft::new(id.to_string(), payload.clone());
            pubsub
                .publish(&owner.account, BUNDLES_2, vec![draft], &mut cx)
                .await
                .expect("published");
        }
        house.router.finish(cx).await;
        owner.outbox.take();
    }
    for (name, items) in [
        ("a node for each device", format!("<items node='{BUNDLES}'/>")),
        (
            "one node, by id",
            format!("<items node='{BUNDLES_2}'><item id='2'/></items>"),
        ),
    ] {
        let (cpu, started) = (cpu_seconds(), Instant::now());
        let mut tasks = Vec::new();
        for reader in 0..READERS {
            let reader = session(house, &format!("reader{reader}@localhost/{}", items.len())).await;
            let (house, items) = (house.clone(), items.clone());
            tasks.push(tokio::spawn(async move {
                let mut n = 0_usize;
                while started.elapsed() < Duration::from_secs(SECONDS) {
                    let iq = format!(
                        "<iq id='f' to='owner{}@localhost' type='get'><pubsub xmlns='http://jabber.org/protocol/pubsub'>{items}</pubsub></iq>",
                        n % OWNERS
                    );
                    perform(&house.router, &reader, stanza(&iq)).await;
                    let parcels = reader.outbox.take().0;
                    assert!(parcels.iter().all(|parcel| parcel.tail.len() > 5_000), "a bundle");
                    n += 1;
                }
                n
            }));
        }
        let mut n = 0;
        for task in tasks {
            n += task.await.expect("a reader");
        }
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        println!(
            "bundles of {} bytes, {name}: {:.0} fetches/s, {:.0} µs CPU each",
            bundle().len(),
            n as f64 / seconds,
            cpu * 1e6 / n as f64
        );
    }
}
