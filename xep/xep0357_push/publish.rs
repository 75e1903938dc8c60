//! The request to an app server (§7), and its answer (§7.1).

use kim_core::error::STANZA_ERRORS;
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::stanza::{IqType, Kind, Stanza};
use kim_core::wire::Writer;

use super::registration::Registration;
use super::{NS, PUBSUB, SUMMARY};

/// The name of what says how soon a notification has to be there: `high` or `low`. Only this server's own app server is told.
pub const PRIORITY: &str = "tigase:push:priority:0";
/// What the ids of these requests begin with.
pub(super) const ID: &str = "push-";

/// How soon a notification has to be there. Only this server's own app server is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// Now: it is worth nothing later.
    High,
    Normal,
    /// It ends what was told before, and nobody is to notice.
    Low,
}

/// What a notification says.
pub(super) struct Summary {
    pub messages: u32,
    pub subscriptions: u32,
    pub sender: Option<Jid>,
    pub body: Option<String>,
    pub priority: Priority,
}

/// The request, in the account's name: so app servers can tell whose it is, and so other servers send it too.
pub(super) fn stanza(account: &BareJid, registration: &Registration, summary: &Summary, id: &str) -> Stanza {
    let mut xml = Writer::new();
    xml.start("pubsub", PUBSUB)
        .start("publish", PUBSUB)
        .attr("node", &registration.node);
    xml.start("item", PUBSUB).start("notification", NS);
    summary.write(&mut xml);
    match summary.priority {
        Priority::High => xml.start("priority", PRIORITY).text("high").end(),
        Priority::Normal => &mut xml,
        Priority::Low => xml.start("priority", PRIORITY).text("low").end(),
    };
    xml.end().end().end();
    if !registration.options.is_empty() {
        xml.start("publish-options", PUBSUB)
            .raw(&registration.options)
            .end();
    }
    xml.end();
    Stanza::new(Kind::Iq(IqType::Set), &xml.finish_string())
        .from(account.clone())
        .to(registration.service.clone())
        .id(id)
}

impl Summary {
    /// Nothing but that there is something.
    pub fn nothing() -> Summary {
        Summary {
            messages: 0,
            subscriptions: 0,
            sender: None,
            body: None,
            priority: Priority::Normal,
        }
    }

    fn write(&self, xml: &mut Writer) {
        // That nothing is left is said only to end what was told before.
        let is_end = self.priority == Priority::Low;
        let count = |count: u32| (count > 0 || is_end).then(|| count.to_string());
        let fields = [
            ("message-count", count(self.messages)),
            ("pending-subscription-count", count(self.subscriptions)),
            ("last-message-sender", self.sender.as_ref().map(Jid::to_string)),
            ("last-message-body", self.body.clone()),
        ];
        if fields.iter().all(|(_, value)| value.is_none()) {
            return;
        }
        xml.start("x", ns::DATA).attr("type", "submit");
        xml.start("field", ns::DATA)
            .attr("var", "FORM_TYPE")
            .attr("type", "hidden");
        xml.start("value", ns::DATA).text(SUMMARY).end().end();
        for (var, value) in fields {
            if let Some(value) = value {
                xml.start("field", ns::DATA).attr("var", var);
                xml.start("value", ns::DATA).text(&value).end().end();
            }
        }
        xml.end();
    }
}

/// What an answer means for the registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// The app server has the notification.
    Taken,
    /// The registration is over: the app server does not know the node, or wants nothing from here.
    Refused,
    /// The same request would not be taken later either.
    Useless,
    /// It did not get so far.
    Unreachable,
    /// Perhaps later.
    NotNow,
}

/// Conditions that tell of the way to an app server, not of the registration, whatever their type is.
const UNREACHABLE: &[&str] = &[
    "remote-server-not-found",
    "remote-server-timeout",
    "service-unavailable",
    "recipient-unavailable",
    "internal-server-error",
];

/// Reads an answer. RFC 6120 §8.3.2 says by the type whether trying again is of any use.
pub(super) fn judge(stanza: &Stanza) -> Answered {
    if stanza.kind == Kind::Iq(IqType::Result) {
        return Answered::Taken;
    }
    let Some(error) = stanza.child("error", ns::CLIENT) else {
        return Answered::NotNow;
    };
    let condition = error
        .children()
        .find(|child| child.ns() == STANZA_ERRORS && child.name() != "text");
    if condition.is_some_and(|condition| UNREACHABLE.contains(&condition.name())) {
        return Answered::Unreachable;
    }
    match error.attr("type").as_deref() {
        Some("cancel" | "auth") => Answered::Refused,
        Some("modify") => Answered::Useless,
        _ => Answered::NotNow,
    }
}
