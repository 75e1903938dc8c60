//! Who is told: two devices, each with a registration, in every state, and every kind of news.

use std::collections::BTreeSet;

use kim_core::session::Mark;

use super::*;

const STATES: [State; 4] = [State::Active, State::Inactive, State::Parked, State::Gone];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    /// CSI, for more than ten minutes.
    Inactive,
    Parked,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Chat,
    Omemo,
    Call,
    Typing,
    /// In a room of which the user wants to hear everything.
    Room,
    /// In one of which the user wants to hear what mentions them.
    UnmentionedInRoom,
    Mention,
    MutedRoom,
    /// Another device of the user says what was read.
    ReadElsewhere,
}

const KINDS: [Kind; 9] = [
    Kind::Chat,
    Kind::Omemo,
    Kind::Call,
    Kind::Typing,
    Kind::Room,
    Kind::UnmentionedInRoom,
    Kind::Mention,
    Kind::MutedRoom,
    Kind::ReadElsewhere,
];

impl Kind {
    fn wakes(self) -> bool {
        matches!(
            self,
            Kind::Chat | Kind::Omemo | Kind::Call | Kind::Room | Kind::Mention
        )
    }

    /// XEP-0492
    fn setting(self) -> Option<&'static str> {
        match self {
            Kind::Room => Some("always"),
            Kind::UnmentionedInRoom | Kind::Mention => Some("on-mention"),
            Kind::MutedRoom => Some("never"),
            _ => None,
        }
    }
}

/// What has come to the app server: the nodes it was published to.
fn nodes(app: &mut Neighbour) -> Vec<String> {
    let node = |xml: String| xml.split("node='").nth(1)?.split('\'').next().map(str::to_owned);
    std::iter::from_fn(|| app.next()).filter_map(node).collect()
}

