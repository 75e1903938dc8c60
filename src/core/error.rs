//! Who suffers from an error: the stanza, the stream, or us. Handlers return a [`Fault`]; the router and the
//! connection turn it into XML here and nowhere else, so every error on the wire has the same shape.

use std::borrow::Cow;
use std::fmt;

use crate::stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use crate::wire::Writer;

/// The namespace of stanza error conditions (RFC 6120 §8.3.2).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// The namespace of stream error conditions (RFC 6120 §4.9.2).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// The namespace of streams (RFC 6120 §4.8.1).
pub const STREAMS: &str = "http://etherx.jabber.org/streams";

/// What a handler may fail with.
#[derive(Debug)]
pub enum Fault {
    /// The sender gets this stanza back as an error; nobody else notices.
    Stanza(StanzaError),
    /// The stream the stanza came from ends.
    Stream(StreamError),
    /// Our own failure: logged with its cause, told to the sender as `internal-server-error` or, when a
    /// queue is full, as `resource-constraint`.
    Us(Box<dyn std::error::Error + Send + Sync>),
}

impl Fault {
    /// The stanza error that tells the sender about this fault.
    pub fn as_stanza_error(&self) -> StanzaError {
        match self {
            Fault::Stanza(error) => error.clone(),
            Fault::Stream(_) | Fault::Us(_) => StanzaError::new(Condition::InternalServerError),
        }
    }
}

/// For people: an operator's terminal, a log. What goes to a client is [`Fault::as_stanza_error`].
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Stanza(StanzaError { text: Some(text), .. }) => f.write_str(text),
            Fault::Stanza(error) => f.write_str(error.condition.as_str()),
            Fault::Stream(error) => f.write_str(error.condition.as_str()),
            Fault::Us(error) => error.fmt(f),
        }
    }
}

impl From<StanzaError> for Fault {
    fn from(error: StanzaError) -> Fault {
        Fault::Stanza(error)
    }
}

impl From<Condition> for Fault {
    fn from(condition: Condition) -> Fault {
        Fault::Stanza(StanzaError::new(condition))
    }
}

impl From<StreamError> for Fault {
    fn from(error: StreamError) -> Fault {
        Fault::Stream(error)
    }
}

impl From<crate::db::DbError> for Fault {
    fn from(error: crate::db::DbError) -> Fault {
        match error {
            // A full commit queue is a passing state: the sender may try again (RFC 6120 §8.3.3.18).
            crate::db::DbError::Busy => StanzaError::new(Condition::ResourceConstraint).into(),
            other => Fault::Us(Box::new(other)),
        }
    }
}

impl From<crate::seal::SealError> for Fault {
    fn from(error: crate::seal::SealError) -> Fault {
        match error {
            crate::seal::SealError::Db(error) => error.into(),
            other => Fault::Us(Box::new(other)),
        }
    }
}

impl From<crate::accounts::AccountError> for Fault {
    fn from(error: crate::accounts::AccountError) -> Fault {
        use crate::accounts::AccountError;
        match error {
            AccountError::Exists | AccountError::Removed { .. } => StanzaError::new(Condition::Conflict)
                .text("this username is already taken")
                .into(),
            AccountError::Lookalike => StanzaError::new(Condition::Conflict)
                .text(error.to_string())
                .into(),
            AccountError::Outdated => Condition::NotAuthorized.into(),
            AccountError::NotFound => Condition::ItemNotFound.into(),
            AccountError::NotAnAccount => Condition::JidMalformed.into(),
            AccountError::NotMet(_) => Condition::NotAllowed.into(),
            AccountError::Busy => Condition::ResourceConstraint.into(),
            AccountError::Db(error) => error.into(),
        }
    }
}

/// A password refused says why (XEP-0077 §3.1.1).
impl From<crate::accounts::scram::PasswordError> for Fault {
    fn from(error: crate::accounts::scram::PasswordError) -> Fault {
        StanzaError::new(Condition::NotAcceptable)
            .text(error.to_string())
            .into()
    }
}

