//! XEP-0441: who wants what archived.

use super::*;

async fn set_prefs(client: &mut Client, prefs: &str) -> String {
    client.skip();
    client.send(&format!("<iq type='set' id='p'>{prefs}</iq>")).await;
    client.next().unwrap()
}

/// How many messages an archive has with somebody.
async fn archived_with(client: &mut Client, jid: &str) -> usize {
    ask(client, &form(&[("with", jid)])).await.ids.len()
}

#[tokio::test]
async fn by_default_everything_is_archived() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice
        .ask(
            "<iq type='get' id='p'><prefs xmlns='urn:xmpp:mam:2'/></iq>",
            "<iq type='result' id='p'><prefs xmlns='urn:xmpp:mam:2' default='always'><always/><never/></prefs></iq>",
        )
        .await;
}

#[tokio::test]
async fn the_lists_go_before_the_default_and_each_side_decides_for_itself() {
    // §2.1, §2.3
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let prefs = "<prefs xmlns='urn:xmpp:mam:2' default='never'><always><jid>bob@localhost/laptop</jid>\
                 <jid>CAROL@localhost</jid></always><never><jid>dave@localhost</jid></never></prefs>";
    let answer = set_prefs(&mut alice, prefs).await;
    assert!(
        answer.contains(
            "default='never'><always><jid>bob@localhost/laptop</jid><jid>carol@localhost</jid></always>"
        ),
        "{answer}"
    );
    for account in ["carol@localhost", "dave@localhost", "eve@localhost"] {
        house.account(account).await;
    }
    for to in [
        "bob@localhost/laptop",
        "bob@localhost",
        "carol@localhost",
        "carol@localhost/x",
        "dave@localhost",
        "eve@localhost",
    ] {
        say(&mut alice, to, "x").await;
    }
    for (jid, count) in [
        ("bob@localhost", 1),
        ("carol@localhost", 2),
        ("dave@localhost", 0),
        ("eve@localhost", 0),
    ] {
        assert_eq!(archived_with(&mut alice, jid).await, count, "{jid}");
    }
    // Incoming messages go by their sender.
    say(&mut bob, "alice@localhost", "from the listed client").await;
    assert_eq!(archived_with(&mut alice, "bob@localhost").await, 2);
    // Bob never said that he wants nothing archived.
    assert_eq!(archived_with(&mut bob, "alice@localhost").await, 3);

    let never =
        "<prefs xmlns='urn:xmpp:mam:2' default='always'><never><jid>bob@localhost</jid></never></prefs>";
    set_prefs(&mut alice, never).await;
    alice.skip();
    say(&mut bob, "alice@localhost", "y").await;
    assert!(
        !alice.next().unwrap().contains("stanza-id"),
        "what is not archived has no id"
    );
    say(&mut alice, "eve@localhost", "y").await;
    assert_eq!(
        (
            archived_with(&mut alice, "bob@localhost").await,
            archived_with(&mut alice, "eve@localhost").await
        ),
        (2, 1)
    );
}

#[tokio::test]
async fn roster_means_those_in_the_roster() {
    // §2.1.1
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    house.account("bob@localhost").await;
    house.account("carol@localhost").await;
    alice
        .send(
            "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='bob@localhost'/></query></iq>",
        )
        .await;
    set_prefs(&mut alice, "<prefs xmlns='urn:xmpp:mam:2' default='roster'/>").await;
    say(&mut alice, "bob@localhost/x", "to a contact").await;
    say(&mut alice, "carol@localhost", "to a stranger").await;
    assert_eq!(
        (
            archived_with(&mut alice, "bob@localhost").await,
            archived_with(&mut alice, "carol@localhost").await
        ),
        (1, 0)
    );
}

/// What the operator sets for accounts that have set nothing.
async fn house_with_default(policy: &str) -> House {
    House::configured(MODULES, &format!("[xep0313_mam]\ndefault = \"{policy}\"\n")).await
}

