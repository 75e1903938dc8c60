//! What counts as encrypted, and what becomes of the rest.

use kim_core::module::Entry;
use kim_core::testing::House;

use super::MessageEncryption;
use super::api::Tally;
use crate::rfc6121_im::Im;
use crate::xep0004_forms::DataForms;
use crate::xep0030_disco::Disco;
use crate::xep0359_ids::StanzaIds;

const MODULES: &[Entry] = &[
    Entry::of::<StanzaIds>(),
    Entry::of::<Im>(),
    Entry::of::<DataForms>(),
    Entry::of::<crate::xep0059_rsm::ResultSets>(),
    Entry::of::<Disco>(),
    Entry::of::<MessageEncryption>(),
];

const REQUIRE: &str = "[xep0380_eme]\npolicy = \"require\"\n";
const REFUSED: &str = "<message type='error'>...<error type='modify'><policy-violation \
    xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>This \
    server accepts only encrypted messages. Turn on OMEMO for this conversation.</text></error></message>";

/// Sends each payload to Bob in a message with these attributes; how many came back as refused.
async fn refusals(config: &str, attributes: &str, payloads: &[&str]) -> Vec<usize> {
    let house = House::configured(MODULES, config).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    let mut refused = Vec::new();
    for (at, payload) in payloads.iter().enumerate() {
        alice
            .send(&format!(
                "<message to='bob@localhost' {attributes}>{payload}</message>"
            ))
            .await;
        match alice.next() {
            Some(error) => {
                assert!(error.contains("policy-violation"), "{error}");
                bob.expect_nothing();
                refused.push(at);
            }
            None => assert!(bob.next().is_some(), "{payload} was lost"),
        }
    }
    let tally = house.router.fact::<Tally>().unwrap();
    assert_eq!(tally.refused() as usize, refused.len());
    refused
}

#[tokio::test]
async fn a_readable_body_comes_back_with_a_text() {
    let house = House::configured(MODULES, REQUIRE).await;
    let mut alice = house.online("alice@localhost/phone").await;
    let mut bob = house.online("bob@localhost/laptop").await;
    alice
        .ask(
            "<message id='1' to='bob@localhost' type='chat'><body>hello</body></message>",
            REFUSED,
        )
        .await;
    bob.expect_nothing();
    let tally = house.router.fact::<Tally>().unwrap();
    assert_eq!((tally.encrypted(), tally.readable(), tally.refused()), (0, 0, 1));
}

#[tokio::test]
async fn ciphertext_of_every_known_kind_passes_with_the_body_beside_it() {
    let body = "<body>I sent you an OMEMO encrypted message</body>";
    let passes = [
        "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>",
        "<encrypted xmlns='urn:xmpp:omemo:1'/>",
        "<encrypted xmlns='urn:xmpp:omemo:2'/>",
        "<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>",
        "<x xmlns='jabber:x:encrypted'>x</x>",
        "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:new:mechanism'/>",
    ]
    .map(|element| format!("{element}{body}"));
    let passes: Vec<&str> = passes.iter().map(String::as_str).collect();
    for kind in ["type='chat'", ""] {
        assert!(refusals(REQUIRE, kind, &passes).await.is_empty());
    }
    let otr = [
        "<body>?OTR?v23?</body>",
        "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:otr:0'/><body>?OTR:AAED</body>",
    ];
    assert!(refusals(REQUIRE, "type='chat'", &otr).await.is_empty());
}

#[tokio::test]
async fn what_has_nothing_to_read_passes() {
    let passes = [
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        "<received xmlns='urn:xmpp:receipts' id='1'/>",
        "<x xmlns='jabber:x:conference' jid='room@conference.localhost'/><body>come</body>",
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x><body>come</body>",
        "<retract xmlns='urn:xmpp:message-retract:1' id='1'/><fallback xmlns='urn:xmpp:fallback:0' \
         for='urn:xmpp:message-retract:1'/><body>I took something back</body>",
    ];
    assert!(refusals(REQUIRE, "type='chat'", &passes).await.is_empty());
}

#[tokio::test]
async fn what_only_looks_encrypted_does_not_pass() {
    let refused = [
        "<body>plain</body>",
        "<body>plain</body><encryption xmlns='urn:xmpp:eme:0' namespace='eu.siacs.conversations.axolotl'/>",
        "<body>plain</body><encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:otr:0'/>",
        "<body>plain</body><encryption xmlns='urn:xmpp:eme:0' namespace=''/>",
        "<body>plain</body><encryption xmlns='urn:xmpp:eme:0'/>",
        "<body>plain</body><encrypted xmlns='urn:other'/>",
        "<body>plain</body><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/>",
        "<body>plain</body><fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'/><reply xmlns='urn:xmpp:reply:0'/>",
        "<body>?OTR?</body><body xml:lang='de'>lesbar</body>",
        "<body/>",
    ];
    let all: Vec<usize> = (0..refused.len()).collect();
    assert_eq!(refusals(REQUIRE, "type='chat'", &refused).await, all);
    assert_eq!(refusals(REQUIRE, "", &refused).await, all);
    for off in [
        "",
        "[xep0380_eme]\npolicy = \"prefer\"\n",
        "[xep0380_eme]\nrooms_policy = \"require\"\n",
    ] {
        assert!(refusals(off, "type='chat'", &refused).await.is_empty());
    }
}

#[tokio::test]
async fn rooms_have_a_policy_of_their_own() {
    for (config, refused) in [
        (REQUIRE, false),
        ("[xep0380_eme]\nrooms_policy = \"require\"\n", true),
    ] {
        let house = House::configured(MODULES, config).await;
        let mut alice = house.online("alice@localhost/phone").await;
        for message in [
            "<message type='groupchat' to='room@conference.example.org'><body>hi</body></message>",
            "<message type='chat' to='room@conference.example.org/bob'><body>hi</body>\
             <x xmlns='http://jabber.org/protocol/muc#user'/></message>",
        ] {
            alice.send(message).await;
            let answer = alice.next().unwrap();
            assert_eq!(answer.contains("policy-violation"), refused, "{answer}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_is_announced() {
    let asked =
        "<iq id='d' type='get' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    for (config, announced) in [(REQUIRE, true), ("", false)] {
        let house = House::configured(MODULES, config).await;
        let mut alice = house.online("alice@localhost/phone").await;
        alice.send(asked).await;
        let info = alice.next().unwrap();
        assert_eq!(info.contains("<feature var='urn:xmpp:eme:0'/>"), announced);
        let form = "<field var='policy'><value>require</value></field>";
        assert_eq!(
            info.contains(form) && info.contains(super::FORM),
            announced,
            "{info}"
        );
    }
}

#[tokio::test]
async fn the_server_itself_may_be_told_anything() {
    let house = House::configured(MODULES, REQUIRE).await;
    let mut alice = house.online("alice@localhost/phone").await;
    alice
        .send("<message id='1' type='chat' to='localhost'><body>help</body></message>")
        .await;
    assert!(
        alice
            .next()
            .is_none_or(|answer| !answer.contains("policy-violation"))
    );
}