/// A username refused says why (XEP-0077 §3.1.1).
impl From<crate::accounts::names::UsernameError> for Fault {
    fn from(error: crate::accounts::names::UsernameError) -> Fault {
        StanzaError::new(Condition::NotAcceptable)
            .text(error.to_string())
            .into()
    }
}

impl From<crate::jid::JidError> for Fault {
    fn from(_: crate::jid::JidError) -> Fault {
        StanzaError::new(Condition::JidMalformed).into()
    }
}

/// What the sender may do about it (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// Retry after providing credentials.
    Auth,
    /// Do not retry.
    Cancel,
    /// Only a warning.
    Continue,
    /// Retry after changing the data sent.
    Modify,
    /// Retry after waiting.
    Wait,
}

impl ErrorType {
    /// The value of the `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::Auth => "auth",
            ErrorType::Cancel => "cancel",
            ErrorType::Continue => "continue",
            ErrorType::Modify => "modify",
            ErrorType::Wait => "wait",
        }
    }
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident $text:literal $kind:ident $code:literal;)*) => {
        /// The defined stanza error conditions (RFC 6120 §8.3.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Condition { $($(#[$doc])* $name,)* }
        impl Condition {
            /// The element's name.
            pub fn as_str(self) -> &'static str { match self { $(Condition::$name => $text,)* } }
            /// The type the RFC associates with the condition.
            pub fn default_type(self) -> ErrorType { match self { $(Condition::$name => ErrorType::$kind,)* } }
            /// The legacy code of XEP-0086: one widespread client starts OMEMO only on `404`.
            pub fn code(self) -> u16 { match self { $(Condition::$name => $code,)* } }
        }
    };
}

conditions! {
    /// The stanza does not conform to its schema.
    BadRequest "bad-request" Modify 400;
    /// Something of that name exists already.
    Conflict "conflict" Cancel 409;
    /// The feature is not implemented here.
    FeatureNotImplemented "feature-not-implemented" Cancel 501;
    /// The sender lacks the permission.
    Forbidden "forbidden" Auth 403;
    /// The addressee moved for good.
    Gone "gone" Cancel 302;
    /// We failed.
    InternalServerError "internal-server-error" Cancel 500;
    /// There is no such thing.
    ItemNotFound "item-not-found" Cancel 404;
    /// An address in the stanza is not a JID.
    JidMalformed "jid-malformed" Modify 400;
    /// Understood, but not acceptable by local rules.
    NotAcceptable "not-acceptable" Modify 406;
    /// Nobody may do this.
    NotAllowed "not-allowed" Cancel 405;
    /// Sign in first.
    NotAuthorized "not-authorized" Auth 401;
    /// A policy of this server forbids it.
    PolicyViolation "policy-violation" Modify 405;
    /// The addressee is away for now.
    RecipientUnavailable "recipient-unavailable" Wait 404;
    /// The addressee is elsewhere for now.
    Redirect "redirect" Modify 302;
    /// Register first.
    RegistrationRequired "registration-required" Auth 407;
    /// The other domain does not exist or does not speak XMPP.
    RemoteServerNotFound "remote-server-not-found" Cancel 404;
    /// The other domain did not answer in time.
    RemoteServerTimeout "remote-server-timeout" Wait 504;
    /// A limit is reached; later it may work.
    ResourceConstraint "resource-constraint" Wait 500;
    /// Nobody here answers that.
    ServiceUnavailable "service-unavailable" Cancel 503;
    /// Subscribe first.
    SubscriptionRequired "subscription-required" Auth 407;
    /// None of the others.
    UndefinedCondition "undefined-condition" Cancel 500;
    /// Right stanza, wrong moment.
    UnexpectedRequest "unexpected-request" Wait 400;
}

