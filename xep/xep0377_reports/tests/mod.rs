//! Reports, from the one who sends them to the administrator who acts.

use kim_core::jid::BareJid;
use kim_core::testing::{Client, House, Neighbour, migrated_databases};

use super::api::{AbuseContact, ReportAction, Reports};
use super::report::{Reason, ReportContent};
use super::store;
use crate::MODULES;
use crate::xep0191_server::api::ServerBlocks;

/// What stands in for keys in these stories is none, so nobody looks at them.
const PLAIN: &str = "[xep0384_omemo]\npolicy = \"off\"\n";
const COMMANDS: &str = "http://jabber.org/protocol/commands";
const SPAMMER: &str = "spammer@evil.example";

fn attr(xml: &str, name: &str) -> String {
    let (_, rest) = xml
        .split_once(&format!(" {name}='"))
        .unwrap_or_else(|| panic!("{name} in {xml}"));
    rest.split('\'').next().unwrap().to_owned()
}

fn reports(house: &House) -> std::sync::Arc<Reports> {
    house.router.fact::<Reports>().unwrap()
}

/// Blocks with what a report has in it.
async fn report(client: &mut Client, jid: &str, inside: &str) {
    let request = format!(
        "<iq id='b' type='set'><block xmlns='urn:xmpp:blocking'><item jid='{jid}'>{inside}</item></block></iq>"
    );
    client.send(&request).await;
    let answer = client.next().unwrap();
    assert!(answer.contains("type='result'"), "{answer}");
}

fn spam(inside: &str) -> String {
    format!("<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>{inside}</report>")
}

/// The next step of the command.
fn step(session: &str, fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    format!(
        "<iq id='s' to='localhost' type='set'><command xmlns='{COMMANDS}' node='urn:kim:reports:0#see' sessionid='{session}'>\
         <x xmlns='jabber:x:data' type='submit'>{fields}</x></command></iq>"
    )
}

/// Answers the question for the contact addresses.
async fn tell_contact(there: &mut Neighbour) {
    loop {
        let Some(asked) = there.next() else {
            tokio::task::yield_now().await;
            continue;
        };
        assert!(asked.contains("http://jabber.org/protocol/disco#info"), "{asked}");
        let (id, from) = (attr(&asked, "id"), attr(&asked, "to"));
        // Somebody else's word is not taken for it.
        let answer = |from: &str, mailbox: &str| {
            format!(
                "<iq from='{from}' to='localhost' id='{id}' type='result'>\
                 <query xmlns='http://jabber.org/protocol/disco#info'><x xmlns='jabber:x:data' type='result'>\
                 <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>\
                 <field var='abuse-addresses' type='list-multi'><value>mailto:{mailbox}</value></field></x></query></iq>"
            )
        };
        there
            .send(&answer(&format!("friend@{from}"), "forged@evil.example"))
            .await;
        there.send(&answer(&from, "abuse@evil.example")).await;
        return;
    }
}

