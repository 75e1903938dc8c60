//! The block lists of others: how they are fetched, what changes them, and what a hostile or silent source can do.

use data_encoding::HEXLOWER;
use kim_core::testing::{House, Neighbour};

use super::super::api::ServerBlocks;
use super::super::rules::sum_of;
use super::super::source::BlockListSource;
use super::{PLAIN, assert_silent, attr};
use crate::MODULES;

const EVENT: &str = "http://jabber.org/protocol/pubsub#event";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const RSM: &str = "http://jabber.org/protocol/rsm";

fn id(address: &str) -> String {
    HEXLOWER.encode(&sum_of(address))
}

fn config(more: &str) -> String {
    format!("{PLAIN}[xep0191_server]\nlists = [\"rtbl.example\"]\n{more}\n")
}

/// Answers the requests of a subscriber, for ever: `page` gives what comes behind an item, and the size of all.
async fn serve(source: &mut Neighbour, mut page: impl FnMut(Option<&str>) -> (Vec<String>, Option<usize>)) {
    loop {
        let Some(asked) = source.next() else {
            tokio::task::yield_now().await;
            continue;
        };
        let payload = if asked.contains("<subscribe") {
            String::new()
        } else {
            assert!(asked.contains("node='muc_bans_sha256'"), "{asked}");
            let after = asked
                .split_once("<after>")
                .map(|(_, rest)| rest.split('<').next().unwrap());
            let (ids, count) = page(after);
            let items: String = ids.iter().map(|id| format!("<item id='{id}'/>")).collect();
            let last = ids
                .last()
                .map(|id| format!("<last>{id}</last>"))
                .unwrap_or_default();
            let count = count
                .map(|count| format!("<count>{count}</count>"))
                .unwrap_or_default();
            format!(
                "<pubsub xmlns='{PUBSUB}'><items node='muc_bans_sha256'>{items}</items>\
                 <set xmlns='{RSM}'>{last}{count}</set></pubsub>"
            )
        };
        let answer = format!(
            "<iq from='rtbl.example' to='localhost' id='{}' type='result'>{payload}</iq>",
            attr(&asked, "id")
        );
        assert_eq!(source.send(&answer).await, None);
    }
}

/// Fetches from a source with these items, so many on a page.
async fn fetch(house: &House, source: &mut Neighbour, all: &[String], per_page: usize) -> bool {
    let blocks = house.router.fact::<ServerBlocks>().unwrap();
    let page = |after: Option<&str>| {
        let from = after.map_or(0, |after| all.iter().position(|id| id == after).unwrap() + 1);
        (all[from..].iter().take(per_page).cloned().collect(), None)
    };
    tokio::select! {
        is_whole = blocks.refresh(&house.router) => is_whole,
        () = serve(source, page) => false,
    }
}

fn listed(house: &House) -> usize {
    house.router.fact::<ServerBlocks>().unwrap().figures()[1].addresses
}

async fn tell(source: &mut Neighbour, from: &str, items: &str) {
    source
        .send(&format!(
            "<message from='{from}' to='localhost'><event xmlns='{EVENT}'>{items}</event></message>"
        ))
        .await;
}

fn published(address: &str) -> String {
    format!(
        "<items node='muc_bans_sha256'><item id='{}'/></items>",
        id(address)
    )
}

fn retracted(address: &str) -> String {
    format!(
        "<items node='muc_bans_sha256'><retract id='{}'/></items>",
        id(address)
    )
}

