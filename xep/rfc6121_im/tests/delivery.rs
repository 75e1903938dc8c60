//! Who gets which message: every cell of RFC 6121 §8.5.

use super::{configured, error, with_priority};

/// Who is there besides the sender.
#[derive(Clone, Copy, Debug)]
enum There {
    /// An account without any session.
    Nobody,
    /// A session that never sent presence.
    Silent,
    /// A session of negative priority.
    Negative,
    /// Two of non-negative priority and a negative one.
    Several,
}

/// What the sender's message comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// These of bob's devices have it.
    Reaches(&'static [&'static str]),
    /// It waits.
    Waits,
    /// It is dropped without a word.
    Dropped,
    /// The sender gets `service-unavailable`.
    Refused,
}

use Fate::{Dropped, Reaches, Refused, Waits};
use There::{Negative, Nobody, Several, Silent};

/// Section, type, addressee, who is there, what becomes of it.
const TABLE: &[(&str, &str, &str, There, Fate)] = &[
    // The bare JID, some non-negative resource.
    (
        "8.5.2.1.1",
        "",
        "bob@localhost",
        Several,
        Reaches(&["one", "two"]),
    ),
    (
        "8.5.2.1.1",
        "chat",
        "bob@localhost",
        Several,
        Reaches(&["one", "two"]),
    ),
    ("8.5.2.1.1", "groupchat", "bob@localhost", Several, Refused),
    (
        "8.5.2.1.1",
        "headline",
        "bob@localhost",
        Several,
        Reaches(&["one", "two"]),
    ),
    ("8.5.2.1.1", "error", "bob@localhost", Several, Dropped),
    // The bare JID, only a negative resource, or one that never sent presence.
    ("8.5.2.2.1", "", "bob@localhost", Negative, Waits),
    ("8.5.2.2.1", "chat", "bob@localhost", Negative, Waits),
    ("8.5.2.2.1", "groupchat", "bob@localhost", Negative, Refused),
    ("8.5.2.2.1", "headline", "bob@localhost", Negative, Dropped),
    ("8.5.2.2.1", "error", "bob@localhost", Negative, Dropped),
    ("8.5.2.2.1", "", "bob@localhost", Silent, Waits),
    ("8.5.2.2.1", "chat", "bob@localhost", Silent, Waits),
    ("8.5.2.2.1", "groupchat", "bob@localhost", Silent, Refused),
    ("8.5.2.2.1", "headline", "bob@localhost", Silent, Dropped),
    ("8.5.2.2.1", "error", "bob@localhost", Silent, Dropped),
    // The bare JID, nobody.
    ("8.5.2.2.1", "", "bob@localhost", Nobody, Waits),
    ("8.5.2.2.1", "chat", "bob@localhost", Nobody, Waits),
    ("8.5.2.2.1", "groupchat", "bob@localhost", Nobody, Refused),
    ("8.5.2.2.1", "headline", "bob@localhost", Nobody, Dropped),
    ("8.5.2.2.1", "error", "bob@localhost", Nobody, Dropped),
    // A full JID that is there, whatever its priority.
    ("8.5.3.1", "", "bob@localhost/one", Several, Reaches(&["one"])),
    ("8.5.3.1", "chat", "bob@localhost/one", Several, Reaches(&["one"])),
    (
        "8.5.3.1",
        "groupchat",
        "bob@localhost/one",
        Several,
        Reaches(&["one"]),
    ),
    (
        "8.5.3.1",
        "headline",
        "bob@localhost/one",
        Several,
        Reaches(&["one"]),
    ),
    (
        "8.5.3.1",
        "error",
        "bob@localhost/one",
        Several,
        Reaches(&["one"]),
    ),
    (
        "8.5.3.1",
        "",
        "bob@localhost/minus",
        Negative,
        Reaches(&["minus"]),
    ),
    (
        "8.5.3.1",
        "chat",
        "bob@localhost/minus",
        Negative,
        Reaches(&["minus"]),
    ),
    (
        "8.5.3.1",
        "groupchat",
        "bob@localhost/minus",
        Negative,
        Reaches(&["minus"]),
    ),
    (
        "8.5.3.1",
        "headline",
        "bob@localhost/minus",
        Negative,
        Reaches(&["minus"]),
    ),
    (
        "8.5.3.1",
        "error",
        "bob@localhost/minus",
        Negative,
        Reaches(&["minus"]),
    ),
    (
        "8.5.3.1",
        "chat",
        "bob@localhost/silent",
        Silent,
        Reaches(&["silent"]),
    ),
    // A full JID that is not there, while others are.
    ("8.5.3.2.1", "", "bob@localhost/gone", Several, Refused),
    (
        "8.5.3.2.1",
        "chat",
        "bob@localhost/gone",
        Several,
        Reaches(&["one", "two"]),
    ),
    ("8.5.3.2.1", "groupchat", "bob@localhost/gone", Several, Refused),
    ("8.5.3.2.1", "headline", "bob@localhost/gone", Several, Dropped),
    ("8.5.3.2.1", "error", "bob@localhost/gone", Several, Dropped),
    // A full JID that is not there, and no other that counts.
    ("8.5.3.2.1", "", "bob@localhost/gone", Negative, Refused),
    ("8.5.3.2.1", "chat", "bob@localhost/gone", Negative, Waits),
    ("8.5.3.2.1", "groupchat", "bob@localhost/gone", Negative, Refused),
    ("8.5.3.2.1", "headline", "bob@localhost/gone", Negative, Dropped),
    ("8.5.3.2.1", "error", "bob@localhost/gone", Negative, Dropped),
    ("8.5.3.2.1", "", "bob@localhost/gone", Nobody, Refused),
    ("8.5.3.2.1", "chat", "bob@localhost/gone", Nobody, Waits),
    ("8.5.3.2.1", "groupchat", "bob@localhost/gone", Nobody, Refused),
    ("8.5.3.2.1", "headline", "bob@localhost/gone", Nobody, Dropped),
    ("8.5.3.2.1", "error", "bob@localhost/gone", Nobody, Dropped),
];

