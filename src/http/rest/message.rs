//! What the API calls a message, and what XMPP clients see of it: plain text is a body; ciphertext is an element with a hint of
//! its kind (XEP-0380), so that clients that cannot read it can say why.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kim_core::jid::Jid;
use kim_core::ns;
use kim_core::random;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::{Element, Limits, Writer};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::problem::Problem;

/// What carries ciphertext whose key the two ends share by themselves.
const AES_256_GCM: &str = "urn:kim:aes-256-gcm:0";
const EME: &str = "urn:xmpp:eme:0";
const SID: &str = "urn:xmpp:sid:0";
/// The longest id of a client's own.
const ID_BYTES_MAX: usize = 128;
const HINTS: &str = "urn:xmpp:hints";
/// The namespaces of OMEMO's `<encrypted/>` (XEP-0384), the one that clients speak today first.
const OMEMO: [&str; 2] = ["eu.siacs.conversations.axolotl", "urn:xmpp:omemo:2"];
/// For clients that cannot read the rest.
const FALLBACK: &str = "This message is encrypted, and this app cannot decrypt it.";

/// How `content` is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Encryption {
    /// Base64 of a nonce, the ciphertext and the tag; the ends agree on the key by themselves.
    #[serde(rename = "AES-256-GCM")]
    Aes256Gcm,
    /// Base64 of the `<encrypted/>` element that XEP-0384 describes.
    #[serde(rename = "OMEMO")]
    Omemo,
}

/// What is to be said, to a person or in a room.
#[derive(Deserialize)]
pub struct Content {
    content: String,
    #[serde(default)]
    encrypted: bool,
    encryption_type: Option<Encryption>,
    /// The client's own id; sent again, the archive knows it.
    id: Option<String>,
}