#[tokio::test]
async fn a_spammer_is_reported_and_their_domain_blocked_in_one_step() {
    let house = House::configured(MODULES, PLAIN).await;
    let mut admin = house.online("admin@localhost/desk").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut there = house.neighbour("evil.example");
    there
        .send(&format!(
            "<message from='{SPAMMER}/x' to='alice@localhost' id='m' type='chat'><body>buy these pills</body></message>"
        ))
        .await;
    let message = alice.next().unwrap();
    let (_, sid) = message.split_once("<stanza-id").unwrap();
    let id = attr(sid, "id");
    alice.skip();
    there.skip();
    // §6: with the block, which is done as if no report were in it.
    let inside = format!(
        "<stanza-id xmlns='urn:xmpp:sid:0' by='alice@localhost' id='{id}'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='alice@localhost' id='made-up'/>\
         <text>Never came trouble to my house like this.</text><report-origin/>"
    );
    report(&mut alice, SPAMMER, &spam(&inside)).await;
    let told = admin.next().unwrap();
    assert!(
        told.contains("from='localhost'") && told.contains("kim report list"),
        "{told}"
    );
    // Calm: until somebody has looked there is no second one.
    report(&mut alice, "second@evil.example", &spam("")).await;
    admin.expect_nothing();

    let begin = format!(
        "<iq id='c' to='localhost' type='set'><command xmlns='{COMMANDS}' node='urn:kim:reports:0#see'/></iq>"
    );
    admin.send(&begin).await;
    let list = admin.next().unwrap();
    assert!(list.contains(&format!("{SPAMMER}: spam")), "{list}");
    let session = attr(&list, "sessionid");
    let (page, _) = reports(&house).page(None, true, 10).await.unwrap();
    let chosen = page
        .iter()
        .find(|kept| kept.content.reported.as_str() == SPAMMER)
        .unwrap()
        .id;
    let show = step(&session, &[("report", &chosen.to_string())]);
    tokio::join!(admin.send(&show), tell_contact(&mut there));
    let shown = admin.next().unwrap();
    for part in [
        "By: alice@localhost",
        "Never came trouble",
        "buy these pills",
        "mailto:abuse@evil.example",
        "agrees that you tell the reported server",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("forged"), "{shown}");
    admin.send(&step(&session, &[("action", "block-domain")])).await;
    let done = admin.next().unwrap();
    assert!(done.contains("blocked evil.example"), "{done}");
    assert_eq!(reports(&house).page(None, true, 10).await.unwrap().0.len(), 1);

    // Nothing of that domain arrives any more, also after a restart.
    for house in [&house, &House::on(house.db.clone(), MODULES, PLAIN).await] {
        let mut bob = house.online("bob@localhost/laptop").await;
        let mut there = house.neighbour("evil.example");
        for stanza in [
            "<message from='other@evil.example/x' to='bob@localhost' type='chat'><body>x</body></message>",
            "<presence from='other@evil.example' to='bob@localhost' type='subscribe'/>",
            "<presence from='other@evil.example/x' to='lobby@conference.localhost/o'>\
             <x xmlns='http://jabber.org/protocol/muc'/></presence>",
        ] {
            there.send(stanza).await;
        }
        bob.expect_nothing();
        let answers: Vec<String> = std::iter::from_fn(|| there.next()).collect();
        assert_eq!(answers.len(), 1, "only the message is answered: {answers:?}");
        bob.send("<message to='other@evil.example' id='o' type='chat'><body>x</body></message>")
            .await;
        let refused = bob.next().unwrap();
        assert!(refused.contains("remote-server-not-found"), "{refused}");
        there.expect_nothing();
        bob.disconnect().await;
    }
}

