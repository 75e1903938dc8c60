//! A report: as a client sends it (§4–6), and as it is kept.

use kim_core::clock::Timestamp;
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::wire::{El, Element, Writer};

/// The namespace.
pub(super) const NS: &str = "urn:xmpp:reporting:1";
const SPAM: &str = "urn:xmpp:reporting:spam";
const ABUSE: &str = "urn:xmpp:reporting:abuse";
/// Characters of a reporter's own words that are kept, and of each message.
const TEXT_CHARS_MAX: usize = 2_000;
/// Bytes of a reason that this server does not know.
const REASON_BYTES_MAX: usize = 200;
/// Messages that one report may name.
const MESSAGES_MAX: usize = 20;
/// Bytes that the id of one may have.
const ID_BYTES_MAX: usize = 200;

/// Why somebody is reported (§4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// They send unwanted messages.
    Spam,
    /// General abuse.
    Abuse,
    /// A reason that this specification does not name.
    Other(String),
}

impl Reason {
    fn read(text: &str) -> Option<Reason> {
        match text {
            SPAM => Some(Reason::Spam),
            ABUSE => Some(Reason::Abuse),
            other => {
                let is_bearable = !other.is_empty() && other.len() <= REASON_BYTES_MAX;
                is_bearable.then(|| Reason::Other(other.to_owned()))
            }
        }
    }

    /// The URI.
    pub fn uri(&self) -> &str {
        match self {
            Reason::Spam => SPAM,
            Reason::Abuse => ABUSE,
            Reason::Other(uri) => uri,
        }
    }

    /// A word for people.
    pub fn word(&self) -> &str {
        match self {
            Reason::Spam => "spam",
            Reason::Abuse => "abuse",
            Reason::Other(uri) => uri,
        }
    }
}

/// A message that was reported, as the reporter's archive has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedMessage {
    /// When it was archived.
    pub stamp: Timestamp,
    /// Who sent it.
    pub from: String,
    /// Its text; `None` if it is end-to-end encrypted or has none.
    pub text: Option<String>,
}

/// What a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportContent {
    /// Who is reported.
    pub reported: Jid,
    /// Why.
    pub reason: Reason,
    /// The reporter's own words.
    pub text: Option<String>,
    /// The reporter agrees that the reported server is told (§5).
    pub report_origin: bool,
    /// The reporter agrees that third parties are told (§5).
    pub third_party: bool,
    /// The messages that were reported and found.
    pub messages: Vec<ReportedMessage>,
}

/// Cuts a text to what is kept of it.
pub(super) fn cut(text: &str) -> String {
    text.trim().chars().take(TEXT_CHARS_MAX).collect()
}

/// Reads the report in an item of a block request, and the ids of the messages that it names. None: it is not one, for it
/// has no reason (§4).
pub(super) fn read(item: El<'_>) -> Option<(ReportContent, Vec<String>)> {
    let report = item.child("report", NS)?;
    let content = ReportContent {
        reported: Jid::parse(&item.attr("jid")?).ok()?,
        reason: Reason::read(&report.attr("reason")?)?,
        text: report
            .child("text", NS)
            .map(|text| cut(&text.text()))
            .filter(|text| !text.is_empty()),
        report_origin: report.child("report-origin", NS).is_some(),
        third_party: report.child("third-party", NS).is_some(),
        messages: Vec::new(),
    };
    let named = report.children().filter(|child| child.is("stanza-id", ns::SID));
    let ids = named.filter_map(|child| child.attr("id")).take(MESSAGES_MAX);
    let ids = ids.filter(|id| id.len() <= ID_BYTES_MAX);
    Some((content, ids.map(|id| id.into_owned()).collect()))
}

impl ReportContent {
    /// Whether a message comes from the one who is reported. A report about a domain is about everybody there.
    pub(super) fn is_from_reported(&self, from: &Jid) -> bool {
        let reported = &self.reported;
        match reported.local() {
            None => from.domain() == reported.domain(),
            Some(_) => from.bare_str() == reported.bare_str(),
        }
    }

    /// The account that is reported, or the domain.
    pub fn account(&self) -> BareJid {
        self.reported.bare()
    }

    /// The text that is sealed.
    pub(super) fn to_xml(&self) -> String {
        let mut xml = Writer::new();
        xml.start("report", NS)
            .attr("jid", self.reported.as_str())
            .attr("reason", self.reason.uri());
        if let Some(text) = &self.text {
            xml.start("text", NS).text(text).end();
        }
        for (name, is_set) in [
            ("report-origin", self.report_origin),
            ("third-party", self.third_party),
        ] {
            if is_set {
                xml.start(name, NS).end();
            }
        }
        for message in &self.messages {
            xml.start("message", NS)
                .attr("from", &message.from)
                .attr("stamp", &message.stamp.0.to_string());
            if let Some(text) = &message.text {
                xml.start("body", NS).text(text).end();
            }
            xml.end();
        }
        xml.end();
        xml.finish_string()
    }

    /// Reads what was sealed.
    pub(super) fn from_xml(xml: &str) -> Option<ReportContent> {
        let report = Element::stored(xml)?;
        let has = |name| report.child(name, NS).is_some();
        let message = |child: El<'_>| {
            Some(ReportedMessage {
                stamp: Timestamp(child.attr("stamp")?.parse().ok()?),
                from: child.attr("from")?.into_owned(),
                text: child.child("body", NS).map(|body| body.text().into_owned()),
            })
        };
        Some(ReportContent {
            reported: Jid::parse(&report.attr("jid")?).ok()?,
            reason: Reason::read(&report.attr("reason")?)?,
            text: report.child("text", NS).map(|text| text.text().into_owned()),
            report_origin: has("report-origin"),
            third_party: has("third-party"),
            messages: report
                .children()
                .filter(|child| child.is("message", NS))
                .filter_map(message)
                .collect(),
        })
    }
}
