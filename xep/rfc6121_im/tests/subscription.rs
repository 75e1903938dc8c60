//! Every row of RFC 6121 appendix A, then the same through whole rosters.

use crate::rfc6121_im::change::{Edit, apply};
use crate::rfc6121_im::item::RosterItem;
use crate::rfc6121_im::subscription::{Act, ContactState, Half, Tell, inbound, outbound};
use kim_core::jid::BareJid;

/// The names of the states in appendix A.1, in its order.
const STATES: [&str; 9] = [
    "None",
    "None+Out",
    "None+In",
    "None+Out+In",
    "To",
    "To+In",
    "From",
    "From+Out",
    "Both",
];

fn state(name: &str) -> ContactState {
    let (outgoing, incoming) = match name {
        "None" => (Half::No, Half::No),
        "None+Out" => (Half::Asked, Half::No),
        "None+In" => (Half::No, Half::Asked),
        "None+Out+In" => (Half::Asked, Half::Asked),
        "To" => (Half::Yes, Half::No),
        "To+In" => (Half::Yes, Half::Asked),
        "From" => (Half::No, Half::Yes),
        "From+Out" => (Half::Asked, Half::Yes),
        "Both" => (Half::Yes, Half::Yes),
        _ => panic!("{name}"),
    };
    ContactState {
        outgoing,
        incoming,
        approved: false,
    }
}

