//! What is told of members who are away, heard by a module that stands for push.

use std::sync::{Mutex, OnceLock};

use kim_core::config::NoSettings;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::{Hear, Stage};
use kim_core::module::{Entry, Module, Registrar, Spec};
use kim_core::testing::{Client, House};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::api::{Absent, SaidWhileAway};

const ROOM: &str = "coven@conference.localhost";

type Heard = (String, Vec<Absent>);
type Ears = Vec<(String, UnboundedSender<Heard>)>;

/// Ears of the houses of this file's tests, by the name of the room that each uses.
static EARS: OnceLock<Mutex<Ears>> = OnceLock::new();

struct Push;
struct Ear;

impl Module for Push {
    type Config = NoSettings;
    const NAME: &'static str = "xep9999_push";
    const SPECS: &'static [Spec] = &[];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        house.hear::<SaidWhileAway>(Stage::Notify, Ear);
        Ok(())
    }
}

impl Hear<SaidWhileAway> for Ear {
    async fn hear(&self, event: &mut SaidWhileAway, _: &mut Cx) -> Result<(), Fault> {
        assert!(
            event.stanza.has("stanza-id", "urn:xmpp:sid:0"),
            "the room's id, by which a client catches up"
        );
        for (room, ear) in EARS.get_or_init(Mutex::default).lock().unwrap().iter() {
            if room == event.room.jid.as_str() {
                let _ = ear.send((event.stanza.to_xml(), event.absent.clone()));
            }
        }
        Ok(())
    }
}

struct Story {
    house: House,
    room: String,
    alice: Client,
    heard: UnboundedReceiver<Heard>,
}

impl Story {
    async fn new(name: &str) -> Story {
        let mut modules: Vec<Entry> = crate::MODULES.to_vec();
        modules.push(Entry::of::<Push>());
        let house = House::new(&modules).await;
        let room = ROOM.replace("coven", name);
        let (ear, heard) = unbounded_channel();
        EARS.get_or_init(Mutex::default)
            .lock()
            .unwrap()
            .push((room.clone(), ear));
        let mut alice = house.online("alice@localhost/phone").await;
        enter(&mut alice, &room, "alice").await;
        house.account("bob@localhost").await;
        for (kind, inner) in [
            ("owner", "<x xmlns='jabber:x:data' type='submit'/>"),
            ("admin", "<item affiliation='member' jid='bob@localhost'/>"),
        ] {
            alice
                .send(&format!(
                    "<iq id='s' to='{room}' type='set'>\
                     <query xmlns='http://jabber.org/protocol/muc#{kind}'>{inner}</query></iq>"
                ))
                .await;
        }
        Story {
            house,
            room,
            alice,
            heard,
        }
    }

    async fn configure(&mut self, var: &str, value: &str) {
        self.alice
            .send(&format!(
                "<iq id='c' to='{}' type='set'><query xmlns='http://jabber.org/protocol/muc#owner'>\
                 <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
                 <value>http://jabber.org/protocol/muc#roomconfig</value></field>\
                 <field var='{var}'><value>{value}</value></field></x></query></iq>",
                self.room
            ))
            .await;
    }

    /// Alice says something; what is heard of it.
    async fn say(&mut self, inner: &str) -> Option<Heard> {
        // What comes behind shows that nothing came before.
        for inner in [
            inner,
            "<body>over</body><reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:dave@localhost'/>",
        ] {
            self.alice
                .send(&format!(
                    "<message to='{}' type='groupchat'>{inner}</message>",
                    self.room
                ))
                .await;
        }
        self.alice.skip();
        let first = self.heard.recv().await.unwrap();
        if first.0.contains("<body>over</body>") {
            return None;
        }
        let second = self.heard.recv().await.unwrap();
        assert!(second.0.contains("<body>over</body>"), "{}", second.0);
        Some(first)
    }
}

async fn enter(client: &mut Client, room: &str, nick: &str) {
    client
        .send(&format!(
            "<presence to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
        ))
        .await;
}

/// Somebody who is away and always told, so that each message is heard of.
async fn add_dave(story: &mut Story) {
    story.house.account("dave@localhost").await;
    let room = story.room.clone();
    story
        .alice
        .send(&format!(
            "<iq id='d' to='{room}' type='set'><query xmlns='http://jabber.org/protocol/muc#admin'>\
             <item affiliation='member' jid='dave@localhost'/></query></iq>"
        ))
        .await;
}

async fn bookmark(client: &mut Client, room: &str, autojoin: &str, extensions: &str) {
    client
        .send(&format!(
            "<iq id='b' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <publish node='urn:xmpp:bookmarks:1'><item id='{room}'>\
             <conference xmlns='urn:xmpp:bookmarks:1' autojoin='{autojoin}'>{extensions}</conference>\
             </item></publish></pubsub></iq>"
        ))
        .await;
    client.skip();
}

fn of<'a>(heard: &'a Option<Heard>, who: &str) -> Option<&'a Absent> {
    let (_, absent) = heard.as_ref()?;
    absent.iter().find(|absent| absent.jid.as_str() == who)
}

