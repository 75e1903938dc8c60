//! Blocks for the whole server, and the block lists of others.

mod lists;

use kim_core::jid::BareJid;
use kim_core::testing::{Client, House, Neighbour, migrated_databases};

use super::api::ServerBlocks;
use super::store;
use crate::MODULES;

/// What stands in for keys in these stories is none, so nobody looks at them.
pub(super) const PLAIN: &str = "[xep0384_omemo]\npolicy = \"off\"\n";

/// The value of an attribute in a text.
pub(super) fn attr(xml: &str, name: &str) -> String {
    let (_, rest) = xml
        .split_once(&format!(" {name}='"))
        .unwrap_or_else(|| panic!("{name} in {xml}"));
    rest.split('\'').next().unwrap().to_owned()
}

/// A command of the administrator's, with the one form that it asks for.
async fn command(admin: &mut Client, node: &str, addresses: &[&str]) -> String {
    let ns = "http://jabber.org/protocol/commands";
    admin
        .send(&format!(
            "<iq id='c' to='localhost' type='set'><command xmlns='{ns}' node='{node}'/></iq>"
        ))
        .await;
    let asked = admin.next().unwrap();
    if addresses.is_empty() {
        return asked;
    }
    let session = attr(&asked, "sessionid");
    let values: String = addresses
        .iter()
        .map(|address| format!("<value>{address}</value>"))
        .collect();
    admin
        .send(&format!(
            "<iq id='d' to='localhost' type='set'><command xmlns='{ns}' node='{node}' sessionid='{session}'>\
             <x xmlns='jabber:x:data' type='submit'><field var='addresses'>{values}</field></x></command></iq>"
        ))
        .await;
    admin.next().unwrap()
}

