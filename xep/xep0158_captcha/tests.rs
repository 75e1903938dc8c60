//! Stories of newcomers who solve what they are asked, and of some who do not.

use std::net::IpAddr;

use kim_core::clock::Timestamp;
use kim_core::events::BeforeLogin;
use kim_core::jid::BareJid;
use kim_core::module::Entry;
use kim_core::ns::DATA;
use kim_core::stanza::Stanza;
use kim_core::testing::House;
use sha2::{Digest, Sha256};

use super::RegistrationChallenges;
use super::api::RegistrationGate;
use super::challenge::{BadAnswer, Challenge, ChallengeKey, Recipient};
use crate::xep0077_register::Register;

const OPEN: &str = "[listen]\npublic_url = \"https://chat.example.org\"\n[registration]\nopen = true\n\
     [limits]\nregistrations_per_address_per_hour = 1000\n";
const NEAR: &str = "192.0.2.1";
const ASK: &str = "<iq type='get' id='reg1'><query xmlns='jabber:iq:register'/></iq>";
const DONE: &str = "<iq id='r' type='result'/>";

async fn house(more: &str) -> House {
    let modules = [Entry::of::<Register>(), Entry::of::<RegistrationChallenges>()];
    let challenges = "[xep0158_captcha]\nbits = 6\nbits_max = 8\ncalm_per_hour = 2\nform = true\n";
    House::configured(&modules, &format!("{OPEN}{challenges}{more}")).await
}

async fn send(house: &House, address: &str, xml: &str) -> Stanza {
    let event = BeforeLogin {
        stanza: Stanza::parse(xml).unwrap(),
        domain: "localhost".into(),
        address: address.parse::<IpAddr>().unwrap(),
        facts: Default::default(),
        reply: None,
    };
    house.router.before_login(event).await.expect("an answer")
}

/// What a client reads from the form.
#[derive(Clone)]
struct Form {
    id: String,
    from: String,
    label: String,
}

async fn form(house: &House, address: &str) -> Form {
    let answer = send(house, address, ASK).await;
    let query = answer.child("query", "jabber:iq:register").unwrap();
    let form = query.child("x", DATA).expect("a form");
    let field = |name: &str| {
        form.children()
            .find(|field| field.attr("var").is_some_and(|var| var == name))
            .unwrap_or_else(|| panic!("no {name}"))
    };
    let value = |name: &str| field(name).child("value", DATA).unwrap().text().into_owned();
    assert_eq!(value("FORM_TYPE"), "jabber:iq:register");
    assert_eq!(value("sid"), "reg1");
    Form {
        id: value("challenge"),
        from: value("from"),
        label: field("SHA-256").attr("label").unwrap().into_owned(),
    }
}

/// The first text from `start` on of which the check says what is wanted.
fn text(form: &Form, wanted: bool) -> String {
    let label = u64::from_str_radix(&form.label, 16).unwrap();
    let mask = (1 << (u64::BITS - label.leading_zeros())) - 1;
    (0_u64..)
        .map(|count| format!("{}{count}", form.from))
        .find(|text| {
            let hash = Sha256::digest(text.as_bytes());
            let end = u64::from_be_bytes(hash[24..].try_into().unwrap());
            (end & mask == label) == wanted
        })
        .unwrap()
}

fn submit(name: &str, form: &Form, text: &str) -> String {
    format!(
        "<iq type='set' id='r'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>jabber:iq:register</value></field>\
         <field var='challenge'><value>{}</value></field><field var='SHA-256'><value>{text}</value></field>\
         <field var='username'><value>{name}</value></field><field var='password'><value>pw</value></field>\
         </x></query></iq>",
        form.id
    )
}

async fn exists(house: &House, name: &str) -> bool {
    let account = BareJid::new(Some(name), "localhost").unwrap();
    house.router.accounts().exists(&account).await.unwrap()
}

/// Sends it and expects an error with this condition.
async fn refused(house: &House, address: &str, xml: &str, condition: &str) -> String {
    let answer = send(house, address, xml).await.to_xml();
    assert!(
        answer.contains(&format!("<{condition} ")),
        "{condition}: {answer}"
    );
    answer
}

