//! New rooms: entering them, the first configuration, the types in forms, and the ids of answers.

use kim_core::testing::{Client, House};

use super::{ROOM, configured, enter, instant, join, room};

const OWNER: &str = "http://jabber.org/protocol/muc#owner";

fn came(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next()).collect()
}

/// What a client reads of a request's answer, with all that came before it.
async fn asked(client: &mut Client, to: &str, kind: &str, payload: &str) -> String {
    client.skip();
    client
        .send(&format!("<iq id='q' to='{to}' type='{kind}'>{payload}</iq>"))
        .await;
    came(client).concat()
}

async fn configure(client: &mut Client, fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    let query = format!("<query xmlns='{OWNER}'><x xmlns='jabber:x:data' type='submit'>{fields}</x></query>");
    asked(client, ROOM, "set", &query).await
}

#[tokio::test]
async fn an_invited_person_enters_a_room_that_nobody_configured_at_once() {
    // §10.1.1, and clients that make rooms by entering them and never configure one.
    let house = House::new(crate::MODULES).await;
    let mut alice = house.connect("alice@localhost/desktop").await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    enter(&mut alice, "alice").await;
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    assert!(asked(&mut bob, ROOM, "get", info).await.contains("type='result'"));
    enter(&mut bob, "bob").await;
    assert!(alice.next().unwrap().contains("/bob'"));
    // It stands in no list before its owner has had the time to hide it, and is closed to guests.
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let listed = asked(&mut bob, "conference.localhost", "get", items).await;
    assert!(!listed.contains("coven"), "{listed}");
    let mut guest = house.guest("g@guest.localhost/web").await;
    join(&mut guest, "g").await;
    assert!(guest.next().unwrap().contains("<item-not-found"));
    // Its owner still configures it, and a cancellation still destroys it (§10.1.3).
    let cancel = format!("<query xmlns='{OWNER}'><x xmlns='jabber:x:data' type='cancel'/></query>");
    let cancelled = asked(&mut alice, ROOM, "set", &cancel).await;
    assert!(cancelled.contains("<destroy/>"), "{cancelled}");
    assert!(came(&mut bob).concat().contains("<destroy/>"));
}

#[tokio::test]
async fn the_first_configuration_is_told_to_all_who_are_there() {
    // §10.2.1
    for (fields, codes) in [
        (&[][..], &["170"][..]),
        (&[("muc#roomconfig_whois", "anyone")], &["170", "172"]),
        (&[("muc#roomconfig_enablearchiving", "0")], &["171"]),
        (&[("muc#roomconfig_roomname", "Cave")], &["104", "170"]),
    ] {
        let house = House::new(crate::MODULES).await;
        let mut alice = house.connect("alice@localhost/desktop").await;
        let mut bob = house.connect("bob@localhost/laptop").await;
        enter(&mut alice, "alice").await;
        enter(&mut bob, "bob").await;
        let statuses: String = codes
            .iter()
            .map(|code| format!("<status code='{code}'/>"))
            .collect();
        let told = format!("<x xmlns='http://jabber.org/protocol/muc#user'>{statuses}</x></message>");
        let got = configure(&mut alice, fields).await;
        assert!(got.contains(&told), "{fields:?}: {got}");
        let got = came(&mut bob).concat();
        assert!(got.contains(&told), "{fields:?}: {got}");
    }
}

#[tokio::test]
async fn a_new_occupant_is_warned_and_the_visible_address_comes_last() {
    // §7.2.3, §7.2.12
    let house = House::new(crate::MODULES).await;
    let mut alice = house.connect("alice@localhost/desktop").await;
    let mut bob = house.connect("bob@localhost/laptop").await;
    join(&mut alice, "alice").await;
    let own = alice.next().unwrap();
    let made = "<status code='110'/><status code='170'/><status code='201'/>";
    assert!(own.contains(made), "{own}");
    configure(&mut alice, &[("muc#roomconfig_whois", "anyone")]).await;
    join(&mut bob, "bob").await;
    let seen = came(&mut bob).concat();
    let warned = "<status code='110'/><status code='170'/><status code='100'/>";
    assert!(seen.contains(warned), "{seen}");
}

#[tokio::test]
async fn an_answer_in_presence_has_the_id_of_what_was_asked() {
    // §7.2.2; clients wait for it when they change their nickname and when they leave.
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let mut tablet = house.connect("bob@localhost/tablet").await;
    enter(&mut tablet, "bob").await;
    bob.skip();
    alice.skip();
    bob.send(&format!("<presence id='n' to='{ROOM}/robert'/>")).await;
    let got = came(&mut bob);
    assert_eq!(got.len(), 2, "{got:#?}");
    assert!(got.iter().all(|xml| xml.contains("id='n'")), "{got:#?}");
    for other in [&mut tablet, &mut alice] {
        let got = came(other).concat();
        assert!(got.contains("/robert'") && !got.contains("id='n'"), "{got}");
    }
    bob.send(&format!(
        "<presence id='u' to='{ROOM}/robert'><show>away</show></presence>"
    ))
    .await;
    assert!(came(&mut bob).concat().contains("id='u'"));
    for (client, id) in [(&mut bob, "l1"), (&mut tablet, "l2")] {
        client.skip();
        client
            .send(&format!(
                "<presence id='{id}' to='{ROOM}/robert' type='unavailable'/>"
            ))
            .await;
        let gone = client.next().unwrap();
        let right = gone.contains(&format!("id='{id}'")) && gone.contains("type='unavailable'");
        assert!(right && gone.contains("code='110'"), "{gone}");
    }
    assert!(!came(&mut alice).concat().contains("id='l"));
    // §7.2.18: not inside any more.
    bob.send(&format!("<presence id='x' to='{ROOM}/robert'/>")).await;
    assert!(bob.next().unwrap().contains("id='x'"));
}

