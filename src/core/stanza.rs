//! A stanza: who, to whom, which kind, and a payload that stays opaque. The payload is the canonical XML that
//! [`crate::wire`] wrote while it checked the input, with a small index of its children; nobody builds a tree of
//! it, and sending it to a thousand recipients shares one buffer.
//!
//! Attributes of the opening tag that RFC 6120 §8.1 does not define are not carried on: the head is always
//! written anew.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;

use crate::error::{Condition, Fault, StanzaError};
use crate::jid::{BareJid, Jid};
use crate::ns;
use crate::wire::{El, Element, Writer};

macro_rules! types {
    ($(#[$doc:meta])* $name:ident: $($(#[$vdoc:meta])* $variant:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }
        impl $name {
            /// The value of the `type` attribute; empty where the attribute is left out.
            pub fn as_str(self) -> &'static str { match self { $($name::$variant => $text,)* } }
            /// Every value, in the order of the declaration.
            pub const ALL: &[$name] = &[$($name::$variant,)*];
            fn parse(text: &str) -> Option<$name> { match text { $($text => Some($name::$variant),)* _ => None } }
        }
    };
}

types! {
    /// What a message is for (RFC 6121 §5.2.2).
    MessageType:
    /// No answer is expected; also what unknown types are treated as.
    Normal = "",
    /// One-to-one conversation.
    Chat = "chat",
    /// Room message.
    Groupchat = "groupchat",
    /// An alert; never stored.
    Headline = "headline",
    /// An error about an earlier message.
    Error = "error",
}

types! {
    /// What a presence says (RFC 6121 §4.7.1).
    PresenceType:
    /// The sender is available.
    Available = "",
    /// The sender is no longer available.
    Unavailable = "unavailable",
    /// The sender asks to see the addressee's presence.
    Subscribe = "subscribe",
    /// The sender lets the addressee see its presence.
    Subscribed = "subscribed",
    /// The sender no longer wants the addressee's presence.
    Unsubscribe = "unsubscribe",
    /// The sender refuses or ends a subscription.
    Unsubscribed = "unsubscribed",
    /// A server asks for current presence.
    Probe = "probe",
    /// An error about an earlier presence.
    Error = "error",
}

types! {
    /// Request or answer (RFC 6120 §8.2.3).
    IqType:
    /// Asks for information.
    Get = "get",
    /// Provides or changes data.
    Set = "set",
    /// The answer to a get or set.
    Result = "result",
    /// The failure of a get or set.
    Error = "error",
}

/// The kind of a stanza together with its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>`
    Message(MessageType),
    /// `<presence/>`
    Presence(PresenceType),
    /// `<iq/>`
    Iq(IqType),
}

impl Kind {
    /// The element's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Message(_) => "message",
            Kind::Presence(_) => "presence",
            Kind::Iq(_) => "iq",
        }
    }

    /// The value of the `type` attribute; empty where it is left out.
    pub fn type_str(self) -> &'static str {
        match self {
            Kind::Message(kind) => kind.as_str(),
            Kind::Presence(kind) => kind.as_str(),
            Kind::Iq(kind) => kind.as_str(),
        }
    }

    /// Whether this is an error, which nobody may answer (RFC 6120 §8.3.1).
    pub fn is_error(self) -> bool {
        matches!(
            self,
            Kind::Message(MessageType::Error) | Kind::Presence(PresenceType::Error) | Kind::Iq(IqType::Error)
        )
    }
}

/// Why an element is not a stanza that can be routed.
#[derive(Debug)]
pub enum NotAStanza {
    /// Not message, presence or iq in the content namespace. On a bound stream a module may understand it
    /// ([`crate::events::Nonza`]); otherwise the stream ends with `unsupported-stanza-type`.
    Unsupported(Box<Element>),
    /// Its sender gets this answer (already addressed back to it), or nothing where none is allowed.
    Refused(Box<Stanza>, StanzaError),
}

/// One message, presence or iq. Cheap to clone: the payload is shared.
#[derive(Clone, Debug)]
pub struct Stanza {
    /// Kind and type.
    pub kind: Kind,
    /// The sender; stamped by the connection, so it can be trusted once routed.
    pub from: Option<Jid>,
    /// The addressee; `None` means the sender's own account (RFC 6120 §10.3).
    pub to: Option<Jid>,
    /// The sender's id, opaque.
    pub id: Option<Box<str>>,
    /// `xml:lang`.
    pub lang: Option<Box<str>>,
    /// What was written for an address and is none: the `to` of a stanza that is refused for it, and then the `from` of the
    /// error, because clients match an answer by the address they asked (RFC 6120 §8.2.3).
    unparsed: Option<Box<str>>,
    /// The element as read or built: only its children count, its opening tag is written from the fields above.
    element: Element,
}