#[tokio::test]
async fn a_list_is_fetched_in_pages_and_follows_its_source() {
    let house = House::configured(MODULES, &config("")).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut source = house.neighbour("rtbl.example");
    let mut there = house.neighbour("evil.example");
    let mut spam = house.neighbour("spam.example");
    let mut all: Vec<String> = (0..7)
        .map(|number| id(&format!("bot{number}@evil.example")))
        .collect();
    all.push(id("spam.example"));
    assert!(fetch(&house, &mut source, &all, 3).await);
    assert_eq!(listed(&house), 8);
    assert_silent(&mut alice, &mut there, "bot6@evil.example/x").await;
    assert_silent(&mut alice, &mut spam, "anybody@spam.example/x").await;

    let hello =
        "<message from='new@evil.example/x' to='alice@localhost' type='chat'><body>hello</body></message>";
    there.send(hello).await;
    assert!(alice.next().unwrap().contains("hello"));
    alice.skip();
    tell(&mut source, "rtbl.example", &published("new@evil.example")).await;
    source.expect_nothing();
    assert_silent(&mut alice, &mut there, "new@evil.example/x").await;
    tell(&mut source, "rtbl.example", &retracted("new@evil.example")).await;
    there.send(hello).await;
    assert!(alice.next().unwrap().contains("hello"));

    // What the source no longer has at the next fetch is gone here too.
    assert!(fetch(&house, &mut source, &all[1..], 100).await);
    assert_eq!(listed(&house), 7);
}

#[tokio::test]
async fn only_the_source_itself_changes_its_list() {
    let house = House::configured(MODULES, &config("")).await;
    let mut source = house.neighbour("rtbl.example");
    let mut forger = house.neighbour("forger.example");
    assert!(fetch(&house, &mut source, &[id("bot@evil.example")], 100).await);
    tell(&mut forger, "forger.example", &published("romeo@example.org")).await;
    tell(&mut forger, "forger.example", &retracted("bot@evil.example")).await;
    tell(
        &mut source,
        "somebody@rtbl.example",
        &retracted("bot@evil.example"),
    )
    .await;
    let other = published("romeo@example.org").replace("muc_bans", "other");
    tell(&mut source, "rtbl.example", &other).await;
    // A stream speaks for its own domain alone.
    let forged = format!(
        "<message from='rtbl.example' to='localhost'><event xmlns='{EVENT}'>{}</event></message>",
        retracted("bot@evil.example")
    );
    assert!(forger.send(&forged).await.is_some());
    assert_eq!(listed(&house), 1);
}

#[tokio::test]
async fn a_source_that_is_down_at_the_start_does_not_open_the_door() {
    let house = House::configured(MODULES, &config("")).await;
    let mut source = house.neighbour("rtbl.example");
    assert!(fetch(&house, &mut source, &[id("bot@evil.example")], 100).await);

    let house = House::on(house.db.clone(), MODULES, &config("")).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("evil.example");
    assert_silent(&mut alice, &mut there, "bot@evil.example/x").await;
    let blocks = house.router.fact::<ServerBlocks>().unwrap();
    assert!(!blocks.refresh(&house.router).await);
    assert_silent(&mut alice, &mut there, "bot@evil.example/x").await;

    // Who no longer follows the list has no rows of it.
    let house = House::on(house.db.clone(), MODULES, PLAIN).await;
    let blocks = house.router.fact::<ServerBlocks>().unwrap();
    blocks.load().await.unwrap();
    let house = House::on(house.db.clone(), MODULES, &config("")).await;
    house.router.fact::<ServerBlocks>().unwrap().load().await.unwrap();
    assert_eq!(listed(&house), 0);
}

#[tokio::test]
async fn a_source_with_endless_items_fills_no_more_than_its_place() {
    let house = House::configured(MODULES, &config("list_items_max = 1000")).await;
    let mut source = house.neighbour("rtbl.example");
    let blocks = house.router.fact::<ServerBlocks>().unwrap();
    let (mut number, mut pages) = (0, 0);
    let endless = |_: Option<&str>| {
        pages += 1;
        let ids = (0..200).map(|_| {
            number += 1;
            id(&number.to_string())
        });
        (ids.collect(), Some(1_000_000))
    };
    tokio::select! {
        is_whole = blocks.refresh(&house.router) => assert!(is_whole),
        () = serve(&mut source, endless) => {}
    }
    assert_eq!(listed(&house), 1_000);
    assert_eq!(pages, 6, "it is not asked for what cannot be kept");
    tell(&mut source, "rtbl.example", &published("one@more.example")).await;
    assert_eq!(listed(&house), 1_000);
}

