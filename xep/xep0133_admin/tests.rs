//! Stories of an administrator, and of those who would like to be one.

use kim_core::accounts::scram::Password;
use kim_core::error::StreamCondition;
use kim_core::jid::BareJid;
use kim_core::testing::{Client, House};

use crate::MODULES;

const COMMANDS: [&str; 11] = [
    "add-user",
    "delete-user",
    "end-user-session",
    "change-user-password",
    "get-user-roster",
    "user-stats",
    "get-registered-users-num",
    "get-online-users-num",
    "get-registered-users-list",
    "get-online-users-list",
    "announce",
];

async fn answer(client: &mut Client, node: &str, session: &str, inner: &str) -> String {
    client
        .send(&format!(
            "<iq id='x' to='localhost' type='set'><command xmlns='http://jabber.org/protocol/commands' \
             node='http://jabber.org/protocol/admin#{node}'{session}>{inner}</command></iq>"
        ))
        .await;
    client.next().expect("an answer")
}

/// Begins a command and fills in its form.
async fn run(client: &mut Client, node: &str, fields: &[(&str, &[&str])]) -> String {
    let page = answer(client, node, "", "").await;
    let (_, rest) = page.split_once("sessionid='").unwrap_or_else(|| panic!("{page}"));
    let session = format!(" sessionid='{}'", rest.split('\'').next().unwrap());
    let fields: String = fields
        .iter()
        .map(|(var, values)| {
            let values: String = values
                .iter()
                .map(|value| format!("<value>{value}</value>"))
                .collect();
            format!("<field var='{var}'>{values}</field>")
        })
        .collect();
    let form = format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/admin</value>\
         </field>{fields}</x>"
    );
    answer(client, node, &session, &form).await
}

fn is_done(answer: &str) -> bool {
    answer.contains("status='completed'")
}

async fn house() -> (House, Client) {
    let house = House::new(MODULES).await;
    let admin = house.connect("admin@localhost/desk").await;
    (house, admin)
}

async fn knows(house: &House, account: &str, password: &str) -> bool {
    let password = Password::prepare(password).unwrap();
    let account = BareJid::parse(account).unwrap();
    house.router.accounts().verify(&account, &password).await.unwrap()
}

#[tokio::test]
async fn nobody_else_may_do_or_see_any_of_it() {
    // §6.
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    let mut ghost = house.guest("ghost@guest.localhost/web").await;
    for node in COMMANDS {
        assert!(
            answer(&mut alice, node, "", "").await.contains("<forbidden"),
            "{node}"
        );
        assert!(
            answer(&mut ghost, node, "", "").await.contains("<forbidden"),
            "{node}"
        );
    }
    let list = "<iq id='i' to='localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#items' \
                node='http://jabber.org/protocol/commands'/></iq>";
    alice.send(list).await;
    assert!(!alice.next().unwrap().contains("protocol/admin"));
    let mut admin = house.connect("admin@localhost/desk").await;
    admin.send(list).await;
    let all = admin.next().unwrap();
    assert!(
        COMMANDS
            .iter()
            .all(|node| all.contains(&format!("admin#{node}'"))),
        "{all}"
    );
}

#[tokio::test]
async fn an_account_is_made_gets_another_password_and_goes() {
    // §4.1, §4.7, §4.2.
    let (house, mut admin) = house().await;
    let made = run(
        &mut admin,
        "add-user",
        &[
            ("accountjid", &["Juliet@localhost"]),
            ("password", &["R0m30"]),
            ("password-verify", &["R0m30"]),
        ],
    )
    .await;
    assert!(is_done(&made), "{made}");
    assert!(knows(&house, "juliet@localhost", "R0m30").await);

    let juliet = house.connect("juliet@localhost/phone").await;
    let fields: &[(&str, &[&str])] = &[("accountjid", &["juliet@localhost"]), ("password", &["other"])];
    assert!(is_done(&run(&mut admin, "change-user-password", fields).await));
    assert!(knows(&house, "juliet@localhost", "other").await);
    assert_eq!(
        juliet.closing().map(|error| error.condition),
        Some(StreamCondition::Reset)
    );

    let juliet = house.connect("juliet@localhost/tablet").await;
    let gone = run(
        &mut admin,
        "delete-user",
        &[("accountjids", &["juliet@localhost", "juliet@localhost"])],
    )
    .await;
    assert!(is_done(&gone), "{gone}");
    assert_eq!(
        juliet.closing().map(|error| error.condition),
        Some(StreamCondition::NotAuthorized)
    );
    assert!(!knows(&house, "juliet@localhost", "other").await);
    // The name is held back.
    let again: &[(&str, &[&str])] = &[("accountjid", &["juliet@localhost"]), ("password", &["x"])];
    assert!(run(&mut admin, "add-user", again).await.contains("<conflict"));
}

