//! Pauses between messages, by a clock that tests move.

use kim_core::testing::{Client, House};

const ROOM: &str = "stage@conference.localhost";

async fn say(client: &mut Client, inner: &str) -> String {
    client.skip();
    client
        .send(&format!(
            "<message id='m' to='{ROOM}' type='groupchat'>{inner}</message>"
        ))
        .await;
    client.next().unwrap_or_default()
}

#[tokio::test]
async fn everybody_but_those_who_run_the_room_waits() {
    // §5, §6, §8
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut tablet = house.online("bob@localhost/tablet").await;
    let enter = |nick: &str| {
        format!("<presence to='{ROOM}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    };
    alice.send(&enter("alice")).await;
    alice
        .send(&format!(
            "<iq id='c' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
             <field var='muc#roomconfig_slow_mode_duration'><value>20</value></field></x></query></iq>"
        ))
        .await;
    bob.send(&enter("bob")).await;
    tablet.send(&enter("bob")).await;
    for _ in 0..3 {
        assert!(say(&mut alice, "<body>x</body>").await.contains("<body>x</body>"));
    }
    assert!(
        say(&mut bob, "<body>one</body>")
            .await
            .contains("<body>one</body>")
    );
    let refused = say(&mut tablet, "<body>two</body>").await;
    assert!(
        refused.contains("type='error'")
            && refused.contains("<error type='wait'")
            && refused.contains("<policy-violation"),
        "{refused}"
    );
    assert!(refused.contains("20 seconds"), "{refused}");
    let typing = say(
        &mut bob,
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
    )
    .await;
    assert!(typing.contains("<composing"), "{typing}");
    house.clock.advance(19);
    assert!(say(&mut bob, "<body>three</body>").await.contains("type='error'"));
    house.clock.advance(1);
    assert!(
        say(&mut bob, "<body>four</body>")
            .await
            .contains("<body>four</body>")
    );

    bob.skip();
    bob.send(&format!(
        "<iq id='d' to='{ROOM}' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    ))
    .await;
    let info = bob.next().unwrap();
    assert!(
        info.contains("var='muc#roominfo_slow_mode_duration'") && info.contains("<value>20</value>"),
        "{info}"
    );
}
