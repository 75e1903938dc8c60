//! Stories of accounts that come and go.

use std::net::IpAddr;

use kim_core::accounts::scram::Password;
use kim_core::error::StreamCondition;
use kim_core::events::BeforeLogin;
use kim_core::jid::BareJid;
use kim_core::module::Entry;
use kim_core::stanza::Stanza;
use kim_core::testing::House;

use super::Register;

const OPEN: &str = "[registration]\nopen = true\n";

async fn house(toml: &str) -> House {
    House::configured(&[Entry::of::<Register>()], toml).await
}

/// Sends an iq on a stream that has not signed in and gives the answer.
async fn before_login(house: &House, address: &str, xml: &str) -> String {
    let event = BeforeLogin {
        stanza: Stanza::parse(xml).unwrap(),
        domain: "localhost".into(),
        address: address.parse::<IpAddr>().unwrap(),
        facts: Default::default(),
        reply: None,
    };
    house
        .router
        .before_login(event)
        .await
        .expect("an answer")
        .to_xml()
}

fn set(username: &str, password: &str) -> String {
    format!(
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{username}</username>\
         <password>{password}</password></query></iq>"
    )
}

async fn signs_in(house: &House, jid: &str, password: &str) -> bool {
    let password = Password::prepare(password).unwrap();
    house
        .router
        .accounts()
        .verify(&BareJid::parse(jid).unwrap(), &password)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_newcomer_registers_where_registration_is_open() {
    let house = house(OPEN).await;
    let fields = before_login(
        &house,
        "192.0.2.1",
        "<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>",
    )
    .await;
    assert!(
        fields.contains("<username/>") && fields.contains("<password/>"),
        "{fields}"
    );
    let done = before_login(&house, "192.0.2.1", &set("Bill", "Calliope")).await;
    assert_eq!(done, "<iq id='r' type='result'/>");
    assert!(signs_in(&house, "bill@localhost", "Calliope").await);
    let again = before_login(&house, "192.0.2.1", &set("bill", "other")).await;
    assert!(again.contains("<conflict"), "{again}");
    assert!(signs_in(&house, "bill@localhost", "Calliope").await);
}

#[tokio::test]
async fn a_data_form_is_understood_too() {
    let house = house(OPEN).await;
    let form = "<iq type='set' id='r'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>\
                <field var='FORM_TYPE'><value>jabber:iq:register</value></field>\
                <field var='username'><value>juliet</value></field><field var='password'><value>pw</value></field>\
                </x></query></iq>";
    assert_eq!(
        before_login(&house, "192.0.2.1", form).await,
        "<iq id='r' type='result'/>"
    );
    assert!(signs_in(&house, "juliet@localhost", "pw").await);
}

#[tokio::test]
async fn closed_registration_says_so() {
    let house = house("").await;
    for xml in [
        set("bill", "Calliope"),
        "<iq type='get' id='f'><query xmlns='jabber:iq:register'/></iq>".into(),
    ] {
        assert!(
            before_login(&house, "192.0.2.1", &xml)
                .await
                .contains("<not-allowed")
        );
    }
    assert!(
        !house
            .router
            .accounts()
            .exists(&BareJid::parse("bill@localhost").unwrap())
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused() {
    let house = house(OPEN).await;
    for (username, password, condition) in [
        ("", "x", "not-acceptable"),
        ("bill", "", "not-acceptable"),
        ("bi ll", "x", "not-acceptable"),
        ("bill@elsewhere", "x", "not-acceptable"),
        ("\u{ad}", "x", "not-acceptable"),
        ("Admin", "x", "conflict"),
        ("postmaster", "x", "conflict"),
    ] {
        let answer = before_login(&house, "192.0.2.1", &set(username, password)).await;
        assert!(
            answer.contains(&format!("<{condition}")),
            "{username:?}: {answer}"
        );
    }
    // XEP-0077 §3.1.1 leaves the reason to the text.
    let answer = before_login(&house, "192.0.2.1", &set("bi ll", "x")).await;
    assert!(
        answer.contains(">a username cannot contain spaces</text>"),
        "{answer}"
    );
    let answer = before_login(
        &house,
        "192.0.2.1",
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>",
    )
    .await;
    assert!(answer.contains("<unexpected-request"), "{answer}");
}

/// The operator's own address must not be for the taking (`[server] admins`).
#[tokio::test]
async fn nobody_registers_as_an_administrator() {
    let house = house("[server]\nadmins = [\"chief@localhost\"]\n[registration]\nopen = true\n").await;
    assert!(
        before_login(&house, "192.0.2.1", &set("CHIEF", "x"))
            .await
            .contains("<conflict")
    );
}

#[tokio::test]
async fn one_network_registers_a_few_accounts_an_hour() {
    let house = house(OPEN).await;
    for name in ["a1", "a2", "a3"] {
        let answer = before_login(&house, "2001:db8:1:2::1", &set(name, "x")).await;
        assert!(answer.contains("type='result'"), "{answer}");
    }
    // Another address of the same /64 is the same subscriber.
    let refused = before_login(&house, "2001:db8:1:2:ffff::9", &set("a4", "x")).await;
    assert!(
        refused.contains("type='wait'") && refused.contains("<resource-constraint"),
        "{refused}"
    );
    let other = before_login(&house, "2001:db8:1:3::1", &set("a5", "x")).await;
    assert!(other.contains("type='result'"), "{other}");
}

#[tokio::test]
async fn an_owner_changes_the_password_and_other_devices_sign_in_again() {
    let house = house("").await;
    let mut phone = house.connect("bill@localhost/phone").await;
    let laptop = house.connect("bill@localhost/laptop").await;
    phone
        .ask(
            "<iq type='set' to='localhost' id='c'><query xmlns='jabber:iq:register'><username>bill</username>\
             <password>newpass</password></query></iq>",
            "<iq id='c' from='localhost' type='result'/>",
        )
        .await;
    assert!(signs_in(&house, "bill@localhost", "newpass").await);
    assert_eq!(
        laptop.closing().map(|error| error.condition),
        Some(StreamCondition::Reset)
    );
    assert_eq!(phone.closing(), None);
}

#[tokio::test]
async fn a_password_change_that_is_not_one_changes_nothing() {
    let house = house("").await;
    house.account("juliet@localhost").await;
    let mut bill = house.connect("bill@localhost/phone").await;
    for (fields, condition) in [
        ("<username>bill</username><password/>", "bad-request"),
        ("<username>bill</username>", "bad-request"),
        (
            "<username>juliet</username><password>mine</password>",
            "forbidden",
        ),
    ] {
        bill.send(&format!(
            "<iq type='set' id='c'><query xmlns='jabber:iq:register'>{fields}</query></iq>"
        ))
        .await;
        assert!(
            bill.next()
                .is_some_and(|answer| answer.contains(&format!("<{condition}"))),
            "{fields}"
        );
    }
    assert!(signs_in(&house, "bill@localhost", "secret").await);
    assert!(signs_in(&house, "juliet@localhost", "secret").await);
}

#[tokio::test]
async fn removing_an_account_ends_its_sessions_and_holds_its_name() {
    let house = house(OPEN).await;
    let mut phone = house.connect("bill@localhost/phone").await;
    let mut laptop = house.connect("bill@localhost/laptop").await;
    phone
        .send("<iq type='set' id='u'><query xmlns='jabber:iq:register'><remove/><username/></query></iq>")
        .await;
    assert!(phone.next().is_some_and(|answer| answer.contains("<bad-request")));
    phone
        .ask(
            "<iq type='set' id='u'><query xmlns='jabber:iq:register'><remove/></query></iq>",
            "<iq id='u' type='result'/>",
        )
        .await;
    for client in [&phone, &laptop] {
        assert_eq!(
            client.closing().map(|error| error.condition),
            Some(StreamCondition::NotAuthorized)
        );
    }
    assert!(!signs_in(&house, "bill@localhost", "secret").await);
    // Its sockets may be open for a moment longer: nothing that comes from them is heard.
    laptop
        .send("<iq type='get' id='p'><query xmlns='jabber:iq:register'/></iq>")
        .await;
    laptop.expect_nothing();
    assert!(
        before_login(&house, "192.0.2.1", &set("bill", "x"))
            .await
            .contains("<conflict")
    );
}

/// §3.1.1, §3.3: each reason has a sentence of its own, the same at both doors.
#[tokio::test]
async fn a_password_refused_says_why() {
    let house = house(OPEN).await;
    let mut bill = house.connect("bill@localhost/phone").await;
    for (password, why) in [
        (String::new(), "the password is empty"),
        (
            "x".repeat(1_024),
            "the password is too long; it can have 1023 bytes",
        ),
        (
            "é".repeat(512),
            "the password is too long; it can have 1023 bytes",
        ),
        (
            "a\u{85}b".to_owned(),
            "the password contains unsupported characters",
        ),
    ] {
        let new = before_login(&house, "192.0.2.1", &set("anna", &password)).await;
        assert!(new.contains("<not-acceptable") && new.contains(why), "{new}");
        bill.send(&set("bill", &password)).await;
        let change = bill.next().unwrap();
        let condition = if password.is_empty() {
            "<bad-request"
        } else {
            "<not-acceptable"
        };
        assert!(change.contains(condition) && change.contains(why), "{change}");
    }
    // As long as one may be.
    let done = before_login(&house, "192.0.2.1", &set("anna", &"x".repeat(1_023))).await;
    assert_eq!(done, "<iq id='r' type='result'/>");
}

#[tokio::test]
async fn a_name_that_looks_like_another_is_refused() {
    let house = house("[server]\nadmins = [\"chief@localhost\"]\n[registration]\nopen = true\n").await;
    house.account("alice@localhost").await;
    let refused = before_login(&house, "192.0.2.1", &set("\u{430}lice", "x")).await;
    assert!(
        refused.contains("type='cancel'")
            && refused.contains("<conflict")
            && refused.contains("looks like that of another account"),
        "{refused}"
    );
    // Nor one like the operator's, or like a name that is reserved.
    for name in ["\u{441}hief", "\u{430}dmin", "supp\u{3bf}rt"] {
        let refused = before_login(&house, "192.0.2.1", &set(name, "x")).await;
        assert!(
            refused.contains("<conflict") && refused.contains("reserved"),
            "{refused}"
        );
    }
}