#[tokio::test]
async fn what_cannot_be_done_says_why_and_changes_nothing() {
    // §5.
    let (house, mut admin) = house().await;
    house.account("alice@localhost").await;
    let alice: &[&str] = &["alice@localhost"];
    for (node, fields, condition) in [
        (
            "add-user",
            vec![("accountjid", alice), ("password", &["x"] as &[&str])],
            "conflict",
        ),
        (
            "add-user",
            vec![("accountjid", &["bob@localhost"] as &[&str])],
            "bad-request",
        ),
        (
            "add-user",
            vec![
                ("accountjid", &["bob@localhost"]),
                ("password", &["a"]),
                ("password-verify", &["b"]),
            ],
            "bad-request",
        ),
        (
            "add-user",
            vec![("accountjid", &["bob@localhost/phone"]), ("password", &["a"])],
            "bad-request",
        ),
        (
            "add-user",
            vec![("accountjid", &["bob@elsewhere.example"]), ("password", &["a"])],
            "not-allowed",
        ),
        (
            "add-user",
            vec![("accountjid", &["bob@guest.localhost"]), ("password", &["a"])],
            "not-allowed",
        ),
        (
            "add-user",
            vec![("accountjid", &["localhost"]), ("password", &["a"])],
            "not-allowed",
        ),
        (
            "add-user",
            vec![("accountjid", &["@"]), ("password", &["a"])],
            "bad-request",
        ),
        ("add-user", vec![], "bad-request"),
        (
            "delete-user",
            vec![("accountjids", &["alice@localhost", "nobody@localhost"])],
            "item-not-found",
        ),
        (
            "delete-user",
            vec![("accountjids", &["admin@localhost"])],
            "not-allowed",
        ),
        ("delete-user", vec![("accountjids", &[])], "bad-request"),
        ("delete-user", vec![("accountjids", &["", " "])], "bad-request"),
        (
            "change-user-password",
            vec![("accountjid", &["nobody@localhost"]), ("password", &["x"])],
            "item-not-found",
        ),
        (
            "change-user-password",
            vec![("accountjid", alice), ("password", &[""])],
            "bad-request",
        ),
        (
            "end-user-session",
            vec![("accountjids", &["nobody@localhost/x"])],
            "item-not-found",
        ),
        (
            "get-user-roster",
            vec![("accountjids", &["alice@localhost", "admin@localhost"])],
            "bad-request",
        ),
        (
            "user-stats",
            vec![("accountjid", &["nobody@localhost"])],
            "item-not-found",
        ),
        (
            "get-registered-users-list",
            vec![("max_items", &["-1"])],
            "bad-request",
        ),
        ("announce", vec![("announcement", &["", "  "])], "bad-request"),
    ] {
        let refused = run(&mut admin, node, &fields).await;
        assert!(
            refused.contains(&format!("<{condition} ")),
            "{node} {fields:?}: {refused}"
        );
    }
    let many = vec!["alice@localhost"; 101];
    assert!(
        run(&mut admin, "delete-user", &[("accountjids", &many)])
            .await
            .contains("<bad-request")
    );
    assert!(knows(&house, "alice@localhost", "secret").await);
    assert_eq!(house.router.accounts().count().await.unwrap(), 2);
}

