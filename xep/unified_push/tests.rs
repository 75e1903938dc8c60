//! Stories of an app on alice's phone whose server posts to it through her XMPP client.

use std::sync::Arc;

use kim_core::jid::BareJid;
use kim_core::testing::{Client, House};

use super::api::{PUSH_PATH, PushProvider, Pushed};
use crate::MODULES;

const CONFIG: &str =
    "[listen]\npublic_url = \"https://chat.example\"\n[unified_push]\nmessages_per_minute = 3\n";
const APP: &str = "bK3sdmrbtj3bf6XA2S12b8jJUA5TT1dhPEyeoZfVSRM=";
const INSTANCE: &str = "EtD/1XPLmoIph7W73CZ/uyv6FAnhEAXY1GySHX17vAw=";

fn registration(application: &str, instance: &str) -> String {
    format!(
        "<iq id='r' to='up.localhost' type='set'><register xmlns='http://gultsch.de/xmpp/drafts/unified-push' \
         application='{application}' instance='{instance}'/></iq>"
    )
}

/// What stands between two texts.
fn between(xml: &str, from: &str, to: &str) -> String {
    let rest = xml
        .split(from)
        .nth(1)
        .unwrap_or_else(|| panic!("{from} in {xml}"));
    rest.split(to).next().unwrap_or_default().to_owned()
}

/// Registers the app; gives the last part of its address.
async fn register(client: &mut Client) -> String {
    client.skip();
    client.send(&registration(APP, INSTANCE)).await;
    let answer = client.next().unwrap();
    let address = between(&answer, "endpoint='", "'");
    let token = address.strip_prefix(&format!("https://chat.example{PUSH_PATH}"));
    token
        .unwrap_or_else(|| panic!("an address here: {address}"))
        .to_owned()
}

/// Posts a message.
fn post(house: &House, token: &str, message: &'static [u8]) -> tokio::task::JoinHandle<Pushed> {
    let provider = house.router.fact::<PushProvider>().unwrap();
    let (router, token) = (house.router.clone(), token.to_owned());
    tokio::spawn(async move { provider.push(&token, message, &router).await.unwrap() })
}