#[tokio::test]
async fn a_report_never_keeps_somebody_from_blocking() {
    let house = House::configured(MODULES, &format!("{PLAIN}[xep0377_reports]\nper_hour = 2\n")).await;
    let mut alice = house.online("alice@localhost/phone").await;
    // §4: without a reason it is none; one that nobody knows is kept as it is.
    report(&mut alice, SPAMMER, "<report xmlns='urn:xmpp:reporting:1'/>").await;
    assert_eq!(reports(&house).page(None, true, 10).await.unwrap().0.len(), 0);
    for number in 0..4 {
        let jid = format!("bot{number}@evil.example");
        report(
            &mut alice,
            &jid,
            "<report xmlns='urn:xmpp:reporting:1' reason='urn:example:rude'/>",
        )
        .await;
    }
    let (page, _) = reports(&house).page(None, true, 10).await.unwrap();
    assert_eq!(page.len(), 2, "two in an hour");
    assert_eq!(
        page[0].content.reason,
        Reason::Other("urn:example:rude".to_owned())
    );
    house.clock.advance(3_600);
    report(&mut alice, "bot9@evil.example", &spam("")).await;
    assert_eq!(reports(&house).page(None, true, 10).await.unwrap().0.len(), 3);
    alice
        .send("<iq id='l' type='get'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
        .await;
    let list = alice.next().unwrap();
    assert!(
        (0..4).all(|number| list.contains(&format!("bot{number}@"))),
        "{list}"
    );
}

#[tokio::test]
async fn only_messages_of_the_reported_are_disclosed() {
    let house = House::configured(MODULES, PLAIN).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/phone").await;
    bob.send("<message to='alice@localhost' id='m' type='chat'><body>between us</body></message>")
        .await;
    let message = alice.next().unwrap();
    let id = attr(message.split_once("<stanza-id").unwrap().1, "id");
    alice.skip();
    let named = format!("<stanza-id xmlns='urn:xmpp:sid:0' by='alice@localhost' id='{id}'/>");
    report(&mut alice, SPAMMER, &spam(&named)).await;
    let (page, _) = reports(&house).page(None, true, 10).await.unwrap();
    assert_eq!(page[0].content.messages, []);
}

#[tokio::test]
async fn a_text_and_the_number_of_messages_are_bounded() {
    let house = House::configured(MODULES, PLAIN).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let long = "x".repeat(20_000);
    report(&mut alice, SPAMMER, &spam(&format!("<text>{long}</text>"))).await;
    let (page, _) = reports(&house).page(None, true, 10).await.unwrap();
    assert_eq!(page[0].content.text.as_ref().unwrap().len(), 2_000);
}

#[tokio::test]
async fn an_account_of_this_server_is_blocked_by_a_report() {
    let house = House::configured(MODULES, PLAIN).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut mallory = house.online("mallory@localhost/phone").await;
    report(&mut alice, "mallory@localhost", &spam("")).await;
    let (page, _) = reports(&house).page(None, true, 10).await.unwrap();
    let (id, reports) = (page[0].id, reports(&house));
    let contact = reports.contact(&page[0].content.reported, &house.router).await;
    assert_eq!(contact, AbuseContact::Ourselves);
    let mut cx = house.router.cx().unwrap();
    assert!(reports.act(id, ReportAction::BlockDomain, &mut cx).await.is_err());
    assert_eq!(
        reports
            .act(id, ReportAction::BlockAccount, &mut cx)
            .await
            .unwrap(),
        "blocked mallory@localhost"
    );
    assert!(reports.act(id + 1, ReportAction::Dismiss, &mut cx).await.is_err());
    house.router.finish(cx).await;
    assert!(mallory.closing().is_some());
    mallory.skip();
    let blocks = house.router.fact::<ServerBlocks>().unwrap();
    let address = BareJid::parse("mallory@localhost").unwrap();
    assert!(blocks.is_blocked(&address).await.unwrap());
    assert_eq!(
        reports.find(id).await.unwrap().outcome.as_deref(),
        Some("blocked mallory@localhost")
    );
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_is_named_so() {
    let house = House::configured(MODULES, PLAIN).await;
    let nobody = kim_core::jid::Jid::parse("a@nowhere.example").unwrap();
    let contact = reports(&house).contact(&nobody, &house.router).await;
    assert_eq!(
        contact,
        AbuseContact::Unknown("the answer is remote-server-not-found".to_owned())
    );
}

#[tokio::test]
async fn reports_go_with_their_reporter_and_expire() {
    let house = House::configured(MODULES, PLAIN).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/phone").await;
    report(&mut alice, SPAMMER, &spam("")).await;
    report(&mut bob, SPAMMER, &spam("")).await;
    let open = async || reports(&house).page(None, false, 10).await.unwrap().0.len();
    assert_eq!(open().await, 2);
    house
        .router
        .erase_account(&BareJid::parse("alice@localhost").unwrap())
        .await
        .unwrap();
    assert_eq!(open().await, 1);
    house.clock.advance(89 * 86_400);
    house.router.tidy().await;
    assert_eq!(open().await, 1);
    house.clock.advance(2 * 86_400);
    house.router.tidy().await;
    assert_eq!(open().await, 0);
}

#[tokio::test]
async fn the_table_is_bounded_sealed_and_read_by_keys_on_both_databases() {
    for db in migrated_databases(&[kim_core::db::CORE_MIGRATIONS, store::MIGRATIONS]).await {
        let seals = kim_core::seal::Seals::with_key(db.db(), [7; 32]).await.unwrap();
        let reports = store::ReportStore { db: db.db(), seals };
        let alice = BareJid::parse("alice@localhost").unwrap();
        let content = ReportContent {
            reported: kim_core::jid::Jid::parse(SPAMMER).unwrap(),
            reason: Reason::Spam,
            text: Some("a <very> odd text".to_owned()),
            report_origin: false,
            third_party: true,
            messages: Vec::new(),
        };
        for id in 1..=5 {
            reports.add(id, &alice, &content, 3).await.unwrap();
        }
        let (page, next) = reports.page(i64::MAX, true, 2).await.unwrap();
        assert_eq!(page.iter().map(|kept| kept.id).collect::<Vec<_>>(), [5, 4]);
        assert_eq!(page[0].content, content);
        let (page, next) = reports.page(next.unwrap(), true, 2).await.unwrap();
        assert_eq!((page.len(), next), (1, None), "the oldest two are gone");
        reports.seen(vec![3]).await.unwrap();
        reports.close(4, "dismissed").await.unwrap();
        assert!(reports.find(3).await.unwrap().unwrap().is_seen);
        assert_eq!(reports.page(i64::MAX, true, 9).await.unwrap().0.len(), 2);
        let rows = db
            .fetch_all(kim_core::db::Query::new("SELECT content FROM abuse_reports"))
            .await
            .unwrap();
        let sealed = rows[0].bytes(0).unwrap();
        assert!(!sealed.windows(4).any(|part| part == b"very"));
        let query = |sql| kim_core::db::Query::new(sql);
        db.assert_uses_index(query(store::PAGE).bind(9_i64).bind(1_i64).bind(9_i64))
            .await;
        db.assert_uses_index(query(store::ONE).bind(9_i64)).await;
        db.assert_uses_index(query(store::ERASE).bind("a")).await;
    }
}