#[tokio::test]
async fn an_account_that_has_set_nothing_goes_by_the_operators_default() {
    // XEP-0441 §2.1.1
    for (policy, with_contact, with_stranger) in [("always", 1, 1), ("roster", 1, 0), ("never", 0, 0)] {
        let house = house_with_default(policy).await;
        let mut alice = house.online("alice@localhost/phone").await;
        house.account("bob@localhost").await;
        house.account("carol@localhost").await;
        alice
            .ask(
                "<iq type='get' id='p'><prefs xmlns='urn:xmpp:mam:2'/></iq>",
                &format!(
                    "<iq type='result' id='p'><prefs xmlns='urn:xmpp:mam:2' default='{policy}'><always/><never/></prefs></iq>"
                ),
            )
            .await;
        alice
            .send("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='bob@localhost'/></query></iq>")
            .await;
        say(&mut alice, "bob@localhost", "to a contact").await;
        say(&mut alice, "carol@localhost", "to a stranger").await;
        assert_eq!(
            archived_with(&mut alice, "bob@localhost").await,
            with_contact,
            "{policy}"
        );
        assert_eq!(
            archived_with(&mut alice, "carol@localhost").await,
            with_stranger,
            "{policy}"
        );

        // What the account says itself counts more.
        set_prefs(&mut alice, "<prefs xmlns='urn:xmpp:mam:2' default='always'/>").await;
        say(&mut alice, "carol@localhost", "again").await;
        assert_eq!(
            archived_with(&mut alice, "carol@localhost").await,
            with_stranger + 1,
            "{policy}"
        );
    }
}

#[tokio::test]
async fn without_an_archive_messages_wait_for_who_is_away() {
    // XEP-0160
    for policy in ["always", "roster", "never"] {
        let house = house_with_default(policy).await;
        let mut alice = house.online("alice@localhost/phone").await;
        house.account("bob@localhost").await;
        for number in 0..3 {
            say(&mut alice, "bob@localhost", &format!("number {number}")).await;
        }
        alice.expect_nothing();
        let mut bob = house.connect("bob@localhost/laptop").await;
        bob.send("<presence/>").await;
        let came: Vec<String> = std::iter::from_fn(|| bob.next())
            .filter(|stanza| stanza.starts_with("<message"))
            .collect();
        assert_eq!(came.len(), 3, "{policy}: {came:#?}");
        for (number, stanza) in came.iter().enumerate() {
            assert!(
                stanza.contains(&format!("number {number}")),
                "{policy}: {came:#?}"
            );
        }
        // Once.
        bob.send("<presence type='unavailable'/>").await;
        bob.send("<presence/>").await;
        assert!(
            std::iter::from_fn(|| bob.next()).all(|stanza| !stanza.starts_with("<message")),
            "{policy}"
        );
    }
}

#[tokio::test]
async fn preferences_last_and_are_not_readable_in_the_database() {
    let db = kim_core::testing::TestDb::sqlite().await;
    let house = House::on(db.db(), MODULES, "").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let prefs = "<prefs xmlns='urn:xmpp:mam:2' default='never'><always><jid>secret-friend@localhost</jid></always></prefs>";
    set_prefs(&mut alice, prefs).await;
    let again = House::on(db.db(), MODULES, "").await;
    let mut alice = again.online("alice@localhost/phone").await;
    alice
        .send("<iq type='get' id='p'><prefs xmlns='urn:xmpp:mam:2'/></iq>")
        .await;
    assert!(
        alice
            .next()
            .unwrap()
            .contains("<always><jid>secret-friend@localhost</jid></always>")
    );
    let rows = db
        .fetch_all(kim_core::db::Query::new("SELECT prefs FROM mam_prefs"))
        .await
        .unwrap();
    let sealed = rows[0].bytes(0).unwrap();
    assert!(!String::from_utf8_lossy(&sealed).contains("secret"));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let house = house().await;
    let mut alice = house.online("alice@localhost/phone").await;
    let many: String = (0..501).map(|n| format!("<jid>u{n}@localhost</jid>")).collect();
    for (prefs, condition) in [
        ("<prefs xmlns='urn:xmpp:mam:2'/>".to_owned(), "bad-request"),
        (
            "<prefs xmlns='urn:xmpp:mam:2' default='sometimes'/>".to_owned(),
            "bad-request",
        ),
        (
            "<prefs xmlns='urn:xmpp:mam:2' default='never'><never><jid>@</jid></never></prefs>".to_owned(),
            "jid-malformed",
        ),
        (
            format!("<prefs xmlns='urn:xmpp:mam:2' default='never'><never>{many}</never></prefs>"),
            "resource-constraint",
        ),
    ] {
        let answer = set_prefs(&mut alice, &prefs).await;
        assert!(answer.contains(&format!("<{condition} ")), "{answer}");
    }
    alice
        .send("<iq type='get' id='p'><prefs xmlns='urn:xmpp:mam:2'/></iq>")
        .await;
    assert!(
        alice
            .next()
            .unwrap()
            .contains("default='always'><always/><never/>")
    );
}
