//! Tokens, in memory.

use kim_core::db::Query;
use kim_core::testing::{Client, House};

const ROOM: &str = "news@conference.localhost";

async fn enter(client: &mut Client, nick: &str, password: &str) -> String {
    client.skip();
    client
        .send(&format!(
            "<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'>\
             <password>{password}</password></x></presence>"
        ))
        .await;
    let came: Vec<String> = std::iter::from_fn(|| client.next()).collect();
    came.concat()
}

async fn ask(client: &mut Client, kind: &str, payload: &str) -> String {
    client.skip();
    client
        .send(&format!("<iq id='t' to='{ROOM}' type='{kind}'>{payload}</iq>"))
        .await;
    client.next().unwrap()
}

async fn token(client: &mut Client, attrs: &str) -> (String, String) {
    let answer = ask(
        client,
        "set",
        &format!("<request xmlns='urn:xmpp:muc-token-invite:0' {attrs}/>"),
    )
    .await;
    let text = answer.split("</token>").next().unwrap();
    let text = text.rsplit('>').next().unwrap().to_owned();
    (text, answer)
}

async fn club() -> (House, Client) {
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    enter(&mut alice, "alice", "").await;
    ask(
        &mut alice,
        "set",
        "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
         <field var='muc#roomconfig_membersonly'><value>1</value></field>\
         <field var='muc#roomconfig_allowinvites'><value>0</value></field></x></query>",
    )
    .await;
    (house, alice)
}

const LIST: &str = "<tokens xmlns='urn:xmpp:muc-token-invite:0'/>";

#[tokio::test]
async fn a_token_makes_members_until_it_is_used_up() {
    // §3.2–§3.6, §4
    let (house, mut alice) = club().await;
    let (text, answer) = token(&mut alice, "counter='2' delay='600'").await;
    assert!(answer.contains("delay='600' counter='2'"), "{answer}");
    let mut bob = house.online("bob@localhost/laptop").await;
    assert!(
        enter(&mut bob, "bob", "wrong")
            .await
            .contains("<registration-required")
    );
    assert!(
        enter(&mut bob, "bob", &text)
            .await
            .contains("affiliation='member'")
    );
    let list = ask(&mut alice, "get", LIST).await;
    assert!(list.contains("counter='1'") && list.contains(&text), "{list}");
    // Coming again takes nothing.
    bob.send(&format!("<presence to='{ROOM}/bob' type='unavailable'/>"))
        .await;
    enter(&mut bob, "bob", &text).await;
    assert!(ask(&mut alice, "get", LIST).await.contains("counter='1'"));
    let mut carol = house.online("carol@localhost/pda").await;
    assert!(
        enter(&mut carol, "carol", &text)
            .await
            .contains("affiliation='member'")
    );
    let mut dave = house.online("dave@localhost/pda").await;
    let refused = enter(&mut dave, "dave", &text).await;
    assert!(
        refused.contains("<not-authorized")
            && refused.contains("<expired-token xmlns='urn:xmpp:muc-token-invite:0'/>"),
        "{refused}"
    );
    assert!(!ask(&mut alice, "get", LIST).await.contains(&text));
    let mut guest = house.guest("g@guest.localhost/web").await;
    let (text, _) = token(&mut alice, "").await;
    assert!(
        enter(&mut guest, "g", &text).await.contains("type='error'"),
        "guests belong to nothing"
    );
}

#[tokio::test]
async fn a_token_ends_with_its_time_or_when_it_is_revoked() {
    // §3.3, §3.7
    let (house, mut alice) = club().await;
    let (old, _) = token(&mut alice, "delay='60'").await;
    let (revoked, _) = token(&mut alice, "").await;
    house.clock.advance(61);
    let mut bob = house.online("bob@localhost/laptop").await;
    assert!(enter(&mut bob, "bob", &old).await.contains("<expired-token"));
    let revoke = format!("<revoke xmlns='urn:xmpp:muc-token-invite:0'>{revoked}</revoke>");
    assert!(ask(&mut bob, "set", &revoke).await.contains("<forbidden"));
    assert!(ask(&mut alice, "set", &revoke).await.contains("type='result'"));
    assert!(ask(&mut alice, "set", &revoke).await.contains("<item-not-found"));
    assert!(
        enter(&mut bob, "bob", &revoked)
            .await
            .contains("<registration-required")
    );
    let wrong = "<request xmlns='urn:xmpp:muc-token-invite:0' counter='-1'/>";
    assert!(ask(&mut alice, "set", wrong).await.contains("<bad-request"));
}

