//! What a stream says of a stanza.

use kim_core::jid::Jid;
use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, PresenceType, Stanza};
use kim_core::wire::El;
use kim_xep::xep0045_muc::api::USER;
use serde_json::{Value, json};

use super::super::archive::Kept;
use super::super::{message, roster};

const ROSTER: &str = "jabber:iq:roster";
const RECEIPTS: &str = "urn:xmpp:receipts";
const MARKERS: &str = "urn:xmpp:chat-markers:0";

/// An event: its name, and what it says.
pub type Told = (&'static str, Value);

/// Something that was read in an archive: a message, or what became of one. The rest is for clients that know more.
pub fn of_archive(kept: &Kept) -> Option<Told> {
    if let Some(told) = kept.told() {
        return Some(("message", Value::Object(told)));
    }
    let (kind, message_id) = receipt(&kept.stanza)?;
    let (from, to) = ends(&kept.stanza);
    Some((
        "receipt",
        json!({
            "id": kept.id,
            "timestamp": kept.stamp,
            "from": from,
            "to": to,
            "kind": kind,
            "message_id": message_id,
        }),
    ))
}

/// Something that is in no archive, when it comes.
pub fn of_live(stanza: &Stanza, timestamp: &str) -> Option<Told> {
    match stanza.kind {
        Kind::Message(MessageType::Error) => None,
        Kind::Message(_) => of_message(stanza, timestamp),
        Kind::Presence(kind) => of_presence(stanza, kind),
        Kind::Iq(_) => {
            let item = stanza.child("query", ROSTER)?.child("item", ROSTER)?;
            Some(("roster", roster::told(item)))
        }
    }
}

fn of_message(stanza: &Stanza, timestamp: &str) -> Option<Told> {
    if let Some(mut told) = message::told(stanza) {
        told.insert("id".to_owned(), Value::Null);
        told.insert("timestamp".to_owned(), timestamp.into());
        return Some(("message", Value::Object(told)));
    }
    let (kind, message_id) = receipt(stanza)?;
    let (from, to) = ends(stanza);
    Some((
        "receipt",
        json!({
            "id": null,
            "timestamp": timestamp,
            "from": from,
            "to": to,
            "kind": kind,
            "message_id": message_id,
        }),
    ))
}

fn of_presence(stanza: &Stanza, kind: PresenceType) -> Option<Told> {
    let from = stanza.from.as_ref()?;
    let text = |name| Some(stanza.child(name, ns::CLIENT)?.text().into_owned());
    match kind {
        PresenceType::Available | PresenceType::Unavailable => {
            let is_available = kind == PresenceType::Available;
            let mut told = json!({
                "is_available": is_available,
                "show": text("show"),
                "status": text("status"),
            });
            match stanza.child("x", USER) {
                Some(x) => {
                    let item = x.child("item", USER);
                    let attr = |name: &str| item.as_ref().and_then(|item: &El<'_>| item.attr(name));
                    told["room"] = from.bare_str().into();
                    told["nick"] = from.resource().into();
                    told["affiliation"] = attr("affiliation").into();
                    told["role"] = attr("role").into();
                }
                None => {
                    told["from"] = from.bare_str().into();
                    told["resource"] = from.resource().into();
                }
            }
            Some(("presence", told))
        }
        PresenceType::Subscribe
        | PresenceType::Subscribed
        | PresenceType::Unsubscribe
        | PresenceType::Unsubscribed => Some((
            "subscription",
            json!({
                "from": from.bare_str(),
                "kind": kind.as_str(),
                "status": text("status"),
            }),
        )),
        PresenceType::Probe | PresenceType::Error => None,
    }
}

/// What became of a message (XEP-0184, XEP-0333), and of which.
fn receipt(stanza: &Stanza) -> Option<(&'static str, String)> {
    let known = [
        ("received", RECEIPTS, "received"),
        ("received", MARKERS, "received"),
        ("displayed", MARKERS, "displayed"),
        ("acknowledged", MARKERS, "acknowledged"),
    ];
    known.into_iter().find_map(|(name, namespace, kind)| {
        let id = stanza.child(name, namespace)?.attr("id")?;
        Some((kind, id.into_owned()))
    })
}

fn ends(stanza: &Stanza) -> (Option<&str>, Option<&str>) {
    (
        stanza.from.as_ref().map(Jid::bare_str),
        stanza.to.as_ref().map(Jid::bare_str),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(xml: &str) -> Option<Told> {
        of_live(&Stanza::parse(xml).unwrap(), "now")
    }

    #[test]
    fn stanzas_become_events() {
        let (name, event) = told(
            "<message from='bob@localhost/x' to='alice@localhost'><received xmlns='urn:xmpp:receipts' id='7'/></message>",
        )
        .unwrap();
        assert_eq!(
            (name, &event["kind"], &event["message_id"], &event["from"]),
            (
                "receipt",
                &json!("received"),
                &json!("7"),
                &json!("bob@localhost")
            )
        );
        let (name, event) = told("<presence from='bob@localhost/x'><show>away</show></presence>").unwrap();
        assert_eq!(
            (name, &event["is_available"], &event["show"], &event["resource"]),
            ("presence", &json!(true), &json!("away"), &json!("x"))
        );
        let (_, event) = told(
            "<presence type='unavailable' from='r@conference.localhost/bob'>\
             <x xmlns='http://jabber.org/protocol/muc#user'><item role='none' affiliation='member'/></x></presence>",
        )
        .unwrap();
        assert_eq!(
            (&event["is_available"], &event["nick"], &event["affiliation"]),
            (&json!(false), &json!("bob"), &json!("member"))
        );
        let (name, event) = told("<presence type='subscribe' from='bob@localhost'/>").unwrap();
        assert_eq!((name, &event["kind"]), ("subscription", &json!("subscribe")));
        for nothing in [
            "<message from='bob@localhost/x' type='error'><body>x</body></message>",
            "<message from='bob@localhost/x'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
            "<presence type='error' from='bob@localhost/x'/>",
            "<iq type='result' id='1'/>",
        ] {
            assert!(told(nothing).is_none(), "{nothing}");
        }
    }
}
