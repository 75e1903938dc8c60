//! What is worth waking a phone for, as far as a stanza says so itself.

use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use kim_core::wire::El;

const CARBONS: &str = "urn:xmpp:carbons:2";
const FORWARD: &str = "urn:xmpp:forward:0";
const MARKERS: &str = "urn:xmpp:chat-markers:0";
const CALLS: &str = "urn:xmpp:jingle-message:0";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0249
const DIRECT_INVITATION: &str = "jabber:x:conference";
/// XEP-0452
const MENTIONS: &str = "urn:xmpp:mmn:0";

/// What becomes of a stanza that waits for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WakeWorth {
    /// The device sleeps on.
    Nothing,
    /// Somebody has written.
    Message(SaidText),
    /// The same in a room, which not everybody wants to be woken for.
    InRoom(SaidText),
    /// Somebody calls (XEP-0353 §2.1): it has to ring now or not at all.
    Call(Option<Jid>),
    /// Somebody asks for a subscription (RFC 6121 §3.1).
    Subscription(Option<Jid>),
    /// A call was given up, taken or refused (XEP-0353 §2.1), by whomever.
    CallOver,
    /// The user has read a chat on another device.
    ReadElsewhere(BareJid),
}

impl WakeWorth {
    /// Whether a device is woken for it.
    pub fn wakes(&self) -> bool {
        !matches!(
            self,
            WakeWorth::Nothing | WakeWorth::CallOver | WakeWorth::ReadElsewhere(_)
        )
    }
}

/// What a notification may tell of a message, if that is wanted at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SaidText {
    /// Who wrote it.
    pub from: Option<Jid>,
    /// What stands in it; nothing where it is encrypted.
    pub body: Option<String>,
}

/// Judges a stanza as a device of `account` would get it.
pub(super) fn of(stanza: &Stanza, account: &BareJid) -> WakeWorth {
    match stanza.kind {
        Kind::Presence(PresenceType::Subscribe) => WakeWorth::Subscription(stanza.from.clone()),
        Kind::Presence(_) | Kind::Iq(_) => WakeWorth::Nothing,
        Kind::Message(MessageType::Error | MessageType::Headline) => WakeWorth::Nothing,
        Kind::Message(kind) => {
            let is_own = stanza.from.as_ref().is_some_and(|from| from.bare() == *account);
            match copy(stanza).filter(|_| is_own) {
                Some(copy) => of_copy(&copy, account),
                None if is_own => of_own(stanza.to.as_ref(), stanza.children()),
                None => of_message(kind, stanza.from.as_ref(), stanza.children()),
            }
        }
    }
}

/// A message that another device of the account sent or got (XEP-0280).
struct Copy<'a> {
    message: El<'a>,
    is_sent: bool,
}

fn copy(stanza: &Stanza) -> Option<Copy<'_>> {
    let wrapper = stanza
        .children()
        .find(|child| child.ns() == CARBONS && matches!(child.name(), "sent" | "received"))?;
    let forwarded = wrapper.child("forwarded", FORWARD)?;
    Some(Copy {
        message: forwarded.child("message", ns::CLIENT)?,
        is_sent: wrapper.name() == "sent",
    })
}

fn of_copy(copy: &Copy<'_>, account: &BareJid) -> WakeWorth {
    let kind = match copy.message.attr("type").as_deref() {
        None | Some("normal") => MessageType::Normal,
        Some("chat") => MessageType::Chat,
        _ => return WakeWorth::Nothing,
    };
    let address = |name| Jid::parse(&copy.message.attr(name)?).ok();
    let from = address("from");
    if copy.is_sent || from.as_ref().is_some_and(|from| from.bare() == *account) {
        return of_own(address("to").as_ref(), copy.message.children());
    }
    of_message(kind, from.as_ref(), copy.message.children())
}

/// What the user did on another device is no news. It may be the end of some.
fn of_own<'a>(to: Option<&Jid>, children: impl Iterator<Item = El<'a>>) -> WakeWorth {
    for child in children {
        if child.is("displayed", MARKERS) {
            return to.map_or(WakeWorth::Nothing, |to| WakeWorth::ReadElsewhere(to.bare()));
        }
        if ends_call(&child) {
            return WakeWorth::CallOver;
        }
    }
    WakeWorth::Nothing
}

/// Whether it says that nobody has to answer any more.
fn ends_call(child: &El<'_>) -> bool {
    child.ns() == CALLS
        && matches!(
            child.name(),
            "retract" | "accept" | "proceed" | "reject" | "finish"
        )
}

fn of_message<'a>(
    kind: MessageType,
    from: Option<&Jid>,
    children: impl Iterator<Item = El<'a>>,
) -> WakeWorth {
    let (mut encrypted, mut invited, mut body) = (false, false, None);
    for child in children {
        if child.is("propose", CALLS) {
            return WakeWorth::Call(from.cloned());
        }
        if ends_call(&child) {
            return WakeWorth::CallOver;
        }
        encrypted |= is_encrypted(&child);
        invited |= invites(&child);
        if body.is_none() && child.is("body", ns::CLIENT) {
            body = Some(child.text().into_owned()).filter(|text| !text.is_empty());
        }
    }
    if !encrypted && !invited && body.is_none() {
        return WakeWorth::Nothing;
    }
    let said = SaidText {
        from: from.cloned(),
        // Beside what is encrypted it says only that this is so.
        body: body.filter(|_| !encrypted),
    };
    match kind {
        MessageType::Groupchat => WakeWorth::InRoom(said),
        _ => WakeWorth::Message(said),
    }
}

/// Whether there is something encrypted to read. An OMEMO message without a payload only keeps a session going
/// (XEP-0384 §5.5).
fn is_encrypted(child: &El<'_>) -> bool {
    match child.ns() {
        namespace @ ("eu.siacs.conversations.axolotl" | "urn:xmpp:omemo:2") => {
            child.name() == "encrypted" && child.child("payload", namespace).is_some()
        }
        "urn:xmpp:openpgp:0" => child.name() == "openpgp",
        "jabber:x:encrypted" => child.name() == "x",
        _ => false,
    }
}

/// Whether it invites into a room, or is what a room forwards to somebody it mentions.
fn invites(child: &El<'_>) -> bool {
    match child.ns() {
        MUC_USER => child.child("invite", MUC_USER).is_some(),
        DIRECT_INVITATION => child.name() == "x",
        MENTIONS => child.name() == "mentions",
        _ => false,
    }
}

/// Whether a text speaks to somebody by a nickname, as a word of its own.
pub(super) fn speaks_to(body: &str, nick: &str) -> bool {
    if nick.is_empty() {
        return false;
    }
    let (body, nick) = (body.to_lowercase(), nick.to_lowercase());
    let is_edge = |neighbour: Option<char>| neighbour.is_none_or(|next| !next.is_alphanumeric());
    body.match_indices(&nick).any(|(at, _)| {
        is_edge(body[..at].chars().next_back()) && is_edge(body[at + nick.len()..].chars().next())
    })
}