#[tokio::test]
async fn sessions_end_one_or_all() {
    // §4.5.
    let (house, mut admin) = house().await;
    let phone = house.connect("alice@localhost/phone").await;
    let laptop = house.connect("alice@localhost/laptop").await;
    let one: &[(&str, &[&str])] = &[("accountjids", &["alice@localhost/phone"])];
    assert!(is_done(&run(&mut admin, "end-user-session", one).await));
    assert!(phone.closing().is_some() && laptop.closing().is_none());
    let all: &[(&str, &[&str])] = &[("accountjids", &["alice@localhost"])];
    assert!(is_done(&run(&mut admin, "end-user-session", all).await));
    assert!(laptop.closing().is_some());
    // Nobody is there any more: that is what was wanted.
    assert!(is_done(&run(&mut admin, "end-user-session", all).await));
}

#[tokio::test]
async fn figures_and_lists() {
    // §4.8, §4.10, §4.13, §4.15, §4.18, §4.20.
    let (house, mut admin) = house().await;
    let _ghost = house.guest("ghost@guest.localhost/web").await;
    let mut alice = house.online("alice@localhost/phone").await;
    for n in 0..30 {
        house.account(&format!("extra{n:02}@localhost")).await;
    }
    alice
        .send(
            "<iq id='r' type='set'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='Bob &lt;'/></query></iq>",
        )
        .await;
    let count = answer(&mut admin, "get-registered-users-num", "", "").await;
    assert!(count.contains("<value>32</value>"), "{count}");
    let online = answer(&mut admin, "get-online-users-num", "", "").await;
    assert!(online.contains("<value>2</value>"), "{online}");
    let list = run(&mut admin, "get-registered-users-list", &[("max_items", &["25"])]).await;
    assert_eq!(list.matches("@localhost</value>").count(), 25);
    assert!(list.contains("<note type='warn'>25 of 32</note>"), "{list}");
    let list = run(
        &mut admin,
        "get-registered-users-list",
        &[("max_items", &["none"])],
    )
    .await;
    assert!(
        list.matches("@localhost</value>").count() == 32 && !list.contains("<note"),
        "{list}"
    );
    let list = run(&mut admin, "get-online-users-list", &[]).await;
    assert!(
        list.contains("alice@localhost") && !list.contains("ghost") && !list.contains("extra"),
        "{list}"
    );
    let roster = run(
        &mut admin,
        "get-user-roster",
        &[("accountjids", &["alice@localhost"])],
    )
    .await;
    assert!(
        roster.contains(
            "<query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='Bob &lt;' subscription='none'/>"
        ),
        "{roster}"
    );
    let stats = run(&mut admin, "user-stats", &[("accountjid", &["alice@localhost"])]).await;
    assert!(
        stats.contains("var='rostersize' label='Contacts'><value>1</value>")
            && stats.contains("<value>phone</value>"),
        "{stats}"
    );
}

#[tokio::test]
async fn everybody_who_is_online_hears_an_announcement() {
    // §4.23.
    let (house, mut admin) = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut silent = house.connect("bob@localhost/phone").await;
    let mut ghost = house.guest("ghost@guest.localhost/web").await;
    let done = run(
        &mut admin,
        "announce",
        &[("announcement", &["Lights out", "at &lt;ten&gt;"])],
    )
    .await;
    assert!(
        done.contains("<note type='info'>sent to 1 clients</note>"),
        "{done}"
    );
    alice.expect("<message from='localhost' to='alice@localhost/phone' type='headline'><body>Lights out\nat &lt;ten&gt;</body></message>");
    silent.expect_nothing();
    ghost.expect_nothing();
}

#[tokio::test]
async fn who_is_no_administrator_any_more_does_not_go_on() {
    // The role is asked at every step: what one administrator began, nobody else ends.
    let (house, mut admin) = house().await;
    let page = answer(&mut admin, "announce", "", "").await;
    let (_, rest) = page.split_once("sessionid='").unwrap();
    let session = format!(" sessionid='{}'", rest.split('\'').next().unwrap());
    let mut mallory = house.connect("mallory@localhost/web").await;
    let form =
        "<x xmlns='jabber:x:data' type='submit'><field var='announcement'><value>x</value></field></x>";
    assert!(
        answer(&mut mallory, "announce", &session, form)
            .await
            .contains("<forbidden")
    );
}
