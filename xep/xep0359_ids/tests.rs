//! Ids in our name by others than clients, and the hints.

use kim_core::jid::Jid;
use kim_core::module::Entry;
use kim_core::router::Redelivered;
use kim_core::stanza::Stanza;
use kim_core::testing::House;

use super::StanzaIds;
use super::api::{Hints, hints};
use crate::rfc6121_im::Im;

const CLAIMS: &str = "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='bob@localhost'/>\
                      <stanza-id xmlns='urn:xmpp:sid:0' id='2' by='room@localhost'/>\
                      <delay xmlns='urn:xmpp:delay' from='room@localhost' stamp='2002-09-10T23:08:25Z'/>";

/// What Bob gets of a message that arrives from `from` with these claims.
async fn arrives(from: &str, again: bool) -> String {
    let house = House::new(&[Entry::of::<StanzaIds>(), Entry::of::<Im>()]).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let message = Stanza::parse(&format!(
        "<message to='bob@localhost'><body>x</body>{CLAIMS}</message>"
    ))
    .unwrap();
    let mut cx = house.router.cx().unwrap();
    if again {
        cx.learn(Redelivered);
    }
    cx.send(message.from(Jid::parse(from).unwrap()));
    house.router.finish(cx).await;
    bob.next().unwrap()
}

#[tokio::test]
async fn elsewhere_nobody_speaks_for_us() {
    // Neither for the recipient nor for a room here.
    let got = arrives("mallory@elsewhere.example/x", false).await;
    assert!(!got.contains("stanza-id") && !got.contains("delay"), "{got}");
}

#[tokio::test]
async fn a_service_of_ours_speaks_for_itself_but_not_for_the_recipient() {
    let got = arrives("room@localhost", false).await;
    assert!(!got.contains("by='bob@localhost'"), "{got}");
    assert!(
        got.contains("by='room@localhost'") && got.contains("from='room@localhost' stamp"),
        "{got}"
    );
}

#[tokio::test]
async fn what_was_said_the_first_time_stays() {
    let got = arrives("alice@localhost/phone", true).await;
    assert!(got.contains("by='bob@localhost'"), "{got}");
}

fn of(head: &str, names: &[&str]) -> Hints {
    let children: String = names
        .iter()
        .map(|name| format!("<{name} xmlns='urn:xmpp:hints'/>"))
        .collect();
    hints(
        &Stanza::parse(&format!(
            "<{head}>{children}</{}>",
            head.split(' ').next().unwrap()
        ))
        .unwrap(),
    )
}

#[test]
fn hints_are_read_by_their_rules() {
    let none = Hints::default();
    let (bare, full) = ("message to='b@localhost'", "message to='b@localhost/c'");
    assert_eq!(of(bare, &[]), none);
    // §4.4
    assert_eq!(of(bare, &["store"]), Hints { store: true, ..none });
    // §4.1
    assert_eq!(
        of(bare, &["no-permanent-store"]),
        Hints {
            no_permanent_store: true,
            ..none
        }
    );
    // §4.2: neither permanently nor temporarily. Who says both wants to be safe.
    let nowhere = Hints {
        no_store: true,
        no_permanent_store: true,
        ..none
    };
    assert_eq!(of(bare, &["no-store"]), nowhere);
    assert_eq!(of(bare, &["store", "no-store"]), nowhere);
    assert_eq!(
        of(bare, &["store", "no-permanent-store"]),
        Hints {
            store: true,
            no_permanent_store: true,
            ..none
        }
    );
    // §4.3: only to a full JID.
    assert_eq!(
        of(full, &["no-copy"]),
        Hints {
            no_copy: true,
            ..none
        }
    );
    assert_eq!(of(bare, &["no-copy"]), none);
    assert_eq!(of("message", &["no-copy"]), none);
    // §5: not in errors; and only messages have hints.
    assert_eq!(
        of(
            "message type='error' to='b@localhost/c'",
            &["store", "no-store", "no-copy"]
        ),
        none
    );
    assert_eq!(of("presence", &["no-store"]), none);
    assert_eq!(
        hints(&Stanza::parse("<message><store xmlns='urn:x'/><store/></message>").unwrap()),
        none
    );
}