/// Nothing of Mallory's arrives, and nothing reaches her.
pub(super) async fn assert_silent(alice: &mut Client, there: &mut Neighbour, who: &str) {
    for stanza in [
        format!("<message from='{who}' to='alice@localhost' id='m' type='chat'><body>x</body></message>"),
        format!(
            "<iq from='{who}' to='localhost' id='i' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        ),
        format!(
            "<message from='{who}' to='lobby@conference.localhost' id='g' type='groupchat'><body>x</body></message>"
        ),
    ] {
        assert_eq!(there.send(&stanza).await, None);
        let answer = there.next().unwrap();
        assert!(
            answer.contains("service-unavailable") && answer.contains("type='error'"),
            "{answer}"
        );
    }
    for stanza in [
        format!("<presence from='{who}' to='alice@localhost' type='subscribe'/>"),
        format!("<presence from='{who}' to='alice@localhost'/>"),
        format!(
            "<presence from='{who}' to='lobby@conference.localhost/m'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ),
    ] {
        assert_eq!(there.send(&stanza).await, None);
    }
    there.expect_nothing();
    alice.expect_nothing();
    let bare = who.split('/').next().unwrap();
    alice
        .send(&format!(
            "<message to='{bare}' id='o' type='chat'><body>x</body></message>"
        ))
        .await;
    let answer = alice.next().unwrap();
    assert!(answer.contains("type='error'"), "{answer}");
    alice
        .send(&format!("<presence to='{bare}' type='subscribe'/>"))
        .await;
    alice.skip();
    there.expect_nothing();
}

#[tokio::test]
async fn administrators_block_and_unblock_accounts_and_domains() {
    let house = House::configured(MODULES, PLAIN).await;
    let mut admin = house.online("admin@localhost/desk").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("evil.example");
    let mut below = house.neighbour("sub.evil.example");
    for (blocked, others) in [
        ("mallory@evil.example", "eve@evil.example/x"),
        ("evil.example", ""),
    ] {
        let said = command(&mut admin, "urn:kim:blocks:0#add", &[blocked]).await;
        assert!(said.contains("1 addresses were blocked"), "{said}");
        assert_silent(&mut alice, &mut there, "mallory@evil.example/x").await;
        if others.is_empty() {
            assert_silent(&mut alice, &mut below, "mallory@sub.evil.example/x").await;
        } else {
            assert_eq!(
                there
                    .send(&format!(
                        "<message from='{others}' to='alice@localhost' type='chat'><body>hi</body></message>"
                    ))
                    .await,
                None
            );
            assert!(alice.next().unwrap().contains("hi"));
            alice.skip();
        }
        let listed = command(&mut admin, "urn:kim:blocks:0#list", &[]).await;
        assert!(listed.contains(&format!("<value>{blocked}</value>")), "{listed}");
        let said = command(&mut admin, "urn:kim:blocks:0#remove", &[blocked]).await;
        assert!(said.contains("1 addresses were unblocked"), "{said}");
        assert_eq!(
            there
                .send("<message from='mallory@evil.example/x' to='alice@localhost' type='chat'><body>back</body></message>")
                .await,
            None
        );
        assert!(alice.next().unwrap().contains("back"));
        alice.skip();
        there.skip();
    }
    // §3.2 of XEP-0050: what nobody may use is not shown.
    let refused = command(&mut alice, "urn:kim:blocks:0#list", &[]).await;
    assert!(refused.contains("forbidden"), "{refused}");
}

#[tokio::test]
async fn what_is_ours_cannot_be_blocked() {
    let house = House::new(MODULES).await;
    let mut admin = house.online("admin@localhost/desk").await;
    for address in [
        "localhost",
        "conference.localhost",
        "lobby@conference.localhost",
        "admin@localhost",
    ] {
        let said = command(&mut admin, "urn:kim:blocks:0#add", &[address]).await;
        assert!(said.contains("not-allowed"), "{said}");
    }
    let said = command(&mut admin, "urn:kim:blocks:0#add", &["@@"]).await;
    assert!(said.contains("bad-request"), "{said}");
}

#[tokio::test]
async fn a_blocked_account_of_this_server_reaches_nobody() {
    let house = House::configured(MODULES, PLAIN).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let bob = house.online("bob@localhost/laptop").await;
    let blocks = house.router.fact::<ServerBlocks>().unwrap();
    let mut cx = house.router.cx().unwrap();
    let address = BareJid::parse("bob@localhost").unwrap();
    assert!(blocks.block(&address, &mut cx).await.unwrap());
    house.router.finish(cx).await;
    assert!(bob.closing().is_some());
    let mut bob = house.connect("bob@localhost/again").await;
    bob.send("<message to='alice@localhost' id='m' type='chat'><body>x</body></message>")
        .await;
    assert!(bob.next().unwrap().contains("forbidden"));
    bob.send("<presence/>").await;
    bob.send("<presence to='alice@localhost' type='subscribe'/>")
        .await;
    bob.send(
        "<presence to='lobby@conference.localhost/b'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
    )
    .await;
    bob.expect_nothing();
    // Their own account is still theirs.
    bob.ask(
        "<iq id='v' to='localhost' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq id='v' from='localhost' to='bob@localhost/again' type='result'/>",
    )
    .await;
    alice.expect_nothing();
    alice
        .send("<message to='bob@localhost' id='a' type='chat'><body>x</body></message>")
        .await;
    assert!(alice.next().unwrap().contains("not-acceptable"));
}

#[tokio::test]
async fn an_occupant_who_is_blocked_hears_nothing_more_of_the_room() {
    let house = House::configured(MODULES, PLAIN).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("evil.example");
    let join = "<x xmlns='http://jabber.org/protocol/muc'/>";
    alice
        .send(&format!(
            "<presence to='coven@conference.localhost/a'>{join}</presence>"
        ))
        .await;
    alice
        .send("<iq id='o' to='coven@conference.localhost' type='set'>\
         <query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>")
        .await;
    there
        .send(&format!(
            "<presence from='mallory@evil.example/x' to='coven@conference.localhost/m'>{join}</presence>"
        ))
        .await;
    alice.skip();
    there.skip();
    let blocks = house.router.fact::<ServerBlocks>().unwrap();
    let mut cx = house.router.cx().unwrap();
    blocks
        .block(&BareJid::parse("evil.example").unwrap(), &mut cx)
        .await
        .unwrap();
    house.router.finish(cx).await;
    alice
        .send(
            "<message to='coven@conference.localhost' id='g' type='groupchat'><body>secret</body></message>",
        )
        .await;
    assert!(alice.next().unwrap().contains("secret"), "the others do");
    let reached: Vec<String> = std::iter::from_fn(|| there.next()).collect();
    assert!(reached.iter().all(|xml| !xml.contains("secret")), "{reached:?}");
}

#[tokio::test]
async fn blocks_are_in_force_again_after_a_restart() {
    let house = House::configured(MODULES, PLAIN).await;
    let blocks = house.router.fact::<ServerBlocks>().unwrap();
    let mut cx = house.router.cx().unwrap();
    blocks
        .block(&BareJid::parse("evil.example").unwrap(), &mut cx)
        .await
        .unwrap();
    house.router.finish(cx).await;
    let house = House::on(house.db.clone(), MODULES, PLAIN).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("evil.example");
    assert_silent(&mut alice, &mut there, "mallory@evil.example/x").await;
}

#[tokio::test]
async fn the_queries_use_their_keys_and_work_on_both_databases() {
    for db in migrated_databases(&[store::MIGRATIONS]).await {
        let tables = store::BlockStore(db.db());
        let now = kim_core::clock::Timestamp(7);
        let address = BareJid::parse("evil.example").unwrap();
        assert!(tables.add_own(&address, now).await.unwrap());
        assert!(!tables.add_own(&address, now).await.unwrap());
        assert_eq!(
            tables.own("", 10).await.unwrap(),
            [("evil.example".to_owned(), now)]
        );
        assert_eq!(tables.own("evil.example", 10).await.unwrap(), []);
        assert!(tables.remove_own(&address).await.unwrap());
        assert!(!tables.remove_own(&address).await.unwrap());
        let (one, two) = ([1; 32], [2; 32]);
        tables.change_listed("s", &[one, two, one], &[]).await.unwrap();
        tables.change_listed("s", &[one], &[two]).await.unwrap();
        assert_eq!(tables.listed("s", 10).await.unwrap(), [one]);
        assert_eq!(tables.sources().await.unwrap(), ["s"]);
        tables.remove_source("s").await.unwrap();
        assert_eq!(tables.listed("s", 10).await.unwrap(), [[0; 32]; 0]);
        let query = |sql| kim_core::db::Query::new(sql).bind("a");
        db.assert_uses_index(query(store::OWN).bind(1_i64)).await;
        db.assert_uses_index(query(store::REMOVE_OWN)).await;
        db.assert_uses_index(query(store::LISTED).bind(1_i64)).await;
        db.assert_uses_index(query(store::REMOVE_LISTED).bind([0_u8; 32]))
            .await;
    }
}