#[tokio::test]
async fn a_list_that_is_empty_all_at_once_stays_until_that_is_said_again() {
    let house = House::configured(MODULES, &config("")).await;
    let mut source = house.neighbour("rtbl.example");
    assert!(fetch(&house, &mut source, &[id("bot@evil.example")], 100).await);
    assert!(fetch(&house, &mut source, &[], 100).await);
    assert_eq!(listed(&house), 1);
    assert!(fetch(&house, &mut source, &[], 100).await);
    assert_eq!(listed(&house), 0);
}

#[tokio::test]
async fn a_list_decides_nothing_about_people_of_this_server() {
    let house = House::configured(MODULES, &config("")).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/phone").await;
    let mut source = house.neighbour("rtbl.example");
    assert!(
        fetch(
            &house,
            &mut source,
            &[id("alice@localhost"), id("localhost")],
            100
        )
        .await
    );
    alice
        .send("<message to='bob@localhost' type='chat'><body>still here</body></message>")
        .await;
    assert!(bob.next().unwrap().contains("still here"));
}

#[tokio::test]
async fn what_is_blocked_here_is_published_and_retracted() {
    let house = House::configured(MODULES, &format!("{PLAIN}[xep0191_server]\npublish = \"open\"\n")).await;
    let blocks = house.router.fact::<ServerBlocks>().unwrap();
    let mut there = house.neighbour("example.org");
    for (address, node) in [
        ("bot@evil.example", "muc_bans_sha256"),
        ("evil.example", "domain_bans_sha256"),
    ] {
        let ask = format!(
            "<iq from='example.org' to='pubsub.localhost' id='i' type='get'><pubsub xmlns='{PUBSUB}'>\
             <items node='{node}'/></pubsub></iq>"
        );
        let address = kim_core::jid::BareJid::parse(address).unwrap();
        let mut cx = house.router.cx().unwrap();
        blocks.block(&address, &mut cx).await.unwrap();
        house.router.finish(cx).await;
        there.send(&ask).await;
        let answer = there.next().unwrap();
        assert!(answer.contains(&id(address.as_str())), "{answer}");
        let mut cx = house.router.cx().unwrap();
        blocks.unblock(&address, &mut cx).await.unwrap();
        house.router.finish(cx).await;
        there.send(&ask).await;
        let answer = there.next().unwrap();
        assert!(
            answer.contains("type='result'") && !answer.contains(&id(address.as_str())),
            "{answer}"
        );
    }
    // What was blocked while nothing was published is published at the start.
    let mut cx = house.router.cx().unwrap();
    let quiet = House::on(house.db.clone(), MODULES, PLAIN).await;
    let silently = quiet.router.fact::<ServerBlocks>().unwrap();
    let address = kim_core::jid::BareJid::parse("late.example").unwrap();
    silently.block(&address, &mut cx).await.unwrap();
    let house = House::on(
        house.db.clone(),
        MODULES,
        &format!("{PLAIN}[xep0191_server]\npublish = \"open\"\n"),
    )
    .await;
    house
        .router
        .fact::<ServerBlocks>()
        .unwrap()
        .settle(&house.router)
        .await;
    let mut there = house.neighbour("example.org");
    there
        .send(&format!(
            "<iq from='example.org' to='pubsub.localhost' id='i' type='get'><pubsub xmlns='{PUBSUB}'>\
         <items node='domain_bans_sha256'/></pubsub></iq>"
        ))
        .await;
    assert!(there.next().unwrap().contains(&id("late.example")));
}

#[test]
fn a_source_is_a_service_or_the_uri_of_a_node() {
    let parse = |text| BlockListSource::parse(text).map(|source| source.uri());
    let default = Some("xmpp:rtbl.example?;node=muc_bans_sha256".to_owned());
    assert_eq!(parse("rtbl.example"), default);
    assert_eq!(parse("xmpp:rtbl.example"), default);
    assert_eq!(
        parse("xmpp:rtbl.example?;node=domains"),
        Some("xmpp:rtbl.example?;node=domains".to_owned())
    );
    for wrong in [
        "",
        "a@rtbl.example",
        "xmpp:?;node=x",
        "xmpp:rtbl.example?;node=",
        "xmpp:rtbl.example?;node=a b",
    ] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}
