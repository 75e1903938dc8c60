//! A member comes back and is told what has changed meanwhile.

use kim_core::testing::{Client, House};

const ROOM: &str = "team@conference.localhost";

async fn enter(client: &mut Client, nick: &str, mav: &str) -> Vec<String> {
    client.skip();
    client
        .send(&format!(
            "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'>{mav}</x></presence>"
        ))
        .await;
    let mut got = Vec::new();
    while let Some(next) = client.next() {
        got.push(next);
    }
    got
}

fn until(text: &str) -> String {
    let rest = text.split("until='").nth(1).unwrap();
    rest.split('\'').next().unwrap().to_owned()
}

#[tokio::test]
async fn who_comes_back_gets_what_has_changed() {
    // §5.2
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    enter(&mut alice, "alice", "").await;
    let set = |who: &str, what: &str| {
        format!(
            "<iq id='s' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>\
             <item jid='{who}@localhost' affiliation='{what}'/></query></iq>"
        )
    };
    alice.send(&set("bob", "member")).await;
    let ask = "<mav xmlns='urn:xmpp:muc:affiliations:1'/>";
    let full = enter(&mut alice, "alice", ask).await;
    assert!(
        full[0].starts_with("<message") && full[0].contains("bob@localhost"),
        "{full:?}"
    );
    assert!(!full[0].contains("since="), "{full:?}");
    let known = until(&full[0]);
    let own = full.iter().find(|one| one.contains("code='110'")).unwrap();
    assert_eq!(until(own), known);

    alice.skip();
    alice.send(&set("bob", "none")).await;
    let mut told = String::new();
    while let Some(next) = alice.next() {
        told.push_str(&next);
    }
    assert!(told.contains(&format!("since='{known}'")), "{told}");
    let new = until(&told);
    let ask = |since: &str| format!("<mav xmlns='urn:xmpp:muc:affiliations:1' since='{since}'/>");
    let diff = enter(&mut alice, "alice", &ask(&known)).await;
    assert!(
        diff[0].contains("jid='bob@localhost'") && diff[0].contains("affiliation='none'"),
        "{diff:?}"
    );
    assert!(!diff[0].contains("alice@localhost' affiliation"), "{diff:?}");
    let same = enter(&mut alice, "alice", &ask(&new)).await;
    assert!(same[0].starts_with("<presence"), "{same:?}");
    let unknown = enter(&mut alice, "alice", &ask("nonsense")).await;
    assert!(
        unknown[0].contains("alice@localhost") && !unknown[0].contains("since="),
        "{unknown:?}"
    );
}