async fn enter(client: &mut Client, room: &str, nick: &str) {
    client
        .send(&format!(
            "<presence to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
    client.skip();
}

/// Publishes something at the account's own node.
async fn publish(client: &mut Client, xml: &str) {
    client.skip();
    client.send(xml).await;
    let mut came = std::iter::from_fn(|| client.next());
    assert!(came.any(|stanza| stanza.contains("type='result'")), "{xml}");
    client.skip();
}

async fn bookmark(client: &mut Client, room: &str, setting: &str) {
    let xml = format!(
        "<iq id='b' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'>\
                 <item id='{room}'><conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'><extensions>\
                 <notify xmlns='urn:xmpp:notification-settings:1'><{setting}/></notify></extensions></conference></item>\
                 </publish></pubsub></iq>"
    );
    publish(client, &xml).await;
}

/// Waits for one who is told of every message of the room, behind all others: what a room tells, it tells in tasks of its own.
async fn until_told(app: &mut Neighbour, witnesses: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..30_000 {
        all.extend(nodes(app));
        if witnesses
            .iter()
            .all(|witness| all.iter().any(|node| node == witness))
        {
            all.retain(|node| !witnesses.contains(&node.as_str()));
            return all;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("{witnesses:?} are not among {all:?}");
}

struct Stage {
    house: House,
    app: Neighbour,
    bob: Client,
    /// They are there with one device each, while their phones are gone.
    zoe: Client,
}

impl Stage {
    async fn new() -> Stage {
        let config = format!("{CONFIG}[xep0357_push]\nrepeat_seconds = 10\n");
        let house = House::configured(MODULES, &config).await;
        let app = house.neighbour(APP);
        let bob = house.online("bob@localhost/desk").await;
        for jid in ["zoe@localhost/phone", "zz@localhost/phone"] {
            let node = jid.split('@').next().unwrap();
            phone(&house, jid, node).await.disconnect().await;
        }
        let zoe = house.online("zoe@localhost/desk").await;
        Stage { house, app, bob, zoe }
    }

    /// A room of Bob's with everybody as a member. Zoe and ZZ want to hear everything, one from inside, one from outside.
    async fn room(&mut self, room: &str, member: &str) {
        enter(&mut self.bob, room, "bob").await;
        self.bob
            .send(&format!(
                "<iq id='s' to='{room}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
                 <x xmlns='jabber:x:data' type='submit'/></query></iq>"
            ))
            .await;
        for member in [member, "zoe@localhost", "zz@localhost"] {
            self.bob
                .send(&format!(
                    "<iq id='m' to='{room}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>\
                     <item affiliation='member' jid='{member}'/></query></iq>"
                ))
                .await;
        }
        self.bob.skip();
        enter(&mut self.zoe, room, "zoe").await;
        self.zoe.skip();
        bookmark(&mut self.zoe, room, "always").await;
        let mut zz = self.house.online("zz@localhost/desk").await;
        bookmark(&mut zz, room, "always").await;
        zz.disconnect().await;
    }

    async fn device(&self, jid: &str, state: State, room: Option<&str>) -> Option<Client> {
        let mut device = self.house.online(jid).await;
        if state == State::Parked {
            manage(&mut device).await;
        }
        register(&mut device, APP, jid).await;
        assert!(device.session.has(Mark::Push));
        if state == State::Gone {
            device.disconnect().await;
            return None;
        }
        if let Some(room) = room {
            enter(&mut device, room, "me").await;
        }
        match state {
            State::Inactive => device.send("<inactive xmlns='urn:xmpp:csi:0'/>").await,
            State::Parked => assert!(self.house.router.park(&device.session).await),
            State::Active | State::Gone => {}
        }
        Some(device)
    }

    /// Does what a kind stands for; who was told of it.
    async fn happens(&mut self, kind: Kind, account: &str, room: &str) -> Vec<String> {
        let said = |inner: &str| format!("<message to='{account}' type='chat'>{inner}</message>");
        let in_room = |inner: &str| format!("<message to='{room}' type='groupchat'>{inner}</message>");
        let message = match kind {
            Kind::Chat => said("<body>hello</body>"),
            Kind::Omemo => said(
                "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>x</payload></encrypted>\
                 <body>This is encrypted</body><store xmlns='urn:xmpp:hints'/>",
            ),
            Kind::Call => said(
                "<propose xmlns='urn:xmpp:jingle-message:0' id='c'>\
                 <description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose><store xmlns='urn:xmpp:hints'/>",
            ),
            Kind::Typing => said("<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
            Kind::Room | Kind::UnmentionedInRoom | Kind::MutedRoom => in_room("<body>hello</body>"),
            Kind::Mention => in_room(&format!(
                "<body>hello you</body>\
                 <reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:{account}'/>"
            )),
            Kind::ReadElsewhere => {
                let mut tablet = self.house.online(&format!("{account}/tablet")).await;
                publish(
                    &mut tablet,
                        "<iq id='r' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
                         <publish node='urn:xmpp:mds:displayed:0'><item id='bob@localhost'>\
                         <displayed xmlns='urn:xmpp:mds:displayed:0'><stanza-id xmlns='urn:xmpp:sid:0' id='1' by='x@localhost'/>\
                         </displayed></item></publish></pubsub></iq>",
                )
                .await;
                tablet.disconnect().await;
                return nodes(&mut self.app);
            }
        };
        self.bob.send(&message).await;
        self.bob.skip();
        if kind.setting().is_some() {
            return until_told(&mut self.app, &["zoe", "zz"]).await;
        }
        nodes(&mut self.app)
    }
}

#[tokio::test]
async fn each_device_is_told_for_itself() {
    let mut stage = Stage::new().await;
    let mut case = 0;
    for kind in KINDS {
        for phone in STATES {
            for desktop in STATES {
                case += 1;
                let account = format!("u{case}@localhost");
                let room = format!("r{case}@conference.localhost");
                if let Some(setting) = kind.setting() {
                    let mut early = stage.house.online(&format!("{account}/early")).await;
                    bookmark(&mut early, &room, setting).await;
                    early.disconnect().await;
                    stage.room(&room, &account).await;
                }
                let inside = kind.setting().map(|_| room.as_str());
                let devices = [("phone", phone), ("desktop", desktop)];
                let mut there = Vec::new();
                for (name, state) in devices {
                    there.extend(stage.device(&format!("{account}/{name}"), state, inside).await);
                }
                // The clients that are inactive are so for long; nobody else has been waiting for an answer.
                stage.house.clock.advance(700);
                assert_eq!(
                    nodes(&mut stage.app),
                    Vec::<String>::new(),
                    "{kind:?} {phone:?} {desktop:?}"
                );

                let told = stage.happens(kind, &account, &room).await;
                let expected: BTreeSet<String> = devices
                    .into_iter()
                    .filter(|(_, state)| kind.wakes() && *state != State::Active)
                    .map(|(name, _)| format!("{account}/{name}"))
                    .collect();
                let set: BTreeSet<String> = told.iter().cloned().collect();
                assert_eq!(set, expected, "{kind:?} phone {phone:?} desktop {desktop:?}");
                assert_eq!(told.len(), set.len(), "once each: {told:?}");
                for device in there {
                    device.disconnect().await;
                }
                dispatch(&stage.house).settle_all();
                nodes(&mut stage.app);
            }
        }
    }
    assert_eq!(case, 144);
}

#[tokio::test]
async fn a_phone_that_does_not_acknowledge_is_told_after_a_while() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let mut alice = phone(&house, "alice@localhost/phone", "n").await;
    let mut bob = house.online("bob@localhost/desk").await;
    chat(&mut bob, "alice@localhost", "one").await;
    alice.skip();
    later(&house, 9).await;
    app.expect_nothing();
    later(&house, 2).await;
    app.expect(&notification("n", 1, "a"));
    take(&mut app, "a").await;

    // She hears, and is looked at anew.
    alice.send("<a xmlns='urn:xmpp:sm:3' h='2'/>").await;
    chat(&mut bob, "alice@localhost", "two").await;
    alice.skip();
    alice.send("<a xmlns='urn:xmpp:sm:3' h='3'/>").await;
    later(&house, 60).await;
    app.expect_nothing();

    // What is worth nothing may wait for its acknowledgement as long as it likes.
    bob.send("<message to='alice@localhost' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        .await;
    alice.skip();
    later(&house, 60).await;
    app.expect_nothing();
}

#[tokio::test]
async fn what_was_under_way_when_the_connection_was_lost_is_told() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let mut alice = phone(&house, "alice@localhost/phone", "n").await;
    let mut bob = house.online("bob@localhost/desk").await;
    chat(&mut bob, "alice@localhost", "one").await;
    alice.skip();
    app.expect_nothing();
    house.router.park(&alice.session).await;
    app.expect(&notification("n", 1, "a"));
}

#[tokio::test]
async fn a_session_that_can_be_woken_is_waited_for_longer() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let seconds = |client: &Client| client.session.tally().unwrap().resumable_seconds();
    let mut plain = house.online("alice@localhost/plain").await;
    manage(&mut plain).await;
    assert_eq!(seconds(&plain), 600);
    let alice = phone(&house, "alice@localhost/phone", "n").await;
    assert_eq!(seconds(&alice), 86_400);
    let mut bob = house.online("bob@localhost/desk").await;
    house.router.park(&alice.session).await;
    house.clock.advance(7_200);
    chat(&mut bob, "alice@localhost", "one").await;
    app.expect(&notification("n", 1, "a"));
    // An hour more, from now on.
    assert_eq!(seconds(&alice), 7_200 + 3_600);
    house.router.resume(&alice.session, 0).await.unwrap();
    assert_eq!(seconds(&alice), 86_400);
    let mut alice = alice;
    alice.skip();
    alice
        .ask(
            &format!("<iq id='e' type='set'><disable xmlns='urn:xmpp:push:0' jid='{APP}'/></iq>"),
            "<iq id='e' type='result'/>",
        )
        .await;
    assert_eq!(seconds(&alice), 600);
    assert!(!alice.session.has(Mark::Push));

    // A client that binds anew under the same resource is known; `<enabled/>` tells it the whole time.
    let mut again = phone(&house, "carol@localhost/phone", "c").await;
    again.send("<presence type='unavailable'/>").await;
    again.disconnect().await;
    let mut again = house.online("carol@localhost/phone").await;
    again.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    again.expect("<enabled xmlns='urn:xmpp:sm:3' id='*' resume='true' max='86400'/>");
}

#[tokio::test]
async fn ones_own_words_in_a_room_wake_nobody() {
    let mut stage = Stage::new().await;
    let room = "tea@conference.localhost";
    stage.room(room, "alice@localhost").await;
    let mut desk = stage.house.online("alice@localhost/desk").await;
    bookmark(&mut desk, room, "always").await;
    enter(&mut desk, room, "me").await;
    let phone = stage
        .device("alice@localhost/phone", State::Parked, Some(room))
        .await
        .unwrap();
    desk.send(&format!(
        "<message to='{room}' type='groupchat'><body>hello</body></message>"
    ))
    .await;
    assert_eq!(
        until_told(&mut stage.app, &["zoe", "zz"]).await,
        Vec::<String>::new()
    );
    assert!(phone.session.is_parked());
}

#[tokio::test]
async fn a_room_elsewhere_wakes_whom_it_mentions() {
    let house = house().await;
    let mut app = house.neighbour(APP);
    let mut there = house.neighbour("rooms.example.net");
    let room = "tea@rooms.example.net";
    let mut alice = phone(&house, "alice@localhost/phone", "n").await;
    alice
        .send(&format!(
            "<presence to='{room}/Alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
    house.router.park(&alice.session).await;
    let mut say = async |nick: &str, body: &str| {
        there
            .send(&format!(
                "<message from='{room}/{nick}' to='alice@localhost/phone' type='groupchat'><body>{body}</body></message>"
            ))
            .await;
    };
    say("bob", "hello").await;
    say("Alice", "Alice said so herself").await;
    app.expect_nothing();
    say("bob", "alice: where are you?").await;
    app.expect(&notification("n", 1, "a"));
}