#[tokio::test]
async fn members_issue_tokens_where_they_may_invite_and_see_their_own() {
    // §3.6, §7
    let (house, mut alice) = club().await;
    let (of_alice, _) = token(&mut alice, "").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    enter(&mut bob, "bob", &of_alice).await;
    let request = "<request xmlns='urn:xmpp:muc-token-invite:0'/>";
    assert!(ask(&mut bob, "set", request).await.contains("<forbidden"));
    ask(
        &mut alice,
        "set",
        "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
         <field var='muc#roomconfig_allowinvites'><value>1</value></field></x></query>",
    )
    .await;
    let (of_bob, _) = token(&mut bob, "").await;
    let list = ask(&mut bob, "get", LIST).await;
    assert!(list.contains(&of_bob) && !list.contains(&of_alice), "{list}");
    let list = ask(&mut alice, "get", LIST).await;
    assert!(list.contains(&of_bob) && list.contains(&of_alice), "{list}");
}

#[tokio::test]
async fn tokens_are_sealed_and_go_with_their_room() {
    let (house, mut alice) = club().await;
    let (text, _) = token(&mut alice, "").await;
    let rows = house
        .db
        .fetch_all(Query::new("SELECT token FROM room_token"))
        .await
        .unwrap();
    let sealed = rows[0].bytes(0).unwrap();
    assert!(!sealed.windows(text.len()).any(|bytes| bytes == text.as_bytes()));
    let destroy = "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>";
    ask(&mut alice, "set", destroy).await;
    let rows = house
        .db
        .fetch_all(Query::new("SELECT room FROM room_token"))
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn a_token_dies_with_its_makers_right_to_issue_it() {
    // §7
    let (house, mut alice) = club().await;
    let configure = |invites: u8| {
        format!(
            "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>\
             <field var='muc#roomconfig_allowinvites'><value>{invites}</value></field></x></query>"
        )
    };
    let make = |what: &str| {
        format!(
            "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='{what}' jid='bob@localhost'/></query>"
        )
    };
    ask(&mut alice, "set", &configure(1)).await;
    ask(&mut alice, "set", &make("member")).await;
    let mut bob = house.online("bob@localhost/laptop").await;
    enter(&mut bob, "bob", "").await;
    let (of_bob, _) = token(&mut bob, "").await;
    let mut carol = house.online("carol@localhost/pda").await;

    // Members may not invite any more.
    ask(&mut alice, "set", &configure(0)).await;
    assert!(!ask(&mut alice, "get", LIST).await.contains(&of_bob));
    let refused = enter(&mut carol, "carol", &of_bob).await;
    assert!(refused.contains("<registration-required"), "{refused}");
    ask(&mut alice, "set", &configure(1)).await;
    assert!(ask(&mut alice, "get", LIST).await.contains(&of_bob));

    // Bob is put out; being a member again later brings no token back.
    ask(&mut alice, "set", &make("none")).await;
    let refused = enter(&mut carol, "carol", &of_bob).await;
    assert!(refused.contains("<registration-required"), "{refused}");
    ask(&mut alice, "set", &make("member")).await;
    assert!(!ask(&mut alice, "get", LIST).await.contains(&of_bob));
    let refused = enter(&mut carol, "carol", &of_bob).await;
    assert!(refused.contains("<registration-required"), "{refused}");
    let rows = house
        .db
        .fetch_all(Query::new("SELECT room FROM room_token"))
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn what_was_not_stored_changes_no_token() {
    let (house, mut alice) = club().await;
    let (kept, _) = token(&mut alice, "counter='1'").await;
    // From now on the table takes no change.
    for change in ["INSERT", "UPDATE", "DELETE"] {
        let sql = match change {
            "INSERT" => "CREATE TRIGGER t1 BEFORE INSERT ON room_token BEGIN SELECT RAISE(ABORT, 'no'); END",
            "UPDATE" => "CREATE TRIGGER t2 BEFORE UPDATE ON room_token BEGIN SELECT RAISE(ABORT, 'no'); END",
            _ => "CREATE TRIGGER t3 BEFORE DELETE ON room_token BEGIN SELECT RAISE(ABORT, 'no'); END",
        };
        house.db.execute(Query::new(sql)).await.unwrap();
    }
    let request = "<request xmlns='urn:xmpp:muc-token-invite:0'/>";
    assert!(ask(&mut alice, "set", request).await.contains("type='error'"));
    let revoke = format!("<revoke xmlns='urn:xmpp:muc-token-invite:0'>{kept}</revoke>");
    assert!(ask(&mut alice, "set", &revoke).await.contains("type='error'"));
    let mut bob = house.online("bob@localhost/laptop").await;
    assert!(!enter(&mut bob, "bob", &kept).await.contains("code='110'"));
    // There is still the one that was, with all its uses.
    let list = ask(&mut alice, "get", LIST).await;
    assert_eq!(list.matches("<token ").count(), 1, "{list}");
    assert!(list.contains("counter='1'") && list.contains(&kept), "{list}");
    for sql in ["DROP TRIGGER t1", "DROP TRIGGER t2", "DROP TRIGGER t3"] {
        house.db.execute(Query::new(sql)).await.unwrap();
    }
    assert!(enter(&mut bob, "bob", &kept).await.contains("code='110'"));
}
