//! `[rooms] retention_days` and `guest_retention_days`: what is over is deleted, and is shown to nobody before that either.

use kim_core::jid::BareJid;
use kim_core::testing::{Client, House};

use super::{all, configured, enter, instant};
use crate::xep0045_muc::api::{Keeping, Rooms};

const DAY: u64 = 24 * 3_600;
const PUBLIC: &str = "public@conference.localhost";
const STAFF: &str = "staff@conference.localhost";

async fn open(owner: &mut Client, room: &str, is_public: bool) {
    owner
        .send(&format!(
            "<presence to='{room}/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
    let value = u8::from(is_public);
    let fields = format!(
        "<field var='muc#roomconfig_publicroom'><value>{value}</value></field>\
         <field var='muc#roomconfig_persistentroom'><value>1</value></field>"
    );
    instant(owner, room, &fields).await;
}

async fn say(client: &mut Client, room: &str, body: &str) {
    client
        .send(&format!(
            "<message to='{room}' type='groupchat'><body>{body}</body></message>"
        ))
        .await;
    client.skip();
}

/// The bodies in a room's archive, for somebody inside.
async fn archive(client: &mut Client, room: &str) -> Vec<String> {
    client.skip();
    client
        .send(&format!(
            "<iq type='set' id='q' to='{room}'><query xmlns='urn:xmpp:mam:2'/></iq>"
        ))
        .await;
    bodies(&all(client))
}

fn bodies(stanzas: &[String]) -> Vec<String> {
    let body = |xml: &String| Some(xml.split_once("<body>")?.1.split_once("</body>")?.0.to_owned());
    stanzas.iter().filter_map(body).collect()
}

async fn keeping(house: &House, room: &str) -> Keeping {
    let rooms = house.router.fact::<Rooms>().unwrap();
    let cx = house.router.cx().unwrap();
    let view = rooms.view(&BareJid::parse(room).unwrap(), &cx).await.unwrap();
    rooms.keeping(&view.unwrap().config)
}

#[tokio::test]
async fn rooms_for_guests_forget_sooner_than_other_rooms_and_chats() {
    let house = configured("[rooms]\nretention_days = 10\nguest_retention_days = 3\n").await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    open(&mut alice, PUBLIC, true).await;
    open(&mut alice, STAFF, false).await;
    assert_eq!(keeping(&house, PUBLIC).await, Keeping::Days(3));
    assert_eq!(keeping(&house, STAFF).await, Keeping::Days(10));

    for day in 0..12 {
        if day > 0 {
            house.clock.advance(DAY);
        }
        for room in [PUBLIC, STAFF] {
            say(&mut alice, room, &format!("day {day}")).await;
        }
        alice
            .send(&format!(
                "<message to='bob@localhost' type='chat'><body>day {day}</body></message>"
            ))
            .await;
    }
    house.clock.advance(DAY / 2);
    house.router.tidy().await;
    assert_eq!(archive(&mut alice, PUBLIC).await, ["day 9", "day 10", "day 11"]);
    let staff = archive(&mut alice, STAFF).await;
    assert_eq!(staff.first().map(String::as_str), Some("day 2"));
    assert_eq!(staff.len(), 10);
    // [rooms] says nothing of what two people write to each other.
    bob.skip();
    bob.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
        .await;
    assert_eq!(bodies(&all(&mut bob)).len(), 12);
}

#[tokio::test]
async fn a_quiet_room_shows_newcomers_nothing_that_is_over() {
    for toml in [
        "[rooms]\nguest_retention_days = 3\n",
        "[rooms]\nretention_days = 3\n",
        "[xep0313_mam]\nretention_days = 3\n",
    ] {
        let house = configured(toml).await;
        let mut alice = house.online("alice@localhost/phone").await;
        enter(&mut alice, "alice").await;
        instant(
            &mut alice,
            super::ROOM,
            "<field var='muc#roomconfig_publicroom'><value>1</value></field>",
        )
        .await;
        say(&mut alice, super::ROOM, "old").await;
        house.clock.advance(2 * DAY);
        say(&mut alice, super::ROOM, "new").await;
        house.clock.advance(2 * DAY);
        // Nothing has tidied up yet: the room still has both in memory.
        let mut bob = house.online("bob@localhost/laptop").await;
        super::join(&mut bob, "bob").await;
        assert_eq!(bodies(&all(&mut bob)), ["new"], "{toml}");
    }
}

#[tokio::test]
async fn without_a_retention_everything_stays() {
    let house = configured("").await;
    let mut alice = house.online("alice@localhost/phone").await;
    open(&mut alice, PUBLIC, true).await;
    assert_eq!(keeping(&house, PUBLIC).await, Keeping::Forever);
    say(&mut alice, PUBLIC, "for ever").await;
    house.clock.advance(5_000 * DAY);
    house.router.tidy().await;
    assert_eq!(archive(&mut alice, PUBLIC).await, ["for ever"]);
    instant(
        &mut alice,
        PUBLIC,
        "<field var='muc#roomconfig_enablearchiving'><value>0</value></field>",
    )
    .await;
    assert_eq!(keeping(&house, PUBLIC).await, Keeping::Nothing);
}