#[tokio::test]
async fn a_burst_of_new_rooms_stays_within_the_limit() {
    let house = configured("[xep0045_muc]\nrooms_per_account_max = 3\n").await;
    let mut clients = Vec::new();
    for at in 0..8 {
        clients.push(house.connect(&format!("alice@localhost/{at}")).await);
    }
    let making = clients.into_iter().enumerate().map(|(at, mut client)| {
        tokio::spawn(async move {
            client
                .send(&format!(
                    "<presence to='room{at}@conference.localhost/alice'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
                ))
                .await;
            let first = client.next().unwrap();
            (client, first)
        })
    });
    let making: Vec<_> = making.collect();
    let (mut made, mut refused) = (0, 0);
    let mut there = Vec::new();
    for one in making {
        let (client, first) = one.await.unwrap();
        made += usize::from(first.contains("code='201'"));
        refused += usize::from(first.contains("<resource-constraint") && first.contains("type='wait'"));
        there.push(client);
    }
    assert_eq!((made, refused), (3, 5));
}

#[tokio::test]
async fn a_nickname_that_looks_like_another_persons_is_refused() {
    // UTS 39 §4; Cyrillic о, and a capital I for an l.
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    let member = "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='carol@localhost' nick='Carol'/></query>";
    asked(&mut alice, ROOM, "set", member).await;
    let mut mallory = house.connect("mallory@localhost/x").await;
    for nick in ["b\u{43e}b", "aIice", "\u{430}lice", "Caro1"] {
        join(&mut mallory, nick).await;
        let refused = mallory.next().unwrap();
        assert!(
            refused.contains("<conflict") && refused.contains("looks like"),
            "{nick}: {refused}"
        );
    }
    enter(&mut mallory, "mallory").await;
    mallory.send(&format!("<presence to='{ROOM}/b\u{43e}b'/>")).await;
    assert!(mallory.next().unwrap().contains("<conflict"));
    let register = |nick: &str| {
        format!(
            "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>\
             <field var='muc#register_roomnick'><value>{nick}</value></field></x></query>"
        )
    };
    let answer = asked(&mut mallory, ROOM, "set", &register("\u{441}arol")).await;
    assert!(answer.contains("<conflict"), "{answer}");
    // One's own other sessions and nicknames are no strangers.
    enter(&mut house.connect("bob@localhost/tablet").await, "bob").await;
    bob.skip();
    bob.send(&format!("<presence to='{ROOM}/B\u{43e}b'/>")).await;
    assert!(came(&mut bob).concat().contains("code='303'"));
}

#[tokio::test]
async fn a_moderator_is_shown_those_whose_presence_the_room_tells_and_no_others() {
    // §7.2.2, muc#roomconfig_presencebroadcast
    let house = House::new(crate::MODULES).await;
    let (mut alice, mut bob) = room(&house).await;
    enter(&mut house.connect("carol@localhost/pda").await, "carol").await;
    let only = [("muc#roomconfig_presencebroadcast", "moderator")];
    configure(&mut alice, &only).await;
    bob.skip();
    let moderator =
        "<query xmlns='http://jabber.org/protocol/muc#admin'><item nick='bob' role='moderator'/></query>";
    asked(&mut alice, ROOM, "set", moderator).await;
    let got = came(&mut bob).concat();
    assert!(got.contains("/alice'") && !got.contains("/carol'"), "{got}");
    // When the room tells of participants again, all see them.
    let all = "<field var='muc#roomconfig_presencebroadcast'><value>moderator</value><value>participant</value></field>";
    instant_again(&mut alice, all).await;
    let got = came(&mut bob).concat();
    assert!(
        got.contains("/carol'") && got.contains("jid='carol@localhost/pda'"),
        "{got}"
    );
}

async fn instant_again(owner: &mut Client, fields: &str) {
    let query = format!("<query xmlns='{OWNER}'><x xmlns='jabber:x:data' type='submit'>{fields}</x></query>");
    asked(owner, ROOM, "set", &query).await;
}