/// One table: for each state whether the stanza goes on, and the new state.
type Table = [(bool, &'static str); 9];

const GOES: bool = true;
const STAYS: bool = false;

const OUTBOUND: [(&str, Act, Table); 4] = [
    (
        "A.2.1",
        Act::Subscribe,
        [
            (GOES, "None+Out"),
            (GOES, "None+Out"),
            (GOES, "None+Out+In"),
            (GOES, "None+Out+In"),
            (GOES, "To"),
            (GOES, "To+In"),
            (GOES, "From+Out"),
            (GOES, "From+Out"),
            (GOES, "Both"),
        ],
    ),
    (
        "A.2.2",
        Act::Unsubscribe,
        [
            (GOES, "None"),
            (GOES, "None"),
            (GOES, "None+In"),
            (GOES, "None+In"),
            (GOES, "None"),
            (GOES, "None+In"),
            (GOES, "From"),
            (GOES, "From"),
            (GOES, "From"),
        ],
    ),
    (
        "A.2.3",
        Act::Subscribed,
        [
            (STAYS, "None"),
            (STAYS, "None+Out"),
            (GOES, "From"),
            (GOES, "From+Out"),
            (STAYS, "To"),
            (GOES, "Both"),
            (STAYS, "From"),
            (STAYS, "From+Out"),
            (STAYS, "Both"),
        ],
    ),
    (
        "A.2.4",
        Act::Unsubscribed,
        [
            (STAYS, "None"),
            (STAYS, "None+Out"),
            (GOES, "None"),
            (GOES, "None+Out"),
            (STAYS, "To"),
            (GOES, "To"),
            (GOES, "None"),
            (GOES, "None+Out"),
            (GOES, "To"),
        ],
    ),
];

const INBOUND: [(&str, Act, Table); 4] = [
    (
        "A.3.1",
        Act::Subscribe,
        [
            (GOES, "None+In"),
            (GOES, "None+Out+In"),
            (STAYS, "None+In"),
            (STAYS, "None+Out+In"),
            (GOES, "To+In"),
            (STAYS, "To+In"),
            (STAYS, "From"),
            (STAYS, "From+Out"),
            (STAYS, "Both"),
        ],
    ),
    (
        "A.3.2",
        Act::Unsubscribe,
        [
            (STAYS, "None"),
            (STAYS, "None+Out"),
            (GOES, "None"),
            (GOES, "None+Out"),
            (STAYS, "To"),
            (GOES, "To"),
            (GOES, "None"),
            (GOES, "None+Out"),
            (GOES, "To"),
        ],
    ),
    (
        "A.3.3",
        Act::Subscribed,
        [
            (STAYS, "None"),
            (GOES, "To"),
            (STAYS, "None+In"),
            (GOES, "To+In"),
            (STAYS, "To"),
            (STAYS, "To+In"),
            (STAYS, "From"),
            (GOES, "Both"),
            (STAYS, "Both"),
        ],
    ),
    (
        "A.3.4",
        Act::Unsubscribed,
        [
            (STAYS, "None"),
            (GOES, "None"),
            (STAYS, "None+In"),
            (GOES, "None+In"),
            (GOES, "None"),
            (GOES, "None+In"),
            (STAYS, "From"),
            (GOES, "From"),
            (GOES, "From"),
        ],
    ),
];

#[test]
fn outbound_stanzas_follow_the_tables() {
    for (section, act, table) in OUTBOUND {
        for (name, (goes, new)) in STATES.into_iter().zip(table) {
            let was = state(name);
            let result = outbound(was, act);
            // §3.4: an approval that nobody asked for yet is kept; what ends a subscription ends that too.
            let approved = act == Act::Subscribed && was.incoming == Half::No;
            assert_eq!(
                result.state,
                ContactState {
                    approved,
                    ..state(new)
                },
                "{section} {name}"
            );
            assert_eq!(result.route, goes, "{section} {name}");
            let tell = match (was.incoming, result.state.incoming) {
                (Half::Asked, Half::Yes) => Tell::Current,
                (Half::Yes, Half::No) => Tell::Gone,
                _ => Tell::Nothing,
            };
            assert_eq!(result.tell, tell, "{section} {name}: §3.1.5, §3.2.2");
        }
    }
}

#[test]
fn inbound_stanzas_follow_the_tables() {
    for (section, act, table) in INBOUND {
        for (name, (goes, new)) in STATES.into_iter().zip(table) {
            let was = state(name);
            let result = inbound(was, act);
            assert_eq!(result.state, state(new), "{section} {name}");
            assert_eq!(result.deliver, goes, "{section} {name}");
            let known = act == Act::Subscribe && was.incoming == Half::Yes;
            assert_eq!(
                result.answer,
                known.then_some(Act::Subscribed),
                "{section} {name}: asked again"
            );
            let gone = act == Act::Unsubscribe && was.incoming == Half::Yes;
            let tell = if known {
                Tell::Current
            } else if gone {
                Tell::Gone
            } else {
                Tell::Nothing
            };
            assert_eq!(result.tell, tell, "{section} {name}: §3.3.3");
        }
    }
}

/// §3.4: with a pre-approval the request is answered and not delivered; everything else is as without.
#[test]
fn a_pre_approval_answers_and_lasts_until_it_is_taken_back() {
    for name in STATES {
        let was = ContactState {
            approved: true,
            ..state(name)
        };
        let result = inbound(was, Act::Subscribe);
        match was.incoming {
            // It came before the approval was possible, so it was approved by a stanza: not a state that arises.
            Half::Asked => assert!(!result.deliver),
            Half::No | Half::Yes => {
                assert_eq!(
                    result.state,
                    ContactState {
                        incoming: Half::Yes,
                        ..was
                    },
                    "{name}"
                );
                assert_eq!(
                    (result.deliver, result.answer),
                    (false, Some(Act::Subscribed)),
                    "{name}"
                );
                assert_eq!(result.tell, Tell::Current, "{name}");
            }
        }
        for act in [Act::Unsubscribe, Act::Subscribed, Act::Unsubscribed] {
            let (with, without) = (inbound(was, act), inbound(state(name), act));
            assert_eq!(
                with.state,
                ContactState {
                    approved: true,
                    ..without.state
                },
                "{name} {act:?}"
            );
            assert_eq!(with.deliver, without.deliver, "{name} {act:?}");
        }
        assert!(!outbound(was, Act::Unsubscribed).state.approved, "{name}: §3.4.3");
    }
}

/// Whatever the two sides do, in whatever order, with every stanza lost or repeated, a state is one of the nine, and a
/// repeated stanza changes nothing the first did not.
#[test]
fn stanzas_can_be_repeated() {
    for name in STATES {
        for act in [
            Act::Subscribe,
            Act::Subscribed,
            Act::Unsubscribe,
            Act::Unsubscribed,
        ] {
            for approved in [false, true] {
                let was = ContactState {
                    approved,
                    ..state(name)
                };
                let once = outbound(was, act).state;
                assert_eq!(outbound(once, act).state, once, "{name} {act:?}");
                let once = inbound(was, act).state;
                assert_eq!(inbound(once, act).state, once, "{name} {act:?}");
            }
        }
    }
}

fn contact() -> BareJid {
    BareJid::parse("bob@localhost").unwrap()
}

fn item(name: &str, listed: bool) -> RosterItem {
    RosterItem {
        listed,
        state: state(name),
        ..RosterItem::new(contact())
    }
}

/// §2.5.2, §2.5.3: what a removal ends.
#[test]
fn a_removal_ends_whatever_there_was() {
    use Act::{Unsubscribe, Unsubscribed};
    let expected: [(&str, &[Act], Tell); 9] = [
        ("None", &[], Tell::Nothing),
        ("None+Out", &[Unsubscribe], Tell::Nothing),
        ("None+In", &[Unsubscribed], Tell::Nothing),
        ("None+Out+In", &[Unsubscribe, Unsubscribed], Tell::Nothing),
        ("To", &[Unsubscribe], Tell::Nothing),
        ("To+In", &[Unsubscribe, Unsubscribed], Tell::Nothing),
        ("From", &[Unsubscribed], Tell::Gone),
        ("From+Out", &[Unsubscribe, Unsubscribed], Tell::Gone),
        ("Both", &[Unsubscribe, Unsubscribed], Tell::Gone),
    ];
    for (name, sends, tell) in expected {
        let done = apply(Some(&item(name, true)), &contact(), &Edit::Remove).unwrap();
        assert!(done.item.is_empty(), "{name}");
        assert_eq!(
            (done.follow.send.as_slice(), done.follow.tell),
            (sends, tell),
            "{name}"
        );
        assert!(
            apply(Some(&item(name, false)), &contact(), &Edit::Remove).is_none(),
            "{name}: not listed"
        );
    }
    assert!(apply(None, &contact(), &Edit::Remove).is_none());
}

/// §3.1.2, §3.1.5, §3.4.2 put a contact into the roster; a request does not (§3.1.3), nor does an end.
#[test]
fn who_comes_into_the_roster() {
    let listed = |name: &str, edit: Edit| {
        apply(Some(&item(name, false)), &contact(), &edit)
            .unwrap()
            .item
            .listed
    };
    assert!(listed("None", Edit::Outbound(Act::Subscribe)));
    assert!(listed("None+In", Edit::Outbound(Act::Subscribed)));
    assert!(listed("None", Edit::Outbound(Act::Subscribed)));
    assert!(!listed("None", Edit::Outbound(Act::Unsubscribe)));
    assert!(!listed("None+In", Edit::Outbound(Act::Unsubscribed)));
    assert!(!listed("None", Edit::Inbound(Act::Subscribe, None)));
    assert!(!listed("None", Edit::Inbound(Act::Subscribed, None)));
    // Setting an item keeps whatever the subscription is (§2.4).
    let set = Edit::Set {
        name: Some("Bob".into()),
        groups: Box::default(),
    };
    assert_eq!(
        apply(Some(&item("To+In", false)), &contact(), &set)
            .unwrap()
            .item
            .state,
        state("To+In")
    );
}