/// A stanza error: condition, type, and what may help a human or a client (RFC 6120 §8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    condition: Condition,
    kind: ErrorType,
    /// Canonical XML of an application-specific condition with content.
    payload: Option<String>,
    text: Option<Cow<'static, str>>,
    detail: Option<Box<Detail>>,
}

/// An application-specific condition: an element without content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Detail {
    name: &'static str,
    ns: &'static str,
    attribute: Option<(&'static str, Cow<'static, str>)>,
}

impl StanzaError {
    /// An error with the type the RFC gives its condition.
    pub fn new(condition: Condition) -> StanzaError {
        StanzaError {
            condition,
            kind: condition.default_type(),
            payload: None,
            text: None,
            detail: None,
        }
    }

    /// The same with another type.
    pub fn kind(mut self, kind: ErrorType) -> StanzaError {
        self.kind = kind;
        self
    }

    /// The same with a text for humans (English).
    pub fn text(mut self, text: impl Into<Cow<'static, str>>) -> StanzaError {
        self.text = Some(text.into());
        self
    }

    /// The same with an application-specific condition element (RFC 6120 §8.3.4): its name and namespace.
    pub fn detail(mut self, name: &'static str, ns: &'static str) -> StanzaError {
        self.detail = Some(Box::new(Detail {
            name,
            ns,
            attribute: None,
        }));
        self
    }

    /// The same with an application-specific condition element that has an attribute.
    pub fn detail_with(
        mut self,
        name: &'static str,
        ns: &'static str,
        attribute: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> StanzaError {
        self.detail = Some(Box::new(Detail {
            name,
            ns,
            attribute: Some((attribute, value.into())),
        }));
        self
    }

    /// The same with an application-specific condition that has content or attributes.
    pub fn payload(mut self, mut xml: Writer) -> StanzaError {
        self.payload = Some(xml.finish_string());
        self
    }

    /// Which condition it is.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// Writes the `<error/>` element. `by` names who refused when that is not the addressee.
    pub fn write(&self, xml: &mut Writer) {
        xml.start("error", crate::ns::CLIENT)
            .attr("type", self.kind.as_str())
            .attr("code", &self.condition.code().to_string());
        xml.start(self.condition.as_str(), STANZA_ERRORS).end();
        if let Some(text) = &self.text {
            xml.start("text", STANZA_ERRORS)
                .attr("xml:lang", "en")
                .text(text)
                .end();
        }
        if let Some(payload) = &self.payload {
            xml.raw(payload);
        }
        if let Some(detail) = &self.detail {
            xml.start(detail.name, detail.ns);
            if let Some((name, value)) = &detail.attribute {
                xml.attr(name, value);
            }
            xml.end();
        }
        xml.end();
    }

    /// The answer to `stanza`, or nothing where RFC 6120 forbids one: errors and results are never answered
    /// (§8.2.3, §8.3.1), and an unavailable presence has nobody who waits.
    pub fn answer(&self, stanza: &Stanza) -> Option<Stanza> {
        let kind = match stanza.kind {
            Kind::Message(MessageType::Error) | Kind::Presence(PresenceType::Error) => return None,
            Kind::Iq(IqType::Result | IqType::Error) => return None,
            Kind::Presence(PresenceType::Unavailable) => return None,
            Kind::Message(_) => Kind::Message(MessageType::Error),
            Kind::Presence(_) => Kind::Presence(PresenceType::Error),
            Kind::Iq(_) => Kind::Iq(IqType::Error),
        };
        let mut xml = Writer::new();
        self.write(&mut xml);
        Some(stanza.reply(kind, &xml.finish_string()))
    }
}

macro_rules! stream_conditions {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// The stream error conditions in use here (RFC 6120 §4.9.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum StreamCondition { $($(#[$doc])* $name,)* }
        impl StreamCondition {
            /// The element's name.
            pub fn as_str(self) -> &'static str { match self { $(StreamCondition::$name => $text,)* } }
        }
    };
}

