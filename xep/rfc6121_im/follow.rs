//! What follows from a change of a subscription: stanzas in the account's name, and presence for the contact.

use kim_core::cx::Cx;
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::session::{Resource, SessionCard};
use kim_core::stanza::{Kind, PresenceType, Stanza};

use super::change::Follow;
use super::subscription::{Act, Tell};

/// Sends the contact what follows from a change. Unavailability goes first, while the contact still knows of the
/// subscription; availability last, once it does (RFC 6121 §3.1.5, §3.2.2).
pub async fn to_contact(router: &Router, account: &BareJid, contact: &BareJid, follow: &Follow, cx: &mut Cx) {
    pass_to_contact(router, account, contact, follow, None, cx).await;
}

/// The same around the stanza that caused the change, if it goes on.
pub async fn pass_to_contact(
    router: &Router,
    account: &BareJid,
    contact: &BareJid,
    follow: &Follow,
    passed: Option<Stanza>,
    cx: &mut Cx,
) {
    if follow.tell == Tell::Gone {
        for session in available(router, account).await {
            cx.send(unavailable(&session).to(contact.clone()));
        }
    }
    if let Some(stanza) = passed {
        cx.send(stanza);
    }
    for act in &follow.send {
        cx.send(
            Stanza::new(Kind::Presence(kind(*act)), "")
                .from(account.clone())
                .to(contact.clone()),
        );
    }
    if follow.tell == Tell::Current {
        for session in available(router, account).await {
            if let Some(presence) = session.presence() {
                cx.send(Stanza::clone(&presence.stanza).to(contact.clone()));
            }
        }
    }
}

/// The sessions of an account that sent presence.
pub async fn available(router: &Router, account: &BareJid) -> impl Iterator<Item = Resource> {
    router
        .sessions_of(account)
        .await
        .into_iter()
        .filter(|session| session.priority().is_some())
}

/// A session's presence when it is gone.
pub fn unavailable(session: &SessionCard) -> Stanza {
    Stanza::new(Kind::Presence(PresenceType::Unavailable), "").from(session.jid.clone())
}

/// The presence type of a subscription stanza.
pub fn kind(act: Act) -> PresenceType {
    match act {
        Act::Subscribe => PresenceType::Subscribe,
        Act::Subscribed => PresenceType::Subscribed,
        Act::Unsubscribe => PresenceType::Unsubscribe,
        Act::Unsubscribed => PresenceType::Unsubscribed,
    }
}

/// The subscription stanza that a presence type is, if it is one.
pub fn act(kind: PresenceType) -> Option<Act> {
    match kind {
        PresenceType::Subscribe => Some(Act::Subscribe),
        PresenceType::Subscribed => Some(Act::Subscribed),
        PresenceType::Unsubscribe => Some(Act::Unsubscribe),
        PresenceType::Unsubscribed => Some(Act::Unsubscribed),
        _ => None,
    }
}