#[tokio::test]
async fn forms_have_the_types_of_the_registry() {
    // §15.5; clients that go by it drop a form that has other types.
    let house = House::new(crate::MODULES).await;
    let mut alice = house.connect("alice@localhost/desktop").await;
    enter(&mut alice, "alice").await;
    instant(
        &mut alice,
        ROOM,
        "<field var='muc#roomconfig_maxusers'><value>25</value></field>\
         <field var='muc#roomconfig_roomdesc'><value>A place</value><value>for all</value></field>\
         <field var='muc#roomconfig_whois'><value>anyone</value></field>",
    )
    .await;
    let form = asked(&mut alice, ROOM, "get", &format!("<query xmlns='{OWNER}'/>")).await;
    for (var, kind) in [
        ("muc#maxhistoryfetch", "text-single"),
        ("muc#roomconfig_allowpm", "list-single"),
        ("muc#roomconfig_allowinvites", "boolean"),
        ("muc#roomconfig_changesubject", "boolean"),
        ("muc#roomconfig_getmemberlist", "list-multi"),
        ("muc#roomconfig_lang", "text-single"),
        ("muc#roomconfig_maxusers", "list-single"),
        ("muc#roomconfig_membersonly", "boolean"),
        ("muc#roomconfig_moderatedroom", "boolean"),
        ("muc#roomconfig_passwordprotectedroom", "boolean"),
        ("muc#roomconfig_persistentroom", "boolean"),
        ("muc#roomconfig_presencebroadcast", "list-multi"),
        ("muc#roomconfig_publicroom", "boolean"),
        ("muc#roomconfig_roomadmins", "jid-multi"),
        ("muc#roomconfig_roomdesc", "text-single"),
        ("muc#roomconfig_roomname", "text-single"),
        ("muc#roomconfig_roomowners", "jid-multi"),
        ("muc#roomconfig_roomsecret", "text-private"),
        ("muc#roomconfig_slow_mode_duration", "text-single"),
        ("muc#roomconfig_whois", "list-single"),
    ] {
        assert!(
            form.contains(&format!("<field var='{var}' type='{kind}'")),
            "{var}: {form}"
        );
    }
    // The value in force is among the options.
    assert!(form.contains("<value>25</value><option"), "{form}");
    assert!(
        form.contains("<option label='25'><value>25</value></option>"),
        "{form}"
    );
    assert!(
        form.contains("<option label='No limit'><value>none</value></option>"),
        "{form}"
    );
    // XEP-0500 §5.1
    let slow = "label='Seconds between two messages of somebody (0: none)'>\
                <validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:integer'><range min='0' max='86400'/></validate>\
                <value>0</value>";
    assert!(form.contains(slow), "{form}");
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let info = asked(&mut alice, ROOM, "get", info).await;
    for (var, kind) in [
        ("muc#maxhistoryfetch", "text-single"),
        ("muc#roominfo_contactjid", "jid-multi"),
        ("muc#roominfo_description", "text-single"),
        ("muc#roominfo_occupants", "text-single"),
        ("muc#roominfo_subjectmod", "boolean"),
        ("muc#roominfo_slow_mode_duration", "text-single"),
    ] {
        assert!(
            info.contains(&format!("<field var='{var}' type='{kind}'")),
            "{var}: {info}"
        );
    }
    // What a client sends back unchanged changes nothing.
    let same = "<field var='muc#roomconfig_maxusers'><value>none</value></field>";
    instant_again(&mut alice, same).await;
    let form = asked(&mut alice, ROOM, "get", &format!("<query xmlns='{OWNER}'/>")).await;
    assert!(form.contains("<value>none</value><option"), "{form}");
}

#[tokio::test]
async fn the_nodes_of_the_text_get_what_it_demands() {
    // §6.7, §7.12, §18.1.1
    let house = House::new(crate::MODULES).await;
    let (_alice, mut bob) = room(&house).await;
    let info = |node: &str| format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>");
    let items = |node: &str| format!("<query xmlns='http://jabber.org/protocol/disco#items' node='{node}'/>");
    const TRAFFIC: &str = "http://jabber.org/protocol/muc#traffic";
    const ROOMS: &str = "http://jabber.org/protocol/muc#rooms";
    for (to, query, answer) in [
        (ROOM, info(TRAFFIC), "<service-unavailable"),
        ("conference.localhost", info(TRAFFIC), "<service-unavailable"),
        (ROOM, info("x-roomuser-item"), "node='x-roomuser-item'/>"),
        (
            "conference.localhost",
            info("x-roomuser-item"),
            "<feature-not-implemented",
        ),
        ("bob@localhost", items(ROOMS), &format!("{}</iq>", items(ROOMS))),
        ("alice@localhost", items(ROOMS), &format!("{}</iq>", items(ROOMS))),
        (
            ROOM,
            info("http://jabber.org/protocol/muc#admin"),
            "<item-not-found",
        ),
        (ROOM, items(TRAFFIC), "<item-not-found"),
        ("conference.localhost", info("nothing"), "<item-not-found"),
        ("conference.localhost", items("nothing"), "<item-not-found"),
    ] {
        let got = asked(&mut bob, to, "get", &query).await;
        assert!(got.contains(answer), "{to} {query}: {got}");
    }
}