stream_conditions! {
    /// XML that cannot be processed.
    BadFormat "bad-format";
    /// A prefix is not bound or bound wrongly.
    BadNamespacePrefix "bad-namespace-prefix";
    /// Another session took this one's place.
    Conflict "conflict";
    /// Too slow, or silent for too long.
    ConnectionTimeout "connection-timeout";
    /// The domain is no longer served here.
    HostGone "host-gone";
    /// The domain is not served here.
    HostUnknown "host-unknown";
    /// A stanza between servers or from a component without `to` or `from`.
    ImproperAddressing "improper-addressing";
    /// We failed.
    InternalServerError "internal-server-error";
    /// A `from` that is not the sender's.
    InvalidFrom "invalid-from";
    /// The stream or content namespace is wrong.
    InvalidNamespace "invalid-namespace";
    /// Stanzas before login.
    NotAuthorized "not-authorized";
    /// Not XML.
    NotWellFormed "not-well-formed";
    /// A limit or rule of this server.
    PolicyViolation "policy-violation";
    /// What the stream was signed in with no longer holds.
    Reset "reset";
    /// No room for this stream.
    ResourceConstraint "resource-constraint";
    /// XML that RFC 6120 §11.1 forbids.
    RestrictedXml "restricted-xml";
    /// The server stops.
    SystemShutdown "system-shutdown";
    /// None of the others.
    UndefinedCondition "undefined-condition";
    /// Not UTF-8.
    UnsupportedEncoding "unsupported-encoding";
    /// A first-level element that means nothing here.
    UnsupportedStanzaType "unsupported-stanza-type";
    /// Not version 1.0.
    UnsupportedVersion "unsupported-version";
}

/// Why a stream ends (RFC 6120 §4.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The condition.
    pub condition: StreamCondition,
    /// A text for humans; some clients show that of `policy-violation`.
    pub text: Option<Cow<'static, str>>,
    /// An application-specific condition (RFC 6120 §4.9.4), canonical XML.
    pub detail: Option<Box<str>>,
}

impl StreamError {
    /// A stream error without a text.
    pub fn new(condition: StreamCondition) -> StreamError {
        StreamError {
            condition,
            text: None,
            detail: None,
        }
    }

    /// The same with an application-specific condition: a canonical element with its own namespace.
    pub fn detail(mut self, detail: String) -> StreamError {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a text for humans (English).
    pub fn text(mut self, text: impl Into<Cow<'static, str>>) -> StreamError {
        self.text = Some(text.into());
        self
    }

    /// The `<stream:error/>` element for a stream whose header declared the `stream` prefix.
    pub fn to_xml(&self) -> String {
        let mut inner = Writer::new();
        inner.start(self.condition.as_str(), STREAM_ERRORS).end();
        if let Some(text) = &self.text {
            inner
                .start("text", STREAM_ERRORS)
                .attr("xml:lang", "en")
                .text(text)
                .end();
        }
        let detail = self.detail.as_deref().unwrap_or_default();
        format!("<stream:error>{}{detail}</stream:error>", inner.finish_string())
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> StreamError {
        StreamError::new(condition)
    }
}

impl From<crate::wire::WireError> for StreamError {
    fn from(error: crate::wire::WireError) -> StreamError {
        use crate::wire::WireError;
        match error {
            WireError::NotWellFormed(_) => StreamCondition::NotWellFormed.into(),
            WireError::RestrictedXml(_) => StreamCondition::RestrictedXml.into(),
            // RFC 6120 §4.9.3.22 names broken UTF-8 together with foreign encodings.
            WireError::UnsupportedEncoding | WireError::InvalidUtf8 => {
                StreamCondition::UnsupportedEncoding.into()
            }
            WireError::BadNamespacePrefix => StreamCondition::BadNamespacePrefix.into(),
            WireError::TooBig(limit) => {
                StreamError::new(StreamCondition::PolicyViolation).text(format!("limit exceeded: {limit}"))
            }
        }
    }
}