impl Content {
    /// The message, with its id, to nobody yet. It is canonical XML whatever the content says.
    pub fn stanza(self, kind: MessageType, limits: Limits) -> Result<Stanza, Problem> {
        let how = match (self.encrypted, self.encryption_type) {
            (false, None) => None,
            (true, Some(how)) => Some(how),
            (true, None) => {
                return Err(Problem::bad(
                    "\"encryption_type\" is required when \"encrypted\" is true",
                ));
            }
            (false, Some(_)) => {
                return Err(Problem::bad(
                    "\"encrypted\" must be true when \"encryption_type\" is set",
                ));
            }
        };
        let is_id = |id: &String| {
            (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let id = match self.id {
            Some(id) if is_id(&id) => id,
            Some(_) => {
                return Err(Problem::bad(
                    "\"id\" must be 1 to 128 visible ASCII characters, without spaces",
                ));
            }
            None => random::token(),
        };
        let mut payload = payload(&self.content, how, limits)?;
        let mut origin = Writer::new();
        origin.start("origin-id", SID).attr("id", &id).end();
        payload.push_str(&origin.finish_string());
        Ok(Stanza::new(Kind::Message(kind), &payload).id(id))
    }
}

/// The payload of a stanza for a content, canonical XML.
fn payload(content: &str, how: Option<Encryption>, limits: Limits) -> Result<String, Problem> {
    let mut xml = Writer::new();
    let decoded = || {
        let bytes = BASE64.decode(content).ok().filter(|bytes| !bytes.is_empty());
        bytes.ok_or_else(|| {
            Problem::bad("\"content\" of an encrypted message must be base64 and must not be empty")
        })
    };
    match how {
        None => {
            xml.start("body", ns::CLIENT).text(content).end();
        }
        Some(Encryption::Aes256Gcm) => {
            decoded()?;
            xml.start("encrypted", AES_256_GCM).text(content).end();
            hint(&mut xml, AES_256_GCM, "AES-256-GCM");
        }
        Some(Encryption::Omemo) => {
            let wrong = || {
                Problem::bad(
                    "\"content\" of an OMEMO message must be the base64 of an <encrypted/> element (XEP-0384)",
                )
            };
            let text = String::from_utf8(decoded()?).map_err(|_| wrong())?;
            let element = Element::parse_within(&text, limits).map_err(|_| wrong())?;
            let known = OMEMO.into_iter().find(|ns| element.is("encrypted", ns));
            let namespace = known.ok_or_else(wrong)?;
            xml.el(element.el());
            hint(&mut xml, namespace, "OMEMO");
        }
    }
    let payload = xml.finish_string();
    if payload.len() > limits.stanza_bytes_max {
        let message = format!(
            "a message must not be longer than {} bytes",
            limits.stanza_bytes_max
        );
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-long", message));
    }
    Ok(payload)
}

fn hint(xml: &mut Writer, namespace: &str, name: &str) {
    xml.start("encryption", EME)
        .attr("namespace", namespace)
        .attr("name", name)
        .end();
    xml.start("body", ns::CLIENT).text(FALLBACK).end();
    xml.start("store", HINTS).end();
}

/// A message as the API tells it, but for what only an archive knows.
pub(super) fn told(stanza: &Stanza) -> Option<Map<String, Value>> {
    let mut told = content(stanza)?;
    let is_in_room = stanza.kind == Kind::Message(MessageType::Groupchat);
    let bare = |jid: &Option<Jid>| jid.as_ref().map(|jid| jid.bare_str().to_owned());
    let mut tell = |name: &str, value: Value| told.insert(name.to_owned(), value);
    tell("message_id", stanza.id.as_deref().into());
    if is_in_room {
        let nick = stanza.from.as_ref().and_then(|from| from.resource());
        tell("type", "groupchat".into());
        tell("room", bare(&stanza.from).into());
        tell("nick", nick.into());
    } else {
        tell("type", "chat".into());
        tell("from", bare(&stanza.from).into());
        tell("to", bare(&stanza.to).into());
    }
    Some(told)
}

/// The content of a message as the API tells it; `None` where there is nothing to read, such as in a receipt.
fn content(stanza: &Stanza) -> Option<Map<String, Value>> {
    let (content, how) = if let Some(sealed) = stanza.child("encrypted", AES_256_GCM) {
        (sealed.text().into_owned(), Some("AES-256-GCM"))
    } else if let Some(sealed) = OMEMO.iter().find_map(|ns| stanza.child("encrypted", ns)) {
        (BASE64.encode(sealed.to_xml()), Some("OMEMO"))
    } else {
        (stanza.child("body", ns::CLIENT)?.text().into_owned(), None)
    };
    let mut told = Map::new();
    told.insert("content".to_owned(), content.into());
    told.insert("encrypted".to_owned(), how.is_some().into());
    told.insert("encryption_type".to_owned(), how.into());
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(content: &str, how: Option<Encryption>) -> Result<Map<String, Value>, Problem> {
        let payload = payload(content, how, Limits::default())?;
        let stanza = Stanza::new(Kind::Message(MessageType::Chat), &payload);
        Ok(super::content(&stanza).expect("content"))
    }

    #[test]
    fn contents_come_back_as_they_went() {
        let plain = there_and_back("1 < 2 & <b/>", None).unwrap();
        assert_eq!(plain["content"], "1 < 2 & <b/>");
        assert_eq!(
            (&plain["encrypted"], &plain["encryption_type"]),
            (&false.into(), &Value::Null)
        );
        let aes = there_and_back("AAECAw==", Some(Encryption::Aes256Gcm)).unwrap();
        assert_eq!(
            (&aes["content"], &aes["encryption_type"]),
            (&"AAECAw==".into(), &"AES-256-GCM".into())
        );
        let element = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>";
        let omemo = there_and_back(&BASE64.encode(element), Some(Encryption::Omemo)).unwrap();
        let back = BASE64.decode(omemo["content"].as_str().unwrap()).unwrap();
        assert_eq!(String::from_utf8(back).unwrap(), element);
    }

    #[test]
    fn what_is_not_what_it_says_is_refused() {
        for (content, how) in [
            ("not base64!", Some(Encryption::Aes256Gcm)),
            ("", Some(Encryption::Aes256Gcm)),
            ("AAECAw==", Some(Encryption::Omemo)),
            (
                &BASE64.encode("<body>in the clear</body>"),
                Some(Encryption::Omemo),
            ),
            (&BASE64.encode("</message><message>"), Some(Encryption::Omemo)),
        ] {
            assert!(there_and_back(content, how).is_err(), "{content:?}");
        }
        assert!(there_and_back(&"x".repeat(300_000), None).is_err());
    }
}