/// §4: the form is filled in and sent back. There are no fields that an app could take for enough.
#[tokio::test]
async fn a_client_that_solves_the_challenge_registers() {
    let house = house("").await;
    let asked = send(&house, NEAR, ASK).await;
    assert!(
        !asked
            .child("query", "jabber:iq:register")
            .unwrap()
            .to_xml()
            .contains("<username")
    );
    let form = form(&house, NEAR).await;
    let answer = submit("bill", &form, &text(&form, true));
    assert_eq!(send(&house, NEAR, &answer).await.to_xml(), DONE);
    assert!(exists(&house, "bill").await);
    let gate = house.router.fact::<RegistrationGate>().unwrap();
    assert_eq!((gate.passed(), gate.refused()), (1, 0));
}

/// XEP-0077 §5: what apps do not know how to solve they are not shown, but where their users can register.
#[tokio::test]
async fn a_client_that_knows_no_challenges_is_shown_the_page() {
    let modules = [Entry::of::<Register>(), Entry::of::<RegistrationChallenges>()];
    let house = House::configured(&modules, OPEN).await;
    let asked = send(&house, NEAR, ASK).await.to_xml();
    assert_eq!(
        asked,
        "<iq id='reg1' type='result'><query xmlns='jabber:iq:register'>\
         <instructions>Register in a browser: https://chat.example.org/register</instructions>\
         <x xmlns='jabber:x:oob'><url>https://chat.example.org/register</url></x></query></iq>"
    );
    let plain = "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>bill</username>\
                 <password>pw</password></query></iq>";
    let error = refused(&house, NEAR, plain, "not-acceptable").await;
    assert!(error.contains("https://chat.example.org/register"), "{error}");
    assert!(!exists(&house, "bill").await);
}

#[tokio::test]
async fn a_wrong_answer_is_refused_and_another_may_be_tried() {
    let house = house("").await;
    let form = form(&house, NEAR).await;
    for wrong in [
        text(&form, false),
        String::new(),
        text(&form, true)[1..].to_owned(),
    ] {
        refused(&house, NEAR, &submit("bill", &form, &wrong), "not-acceptable").await;
    }
    assert!(!exists(&house, "bill").await);
    let right = submit("bill", &form, &text(&form, true));
    assert_eq!(send(&house, NEAR, &right).await.to_xml(), DONE);
}

/// §3.1.4: "The sender already submitted its response to this challenge."
#[tokio::test]
async fn a_challenge_is_good_for_one_account() {
    let house = house("").await;
    let form = form(&house, NEAR).await;
    let text = text(&form, true);
    // A name that is not to be had costs nothing.
    refused(&house, NEAR, &submit("admin", &form, &text), "conflict").await;
    assert_eq!(
        send(&house, NEAR, &submit("bill", &form, &text)).await.to_xml(),
        DONE
    );
    refused(&house, NEAR, &submit("bob", &form, &text), "service-unavailable").await;
    // Nor under another spelling of its id.
    let shouted = Form {
        id: form.id.to_ascii_uppercase(),
        ..form
    };
    refused(
        &house,
        NEAR,
        &submit("bob", &shouted, &text),
        "service-unavailable",
    )
    .await;
    assert!(!exists(&house, "bob").await);
}

/// §3.1.4: "The sender took too long to submit its response."
#[tokio::test]
async fn a_challenge_expires() {
    let house = house("seconds = 60\n").await;
    let form = form(&house, NEAR).await;
    house.clock.advance(61);
    let late = submit("bill", &form, &text(&form, true));
    refused(&house, NEAR, &late, "service-unavailable").await;
    assert!(!exists(&house, "bill").await);
}

/// §3.1.4: "The challenger did not send the specified challenge."
#[tokio::test]
async fn nobody_answers_the_challenge_of_another() {
    let house = house("").await;
    let form = form(&house, NEAR).await;
    let answer = submit("bill", &form, &text(&form, true));
    refused(&house, "198.51.100.7", &answer, "service-unavailable").await;
    // A challenge that somebody made up, and one whose label was made easier.
    for id in [
        "abc",
        "",
        &format!("a{}", &form.id[1..]),
        &form.id.replace(&form.id[20..24], "aaaa"),
    ] {
        let forged = Form {
            id: id.to_owned(),
            ..form.clone()
        };
        if forged.id != form.id {
            let answer = submit("bill", &forged, &text(&form, true));
            refused(&house, NEAR, &answer, "service-unavailable").await;
        }
    }
    assert!(!exists(&house, "bill").await);
    assert_eq!(send(&house, NEAR, &answer).await.to_xml(), DONE);
}