impl Stanza {
    /// Takes an element from the wire for a stanza. The types are checked here: an unknown message type counts as
    /// normal (RFC 6121 §5.2.2); unknown presence and iq types, an iq without id, and a request without exactly
    /// one payload are `bad-request` (RFC 6120 §8.2.3); addresses that are not JIDs are `jid-malformed`.
    pub fn from_element(element: Element) -> Result<Stanza, NotAStanza> {
        if element.ns() != ns::CLIENT {
            return Err(NotAStanza::Unsupported(Box::new(element)));
        }
        let type_text = element.attr("type").unwrap_or(Cow::Borrowed(""));
        let (kind, mut problem) = match element.name() {
            "message" => (
                Kind::Message(MessageType::parse(&type_text).unwrap_or(MessageType::Normal)),
                None,
            ),
            "presence" => match PresenceType::parse(&type_text) {
                Some(kind) => (Kind::Presence(kind), None),
                None => (
                    Kind::Presence(PresenceType::Available),
                    Some(Condition::BadRequest),
                ),
            },
            "iq" => match IqType::parse(&type_text) {
                Some(kind @ (IqType::Get | IqType::Set)) => {
                    let one = element.children().take(2).count() == 1;
                    (Kind::Iq(kind), (!one).then_some(Condition::BadRequest))
                }
                Some(kind) => (Kind::Iq(kind), None),
                None => (Kind::Iq(IqType::Get), Some(Condition::BadRequest)),
            },
            _ => return Err(NotAStanza::Unsupported(Box::new(element))),
        };
        let id: Option<Box<str>> = element.attr("id").map(|id| id.into_owned().into_boxed_str());
        if id.is_none() && matches!(kind, Kind::Iq(_)) {
            problem = Some(Condition::BadRequest);
        }
        let mut address = |name| {
            let text = element.attr(name)?;
            Jid::parse(&text)
                .map_err(|_| problem = Some(Condition::JidMalformed))
                .ok()
        };
        let (from, to) = (address("from"), address("to"));
        let unparsed = match to {
            Some(_) => None,
            None => element.attr("to").map(|to| to.into_owned().into_boxed_str()),
        };
        let lang = element
            .attr("xml:lang")
            .map(|lang| lang.into_owned().into_boxed_str());
        let stanza = Stanza {
            kind,
            from,
            to,
            id,
            lang,
            unparsed,
            element,
        };
        match problem {
            None => Ok(stanza),
            Some(condition) => Err(NotAStanza::Refused(Box::new(stanza), StanzaError::new(condition))),
        }
    }

    /// A stanza of the server's own making. `payload` is canonical XML from a [`Writer`], possibly several
    /// elements, possibly nothing.
    pub fn new(kind: Kind, payload: &str) -> Stanza {
        Stanza {
            kind,
            from: None,
            to: None,
            id: None,
            lang: None,
            unparsed: None,
            element: Element::around(kind.name(), payload),
        }
    }

    /// The same, from somebody.
    pub fn from(mut self, from: impl Into<Jid>) -> Stanza {
        self.from = Some(from.into());
        self
    }

    /// The same, to somebody.
    pub fn to(mut self, to: impl Into<Jid>) -> Stanza {
        self.to = Some(to.into());
        self
    }

    /// The same with an id.
    pub fn id(mut self, id: impl Into<Box<str>>) -> Stanza {
        self.id = Some(id.into());
        self
    }

    /// An answer to this stanza: addresses swapped, same id.
    pub fn reply(&self, kind: Kind, payload: &str) -> Stanza {
        Stanza {
            from: self.to.clone(),
            to: self.from.clone(),
            id: self.id.clone(),
            unparsed: self.unparsed.clone(),
            ..Stanza::new(kind, payload)
        }
    }

    /// Whether something stands in its `from` that is not an address.
    pub fn has_malformed_from(&self) -> bool {
        self.from.is_none() && self.element.attr("from").is_some()
    }

