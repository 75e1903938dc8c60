//! What the answers tell about an account: to people of this server that there is none, to everybody else nothing.

use kim_core::testing::{Client, House};

/// Requests to an account. Of one that hides everything the answers are those of one that is not there.
const REQUESTS: &[&str] = &[
    "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:hidden'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items' node='urn:hidden'/>",
    "<query xmlns='jabber:iq:last'/>",
    "<query xmlns='jabber:iq:version'/>",
    "<query xmlns='jabber:iq:roster'/>",
    "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>",
    "<query xmlns='jabber:iq:register'/>",
    "<query xmlns='urn:xmpp:mam:2'/>",
    "<metadata xmlns='urn:xmpp:mam:2'/>",
    "<prefs xmlns='urn:xmpp:mam:2'/>",
    "<ping xmlns='urn:xmpp:ping'/>",
    "<time xmlns='urn:xmpp:time'/>",
    "<blocklist xmlns='urn:xmpp:blocking'/>",
    "<vCard xmlns='vcard-temp'/>",
    "<command xmlns='http://jabber.org/protocol/commands' node='urn:hidden'/>",
    "<unknown xmlns='urn:unknown'/>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'/>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:hidden'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:hidden' max_items='1'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:hidden' max_items='x'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:hidden'><item id='1'/></items></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:hidden'><item/></items></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:none'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscriptions/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><affiliations/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='urn:hidden' jid='ME'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><unsubscribe node='urn:hidden' jid='ME'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><unsubscribe node='urn:hidden' jid='x@localhost'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:hidden'><item><x xmlns='x'/></item></publish></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:hidden'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><retract node='urn:hidden'><item id='1'/></retract></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><create node='urn:other'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='urn:hidden'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><delete node='urn:hidden'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><default/></pubsub>",
];

const MESSAGES: &[&str] = &[
    "type='chat'><body>hello</body>",
    "type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/>",
    "type='chat'><body>hello</body><no-store xmlns='urn:xmpp:hints'/>",
    "><body>hello</body>",
    "type='headline'><body>hello</body>",
    "type='groupchat'><body>hello</body>",
    "type='error'><body>hello</body>",
];

/// Everything that somebody can send to an account, with `TO` where its address belongs.
fn everything() -> Vec<String> {
    let mut all = Vec::new();
    for to in ["TO", "TO/phone", "TO/gone"] {
        for (kind, request) in ["get", "set"]
            .iter()
            .flat_map(|kind| REQUESTS.iter().map(move |one| (kind, one)))
        {
            all.push(format!("<iq id='i' to='{to}' type='{kind}'>{request}</iq>"));
        }
        for message in MESSAGES {
            all.push(format!("<message id='m' to='{to}' {message}</message>"));
        }
        for kind in [
            "",
            "probe",
            "subscribe",
            "unsubscribe",
            "subscribed",
            "unsubscribed",
            "unavailable",
        ] {
            let kind = if kind.is_empty() {
                String::new()
            } else {
                format!(" type='{kind}'")
            };
            all.push(format!("<presence id='p' to='{to}'{kind}/>"));
        }
    }
    all
}

/// What comes back for a stanza to that address, without the address. Pushes of the own roster tell nothing of others.
async fn heard(client: &mut Client, stanza: &str, account: &str) -> Vec<String> {
    let me = client.session.account.to_string();
    client
        .send(&stanza.replace("TO", account).replace("ME", &me))
        .await;
    let answers = std::iter::from_fn(|| client.next());
    let answers = answers.filter(|xml| !xml.contains("<query xmlns='jabber:iq:roster' ver="));
    answers.map(|xml| xml.replace(account, "TO")).collect()
}

#[tokio::test]
async fn guests_learn_nothing_about_accounts() {
    for toml in ["", "[limits]\noffline_messages_max = 0\n"] {
        let house = House::configured(crate::MODULES, toml).await;
        // One is there and hides everything, one is away, one has blocked all guests, one does not exist.
        let mut alice = house.online("alice@localhost/phone").await;
        let publish = "<iq id='p' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:hidden'>\
                       <item id='1'><x xmlns='x'/></item></publish></pubsub></iq>";
        alice.send(publish).await;
        alice.skip();
        house.account("bobby@localhost").await;
        let mut carol = house.online("carol@localhost/phone").await;
        let block = "<block xmlns='urn:xmpp:blocking'><item jid='guest.localhost'/></block>";
        carol.send(&format!("<iq id='b' type='set'>{block}</iq>")).await;
        let mut guest = house.guest("x7@guest.localhost/web").await;
        for stanza in everything() {
            let nobody = heard(&mut guest, &stanza, "nobody@localhost").await;
            for account in ["alice@localhost", "bobby@localhost", "carol@localhost"] {
                assert_eq!(
                    heard(&mut guest, &stanza, account).await,
                    nobody,
                    "{account}: {stanza}"
                );
            }
        }
        assert_eq!(alice.next(), None);
    }
}

#[tokio::test]
async fn strangers_learn_nothing_but_from_typos() {
    let house = House::new(crate::MODULES).await;
    house.account("bobby@localhost").await;
    let mut eve = house.online("eve@localhost/x").await;
    // A typo is told of, and a list of names is not to be had.
    let typo = "<message id='m' to='TO' type='chat'><body>hello</body></message>";
    let mut told = 0;
    for _ in 0..100 {
        let answer = heard(&mut eve, typo, "nobody@localhost").await;
        assert!(
            answer.len() <= 1 && answer.iter().all(|xml| xml.contains("<service-unavailable")),
            "{answer:?}"
        );
        told += answer.len();
    }
    assert_eq!(told, 20);
    house.clock.advance(60);
    assert_eq!(heard(&mut eve, typo, "nobody@localhost").await.len(), 1);
    // From there on both are the same.
    let rated = |stanza: &str| stanza.contains("'subscribe'");
    for stanza in everything().into_iter().filter(|stanza| !rated(stanza)) {
        let nobody = heard(&mut eve, &stanza, "nobody@localhost").await;
        assert_eq!(
            heard(&mut eve, &stanza, "bobby@localhost").await,
            nobody,
            "{stanza}"
        );
    }
}