/// The next stanza, for which something outside has to happen first.
async fn awaited(client: &mut Client) -> String {
    for _ in 0..1_000 {
        if let Some(xml) = client.next() {
            return xml;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("nothing came");
}

#[tokio::test]
async fn what_is_posted_comes_to_the_client_that_registered() {
    let house = House::configured(MODULES, CONFIG).await;
    let mut phone = house.online("alice@localhost/phone").await;
    let mut desk = house.online("alice@localhost/desk").await;
    let token = register(&mut phone).await;
    desk.skip();

    let posted = post(&house, &token, b"hello");
    let came = awaited(&mut phone).await;
    assert!(
        came.contains("from='up.localhost'") && came.contains("type='set'"),
        "{came}"
    );
    assert!(
        came.contains(APP) && came.contains(INSTANCE) && came.contains(">aGVsbG8=</push>"),
        "{came}"
    );
    let id = between(&came, "id='", "'");
    phone
        .send(&format!("<iq id='{id}' to='up.localhost' type='result'/>"))
        .await;
    assert_eq!(posted.await.unwrap(), Pushed::Taken);
    desk.expect_nothing();
}

#[tokio::test]
async fn an_app_that_is_gone_is_told_to_its_server() {
    let house = House::configured(MODULES, CONFIG).await;
    let mut phone = house.online("alice@localhost/phone").await;
    let token = register(&mut phone).await;
    for (condition, pushed) in [
        ("item-not-found", Pushed::Gone),
        ("feature-not-implemented", Pushed::Gone),
        ("resource-constraint", Pushed::Away),
    ] {
        let posted = post(&house, &token, b"hello");
        let id = between(&awaited(&mut phone).await, "id='", "'");
        let error = format!(
            "<error type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        );
        phone
            .send(&format!(
                "<iq id='{id}' to='up.localhost' type='error'>{error}</iq>"
            ))
            .await;
        assert_eq!(posted.await.unwrap(), pushed, "{condition}");
    }
    // That was a minute's worth.
    assert!(matches!(
        post(&house, &token, b"hello").await.unwrap(),
        Pushed::TooMany(1..=60)
    ));
}

#[tokio::test]
async fn a_phone_that_is_away_hears_of_it_later() {
    let house = House::configured(MODULES, CONFIG).await;
    let mut phone = house.online("alice@localhost/phone").await;
    let token = register(&mut phone).await;
    phone.disconnect().await;
    assert_eq!(post(&house, &token, b"hello").await.unwrap(), Pushed::Away);
    // Whoever has no account any more never will.
    let account = BareJid::parse("alice@localhost").unwrap();
    house.router.erase_account(&account).await.unwrap();
    assert_eq!(post(&house, &token, b"hello").await.unwrap(), Pushed::Gone);
}

#[tokio::test]
async fn addresses_expire_and_nobody_else_makes_them() {
    let house = House::configured(MODULES, CONFIG).await;
    let mut phone = house.online("alice@localhost/phone").await;
    let provider: Arc<PushProvider> = house.router.fact().unwrap();
    assert_eq!(
        provider.push("x", b"hello", &house.router).await.unwrap(),
        Pushed::Gone
    );
    let token = register(&mut phone).await;
    assert_eq!(
        provider.push(&token[1..], b"hello", &house.router).await.unwrap(),
        Pushed::Gone
    );
    house.clock.advance(14 * 86_400 + 1);
    assert_eq!(
        provider.push(&token, b"hello", &house.router).await.unwrap(),
        Pushed::Gone
    );
}

#[tokio::test]
async fn only_clients_of_accounts_register_and_by_hashes() {
    let house = House::configured(MODULES, CONFIG).await;
    let mut phone = house.online("alice@localhost/phone").await;
    phone.skip();
    for (application, instance, wrong) in [
        ("org.example.app", INSTANCE, "application"),
        (APP, "", "instance"),
    ] {
        phone.send(&registration(application, instance)).await;
        let answer = phone.next().unwrap();
        let why = format!("the attribute {wrong} must be a SHA-256 hash in base64");
        assert!(
            answer.contains("bad-request") && answer.contains(&why),
            "{answer}"
        );
    }
    let mut elsewhere = house.neighbour("example.org");
    let from_elsewhere = registration(APP, INSTANCE).replace("<iq ", "<iq from='bob@example.org/phone' ");
    elsewhere.send(&from_elsewhere).await;
    let answer = elsewhere.next().unwrap();
    assert!(answer.contains("forbidden"), "{answer}");
}

#[tokio::test]
async fn each_domain_has_a_push_server_of_its_own() {
    let config = format!("[server]\ndomains = [\"localhost\", \"second.example\"]\n{CONFIG}");
    let house = House::configured(MODULES, &config).await;
    let mut phone = house.online("carol@second.example/phone").await;
    phone.skip();
    phone.send(&registration(APP, INSTANCE)).await;
    let answer = phone.next().unwrap();
    assert!(
        answer.contains("not-acceptable") && answer.contains("register your apps at up.second.example"),
        "{answer}"
    );
    let here = registration(APP, INSTANCE).replace("up.localhost", "up.second.example");
    phone.send(&here).await;
    let address = between(&phone.next().unwrap(), "endpoint='", "'");
    let token = address.rsplit('/').next().unwrap();
    let posted = post(&house, token, b"hello");
    let came = awaited(&mut phone).await;
    assert!(came.contains("from='up.second.example'"), "{came}");
    let id = between(&came, "id='", "'");
    phone
        .send(&format!("<iq id='{id}' to='up.second.example' type='result'/>"))
        .await;
    assert_eq!(posted.await.unwrap(), Pushed::Taken);
}