    /// Whether it names no addressee, be it a malformed one: then it is for the sender's own account (RFC 6120 §10.3).
    pub fn is_for_sender(&self) -> bool {
        self.to.is_none() && self.unparsed.is_none()
    }

    /// Whether an account's archive has it: the id that the archive gave it says so (XEP-0359 §3).
    pub fn is_archived_by(&self, account: &BareJid) -> bool {
        self.children().any(|child| {
            child.is("stanza-id", ns::SID) && child.attr("by").as_deref() == Some(account.as_str())
        })
    }

    /// The stanza from its stored text, written by [`Stanza::to_xml`].
    pub fn parse(xml: &str) -> Result<Stanza, Fault> {
        let element = Element::stored(xml).ok_or_else(|| Fault::Us("a stored stanza is not whole".into()))?;
        Stanza::from_element(element).map_err(|_| Condition::BadRequest.into())
    }

    /// The children of the stanza, in order.
    pub fn children(&self) -> impl Iterator<Item = El<'_>> {
        self.element.children()
    }

    /// The first child of that name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<El<'_>> {
        self.element.child(name, ns)
    }

    /// Whether there is a child of that name and namespace.
    pub fn has(&self, name: &str, ns: &str) -> bool {
        self.child(name, ns).is_some()
    }

    /// The payload of an iq request: its one child.
    pub fn payload(&self) -> Option<El<'_>> {
        self.children().next()
    }

    /// Appends one child, canonical XML from a [`Writer`].
    pub fn append(&mut self, child: &str) {
        let mut payload = String::with_capacity(child.len() + 256);
        for own in self.element.children() {
            payload.push_str(own.xml());
        }
        payload.push_str(child);
        self.element = Element::around(self.kind.name(), &payload);
    }

    /// Removes the children that `unwanted` names and tells whether there were any.
    pub fn remove(&mut self, unwanted: impl Fn(&El<'_>) -> bool) -> bool {
        if !self.element.children().any(|child| unwanted(&child)) {
            return false;
        }
        let kept: String = self
            .element
            .children()
            .filter(|child| !unwanted(child))
            .map(|child| child.xml().to_owned())
            .collect();
        self.element = Element::around(self.kind.name(), &kept);
        true
    }

    /// The opening tag up to where the attributes end, to be followed by [`Stanza::tail`].
    pub fn head(&self) -> Bytes {
        let mut head = String::with_capacity(160);
        head.push('<');
        head.push_str(self.kind.name());
        let mut attr = |name: &str, value: &str| {
            let _ = write!(head, " {name}='");
            crate::wire::escape_value(&mut head, value);
            head.push('\'');
        };
        let from = self.from.as_ref().map(Jid::as_str);
        if let Some(from) = from.or(self.unparsed.as_deref()) {
            attr("from", from);
        }
        if let Some(to) = &self.to {
            attr("to", to.as_str());
        }
        if let Some(id) = &self.id {
            attr("id", id);
        }
        if !self.kind.type_str().is_empty() {
            attr("type", self.kind.type_str());
        }
        if let Some(lang) = &self.lang {
            attr("xml:lang", lang);
        }
        Bytes::from(head.into_bytes())
    }

    /// Everything after the attributes of the opening tag; shared, never copied.
    pub fn tail(&self) -> Bytes {
        self.element.tail()
    }

    /// The whole stanza as text, without a namespace declaration for the content namespace.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from_utf8_lossy(&self.head()).into_owned();
        xml.push_str(&String::from_utf8_lossy(&self.tail()));
        xml
    }

    /// Says since when it waited, and with whom (XEP-0203 §4); nothing more if it says so already. Tells whether it is new.
    pub fn say_delay(&mut self, from: &str, since: crate::clock::Timestamp) -> bool {
        let is_new = !self.has("delay", ns::DELAY);
        if is_new {
            self.append(&delay(from, since));
        }
        is_new
    }

    /// Bytes it takes in a queue.
    pub fn weight_bytes(&self) -> usize {
        self.element.bytes().len() + 200
    }
}

/// A `<delay/>` stamp (XEP-0203 §3): who kept the stanza and since when.
pub fn delay(from: &str, stamp: crate::clock::Timestamp) -> String {
    let mut xml = Writer::new();
    xml.start("delay", ns::DELAY)
        .attr("from", from)
        .attr("stamp", &stamp.to_string())
        .end();
    xml.finish_string()
}
