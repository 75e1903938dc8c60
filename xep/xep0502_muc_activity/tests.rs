//! Messages per hour, by a clock that tests move.

use kim_core::testing::{Client, House};

use super::Hours;

const ROOM: &str = "agora@conference.localhost";

async fn told(client: &mut Client) -> Option<String> {
    client.skip();
    client
        .send(&format!(
            "<iq id='d' to='{ROOM}' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
        ))
        .await;
    let info = client.next().unwrap();
    let field = info.split("message-activity'").nth(1)?;
    Some(field.split("<value>").nth(1)?.split('<').next()?.to_owned())
}

async fn configure(client: &mut Client, var: &str, value: &str) {
    client
        .send(&format!(
            "<iq id='c' to='{ROOM}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
             <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
             <field var='{var}'><value>{value}</value></field></x></query></iq>"
        ))
        .await;
}

#[tokio::test]
async fn a_public_room_tells_how_much_is_said_once_that_is_known() {
    // §3.1, §4, §9
    let house = House::new(crate::MODULES).await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice
        .send(&format!(
            "<presence to='{ROOM}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
    configure(&mut alice, "muc#roomconfig_persistentroom", "1").await;
    configure(&mut alice, "muc#roomconfig_publicroom", "1").await;
    assert_eq!(told(&mut alice).await, None, "no placeholder");
    house.clock.advance(3_600);
    for inner in [
        "<body>one</body>",
        "<body>two</body>",
        "<body>two!</body><replace xmlns='urn:xmpp:message-correct:0' id='x'/>",
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
    ] {
        alice
            .send(&format!(
                "<message to='{ROOM}' type='groupchat'>{inner}</message>"
            ))
            .await;
    }
    house.clock.advance(3_600);
    assert_eq!(told(&mut alice).await.as_deref(), Some("2.00"));
    house.clock.advance(3_600);
    assert_eq!(told(&mut alice).await.as_deref(), Some("1.00"));
    configure(&mut alice, "muc#roomconfig_membersonly", "1").await;
    assert_eq!(told(&mut alice).await, None);
}

#[test]
fn a_day_later_it_is_forgotten() {
    let mut hours = Hours::default();
    for hour in 100..110 {
        hours.count(hour);
    }
    assert_eq!(hours.sum(109), 9);
    assert_eq!(hours.sum(110), 10);
    assert_eq!(hours.sum(109), 10, "clocks go back, counts do not");
    assert_eq!(hours.sum(130), 4);
    assert_eq!(hours.sum(10_000), 0);
}