#[tokio::test]
async fn many_accounts_make_the_next_ones_dearer_for_a_while() {
    let house = house("").await;
    let gate = house.router.fact::<RegistrationGate>().unwrap();
    let bits = || gate.bits(house.clock.now());
    let mut seen = vec![bits()];
    for n in 0..10 {
        let form = form(&house, NEAR).await;
        let answer = submit(&format!("bill{n}"), &form, &text(&form, true));
        assert_eq!(send(&house, NEAR, &answer).await.to_xml(), DONE);
        seen.push(bits());
    }
    // Two an hour are nothing unusual; it never gets dearer than the operator wants.
    assert_eq!(seen[..3], [6, 6, 6]);
    assert_eq!((seen.iter().max(), seen.last()), (Some(&8), Some(&8)));
    assert!(seen.is_sorted());
    house.clock.advance(4 * 3_600);
    assert_eq!(bits(), 6);
}

/// Easy challenges that were collected before cannot be used once there are too many.
#[tokio::test]
async fn a_challenge_that_has_become_too_easy_is_void() {
    let house = house("seconds = 86400\n").await;
    let early = form(&house, NEAR).await;
    let gate = house.router.fact::<RegistrationGate>().unwrap();
    let mut count = 0;
    while gate.bits(house.clock.now()) < 8 {
        let form = form(&house, NEAR).await;
        let answer = submit(&format!("bill{count}"), &form, &text(&form, true));
        assert_eq!(send(&house, NEAR, &answer).await.to_xml(), DONE);
        count += 1;
    }
    let answer = submit("bob", &early, &text(&early, true));
    let error = refused(&house, NEAR, &answer, "service-unavailable").await;
    assert!(error.contains("ask for a new one"), "{error}");
    // One bit more is forgiven.
    house.clock.advance(3_600);
    assert_eq!(gate.bits(house.clock.now()), 7);
    assert_eq!(send(&house, NEAR, &answer).await.to_xml(), DONE);
}

#[tokio::test]
async fn where_registration_is_closed_nothing_is_asked() {
    let modules = [Entry::of::<Register>(), Entry::of::<RegistrationChallenges>()];
    let house = House::configured(&modules, "").await;
    refused(&house, NEAR, ASK, "not-allowed").await;
    assert!(house.router.fact::<RegistrationGate>().is_none());
}

/// §6.2: as many bits as configured, neither more nor fewer, whatever the number.
#[test]
fn a_label_has_its_bits() {
    for bits in 1..=31 {
        for _ in 0..50 {
            let label = Challenge::new(bits, Timestamp(1)).label;
            assert_eq!(u32::BITS - label.leading_zeros(), bits);
        }
    }
}

#[test]
fn a_challenge_is_recognised_by_its_maker_alone() {
    let (key, other) = (ChallengeKey::new(), ChallengeKey::new());
    let recipient = |domain| Recipient {
        domain,
        network: NEAR.parse().unwrap(),
    };
    let challenge = Challenge::new(18, Timestamp(10));
    let token = challenge.token(&key, recipient("localhost")).unwrap();
    let read = |key, domain, now| Challenge::of_token(&token, key, recipient(domain), Timestamp(now));
    assert_eq!(read(&key, "localhost", 9), Ok(challenge));
    assert_eq!(read(&key, "localhost", 10), Err(BadAnswer::Void));
    assert_eq!(read(&key, "example.org", 9), Err(BadAnswer::Void));
    assert_eq!(read(&other, "localhost", 9), Err(BadAnswer::Void));
}

/// §6.2 as it stands in the text: the end of the hash, not its beginning.
#[test]
fn the_end_of_the_hash_counts() {
    let mut challenge = Challenge::new(4, Timestamp(1));
    let text = format!("{}x", challenge.from("localhost"));
    let last = u32::from(Sha256::digest(text.as_bytes())[31] & 0xf);
    for label in 8..16 {
        challenge.label = label;
        assert_eq!(challenge.check("localhost", &text).is_ok(), label == last);
    }
}
