//! What a change does to one contact of a roster, without a database: the roster's own rules (RFC 6121 §2.3–§2.5)
//! around the subscription's ([`super::subscription`]).

use kim_core::jid::BareJid;

use super::item::RosterItem;
use super::subscription::{self, Act, ContactState, Half, Tell};

/// A change of one contact.
#[derive(Clone, Debug)]
pub enum Edit {
    /// A client sent a subscription stanza to the contact (§3).
    Outbound(Act),
    /// The contact sent one; a request that will have to wait comes with its stored form.
    Inbound(Act, Option<Vec<u8>>),
    /// A client set the item (§2.3, §2.4).
    Set {
        /// The name.
        name: Option<Box<str>>,
        /// The groups.
        groups: Box<[Box<str>]>,
    },
    /// A client removed the item (§2.5).
    Remove,
    /// The contact's server cannot be reached: no answer to a request will come (§3.1.3).
    Unreachable,
    /// Both sides have agreed elsewhere: each sees the other (XEP-0401 §5.5).
    Befriend,
}

/// What follows from a change besides the roster push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// The stanza goes on: to the contact if it is outbound, to the clients if it is inbound.
    pub pass: bool,
    /// Stanzas that the server sends to the contact in the account's name.
    pub send: Vec<Act>,
    /// What the contact is told about presence.
    pub tell: Tell,
}

/// The outcome of a change: how the contact stands, and what follows.
#[derive(Clone, Debug)]
pub struct SubscriptionOutcome {
    /// The contact afterwards.
    pub item: RosterItem,
    /// What follows.
    pub follow: Follow,
}

/// Applies a change to a contact (`None`: nothing is known about it). `None` is given back for the removal of what
/// is not listed.
pub fn apply(before: Option<&RosterItem>, contact: &BareJid, edit: &Edit) -> Option<SubscriptionOutcome> {
    let mut item = before
        .cloned()
        .unwrap_or_else(|| RosterItem::new(contact.clone()));
    let follow = match edit {
        Edit::Outbound(act) => {
            let result = subscription::outbound(item.state, *act);
            // A request, an approval and a pre-approval put the contact into the roster (§3.1.2, §3.1.5, §3.4.2).
            item.listed |= matches!(act, Act::Subscribe | Act::Subscribed) && item.state != result.state;
            item.state = result.state;
            Follow {
                pass: result.route,
                send: Vec::new(),
                tell: result.tell,
            }
        }
        Edit::Inbound(act, _) => {
            let result = subscription::inbound(item.state, *act);
            item.state = result.state;
            Follow {
                pass: result.deliver,
                send: result.answer.into_iter().collect(),
                tell: result.tell,
            }
        }
        Edit::Set { name, groups } => {
            item.listed = true;
            item.name = name.clone();
            item.groups = groups.clone();
            Follow {
                pass: false,
                send: Vec::new(),
                tell: Tell::Nothing,
            }
        }
        Edit::Remove => {
            if !item.listed {
                return None;
            }
            let was = item.state;
            item = RosterItem {
                version: item.version,
                ..RosterItem::new(contact.clone())
            };
            farewell(was)
        }
        Edit::Unreachable => {
            if item.state.outgoing == Half::Asked {
                item.state.outgoing = Half::No;
            }
            Follow {
                pass: false,
                send: Vec::new(),
                tell: Tell::Nothing,
            }
        }
        Edit::Befriend => {
            let tell = if item.state.is_from() {
                Tell::Nothing
            } else {
                Tell::Current
            };
            item.listed = true;
            item.state = ContactState {
                outgoing: Half::Yes,
                incoming: Half::Yes,
                approved: false,
            };
            Follow {
                pass: false,
                send: Vec::new(),
                tell,
            }
        }
    };
    Some(SubscriptionOutcome { item, follow })
}

/// What a contact is told when it is dropped: whatever there was of a subscription ends (§2.5.2, §2.5.3).
pub fn farewell(was: ContactState) -> Follow {
    let mut send = Vec::new();
    if was.outgoing != Half::No {
        send.push(Act::Unsubscribe);
    }
    if was.incoming != Half::No {
        send.push(Act::Unsubscribed);
    }
    let tell = if was.is_from() { Tell::Gone } else { Tell::Nothing };
    Follow {
        pass: false,
        send,
        tell,
    }
}