#[tokio::test]
async fn every_message_goes_where_the_table_says() {
    for (section, kind, to, there, fate) in TABLE {
        let row = format!("§{section} type '{kind}' to {to}, {there:?}");
        let house = configured("").await;
        house.account("bob@localhost").await;
        let mut alice = with_priority(&house, "alice@localhost/a", 0).await;
        let mut devices = Vec::new();
        match there {
            Nobody => {}
            Silent => devices.push(("silent", house.connect("bob@localhost/silent").await)),
            Negative => devices.push(("minus", with_priority(&house, "bob@localhost/minus", -1).await)),
            Several => {
                for (name, priority) in [("one", 0), ("two", 5), ("minus", -128)] {
                    devices.push((
                        name,
                        with_priority(&house, &format!("bob@localhost/{name}"), priority).await,
                    ));
                }
            }
        }
        devices.iter_mut().for_each(|(_, device)| device.skip());
        let type_attr = if kind.is_empty() {
            String::new()
        } else {
            format!(" type='{kind}'")
        };
        alice
            .send(&format!(
                "<message id='m' to='{to}'{type_attr}><body>hi</body></message>"
            ))
            .await;
        let message = format!(
            "<message id='m' from='alice@localhost/a' to='{to}'{type_attr}><body>hi</body></message>"
        );
        for (name, device) in &mut devices {
            match fate {
                Reaches(names) if names.contains(name) => device.expect(&message),
                _ => assert_eq!(device.next(), None, "{row}: {name}"),
            }
        }
        match (fate, alice.next()) {
            (Refused, Some(answer)) => {
                assert!(
                    answer.contains("type='error'") && answer.contains("service-unavailable"),
                    "{row}: {answer}"
                );
            }
            (Refused, None) => panic!("{row}: not refused"),
            (_, answer) => assert_eq!(answer, None, "{row}"),
        }
        let mut later = house.connect("bob@localhost/later").await;
        later.send("<presence/>").await;
        match fate {
            Waits => later.expect(&format!(
                "<message id='m' from='alice@localhost/a' to='{to}'{type_attr}><body>hi</body>\
                 <delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/></message>"
            )),
            _ => assert!(!later.next().unwrap_or_default().starts_with("<message"), "{row}"),
        }
    }
}

/// §8.5.2.1.3, §8.5.2.2.3, §8.5.3: requests are answered for the account or reach exactly one resource; the router's rules.
#[tokio::test]
async fn requests_go_to_one_resource_or_come_back() {
    let house = configured("").await;
    let mut alice = with_priority(&house, "alice@localhost/a", 0).await;
    let mut bob = with_priority(&house, "bob@localhost/b", -1).await;
    let query = "<query xmlns='urn:example:strange'/>";
    let refused = error("cancel", "service-unavailable");
    for (to, arrives) in [
        ("bob@localhost", false),
        ("bob@localhost/b", true),
        ("bob@localhost/gone", false),
    ] {
        for kind in ["get", "set"] {
            alice
                .send(&format!("<iq id='q' to='{to}' type='{kind}'>{query}</iq>"))
                .await;
            if arrives {
                bob.expect(&format!(
                    "<iq id='q' from='alice@localhost/a' to='{to}' type='{kind}'>{query}</iq>"
                ));
                bob.send("<iq id='q' to='alice@localhost/a' type='result'/>")
                    .await;
                alice.expect("<iq id='q' from='bob@localhost/b' type='result'/>");
            } else {
                alice.expect(&format!("<iq id='q' from='{to}' type='error'>{refused}</iq>"));
            }
        }
        for kind in ["result", "error"] {
            alice.send(&format!("<iq id='r' to='{to}' type='{kind}'/>")).await;
            match arrives {
                true => bob.expect(&format!("<iq id='r' from='alice@localhost/a' type='{kind}'/>")),
                false => bob.expect_nothing(),
            }
            alice.expect_nothing();
        }
    }
}