#[tokio::test]
async fn a_member_is_told_of_while_all_their_devices_are_away() {
    let mut story = Story::new("away").await;
    add_dave(&mut story).await;
    let heard = story.say("<body>hello</body>").await;
    assert!(heard.as_ref().unwrap().0.contains("<body>hello</body>"));
    let bob = of(&heard, "bob@localhost").unwrap();
    assert!(!bob.wants, "on-mention in a public room (XEP-0492 §3)");
    assert!(of(&heard, "alice@localhost").is_none(), "she is there");
    // One device is there.
    let mut bob = story.house.online("bob@localhost/laptop").await;
    let mut tablet = story.house.online("bob@localhost/tablet").await;
    let room = story.room.clone();
    enter(&mut bob, &room, "bob").await;
    let heard = story.say("<body>hello</body>").await;
    assert!(of(&heard, "bob@localhost").is_none());
    bob.disconnect().await;
    tablet.skip();
    let heard = story.say("<body>hello</body>").await;
    assert!(of(&heard, "bob@localhost").is_some());
}

#[tokio::test]
async fn each_member_says_what_they_want_in_their_bookmark() {
    // XEP-0402 §2, XEP-0492 §2, §3
    let mut story = Story::new("wishes").await;
    add_dave(&mut story).await;
    let mut bob = story.house.online("bob@localhost/laptop").await;
    let room = story.room.clone();
    let notify = |inner: &str| {
        format!("<extensions><notify xmlns='urn:xmpp:notification-settings:1'>{inner}</notify></extensions>")
    };
    let mention =
        "<body>bob</body><reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:bob@localhost'/>";
    let always = Some(true);
    let never = None;
    for (autojoin, extensions, plain, mentioned) in [
        ("true", String::new(), Some(false), always),
        ("true", notify("<always/>"), always, always),
        ("true", notify("<on-mention/>"), Some(false), always),
        ("true", notify("<never/>"), never, never),
        (
            "true",
            notify("<never/><always identity-category='client' identity-type='phone'/>"),
            always,
            always,
        ),
        (
            "true",
            notify("<always/><never identity-category='client' identity-type='pc'/>"),
            always,
            always,
        ),
        ("false", notify("<always/>"), never, never),
        ("0", String::new(), never, never),
    ] {
        bookmark(&mut bob, &room, autojoin, &extensions).await;
        for (inner, expected) in [("<body>hello</body>", plain), (mention, mentioned)] {
            let heard = story.say(inner).await;
            let wants = of(&heard, "bob@localhost").map(|bob| bob.wants);
            assert_eq!(wants, expected, "{autojoin} {extensions} {inner}");
        }
    }
    // The bookmark goes: it is as if nothing had been said.
    bob.send(&format!(
        "<iq id='r' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <retract node='urn:xmpp:bookmarks:1'><item id='{room}'/></retract></pubsub></iq>"
    ))
    .await;
    let heard = story.say("<body>hello</body>").await;
    assert_eq!(of(&heard, "bob@localhost").map(|bob| bob.wants), Some(false));
}

#[tokio::test]
async fn in_a_private_group_members_hear_everything() {
    // XEP-0492 §3
    let mut story = Story::new("private").await;
    add_dave(&mut story).await;
    story.configure("muc#roomconfig_whois", "anyone").await;
    let heard = story
        .say("<encrypted xmlns='eu.siacs.conversations.axolotl'/>")
        .await;
    assert!(of(&heard, "bob@localhost").unwrap().wants);
    // What nobody reads is told to nobody.
    let nothing = story
        .say("<composing xmlns='http://jabber.org/protocol/chatstates'/>")
        .await;
    assert!(nothing.is_none());
}

#[tokio::test]
async fn an_owner_may_have_it_otherwise() {
    let mut story = Story::new("quiet").await;
    story.configure("{urn:kim:muc:0}roomconfig_sticky", "0").await;
    let room = story.room.clone();
    story
        .alice
        .send(&format!(
            "<message to='{room}' type='groupchat'><body>x</body></message>"
        ))
        .await;
    story.configure("{urn:kim:muc:0}roomconfig_sticky", "1").await;
    let heard = story.say("<body>now</body>").await;
    assert!(
        heard.unwrap().0.contains("<body>now</body>"),
        "the first one was not"
    );
}

#[tokio::test]
async fn who_comes_later_catches_up_from_the_rooms_archive() {
    let mut story = Story::new("later").await;
    let heard = story.say("<body>while you were away</body>").await.unwrap();
    let id = heard.0.split("<stanza-id").nth(1).unwrap();
    let id = id
        .split(" id='")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .to_owned();
    let mut bob = story.house.online("bob@localhost/laptop").await;
    bob.send(&format!(
        "<iq id='q' to='{}' type='set'><query xmlns='urn:xmpp:mam:2'/></iq>",
        story.room
    ))
    .await;
    let first = bob.next().unwrap();
    assert!(first.contains(&format!("id='{id}'")), "the same id: {first}");
    assert!(first.contains("while you were away"));
}
