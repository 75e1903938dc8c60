//! What a query asks for (§4): the form and the page, as a stretch of the archive.

use kim_core::clock::Timestamp;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::Jid;
use kim_core::ns;
use kim_core::wire::{El, Writer};

use super::NS;
use crate::xep0004_forms::api::{Form, FormKind};
use crate::xep0059_rsm::api as rsm;

/// Messages that can be asked for by their ids at once.
const IDS_MAX: usize = 100;
const VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";

/// A query as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveQuery {
    /// Names the query in its results.
    pub queryid: Option<String>,
    /// Only messages with this JID (§4.1.1).
    pub with: Option<Jid>,
    /// Not before this time (§4.1.2).
    pub start: Option<Timestamp>,
    /// Not after this time.
    pub end: Option<Timestamp>,
    /// Behind this message (§4.1.3).
    pub after_id: Option<String>,
    /// Before this message.
    pub before_id: Option<String>,
    /// These messages.
    pub ids: Vec<String>,
    /// Which page of it all.
    pub page: rsm::Asked,
    /// The newest of the page first (§4.3.4).
    pub flip: bool,
}

impl ArchiveQuery {
    /// Reads a `<query/>`.
    pub fn parse(query: El<'_>) -> Result<ArchiveQuery, Fault> {
        // §6.1.3: nodes are for archives of pubsub.
        if query.attr("node").is_some() {
            return Err(Condition::ItemNotFound.into());
        }
        let mut parsed = ArchiveQuery {
            queryid: query.attr("queryid").map(|id| id.into_owned()),
            page: rsm::Asked::parse(query)?,
            flip: query.child("flip-page", NS).is_some(),
            ..ArchiveQuery::default()
        };
        if let Some(form) = query.child("x", ns::DATA) {
            parsed.read_form(form)?;
        }
        Ok(parsed)
    }

    fn read_form(&mut self, x: El<'_>) -> Result<(), Fault> {
        let form = Form::read(x)?;
        if form.kind != FormKind::Submit || form.value("FORM_TYPE").map(str::trim) != Some(NS) {
            return Err(bad(
                "the form must have type submit and this protocol's FORM_TYPE",
            ));
        }
        for var in form.vars() {
            let mut values = form.values(var).into_iter().flatten().map(|value| value.trim());
            let Some(value) = values.find(|value| !value.is_empty()) else {
                continue;
            };
            match var {
                "with" => self.with = Some(Jid::parse(value)?),
                "start" => self.start = Some(time(value)?),
                "end" => self.end = Some(time(value)?),
                "after-id" => self.after_id = Some(value.to_owned()),
                "before-id" => self.before_id = Some(value.to_owned()),
                "ids" => {
                    let others = values.filter(|value| !value.is_empty());
                    self.ids = std::iter::once(value).chain(others).map(str::to_owned).collect();
                    if self.ids.len() > IDS_MAX {
                        return Err(StanzaError::new(Condition::ResourceConstraint)
                            .text("too many ids; request fewer at a time")
                            .into());
                    }
                }
                // §4.1.5
                _ => return Err(Condition::FeatureNotImplemented.into()),
            }
        }
        Ok(())
    }
}

fn time(text: &str) -> Result<Timestamp, Fault> {
    Timestamp::parse(text).ok_or_else(|| bad("times must have the form 2026-01-31T12:00:00Z"))
}

fn bad(why: &'static str) -> Fault {
    StanzaError::new(Condition::BadRequest).text(why).into()
}

/// §4.1.5: which fields a query may have.
pub fn fields() -> String {
    let mut xml = Writer::new();
    xml.start("query", NS).start("x", ns::DATA).attr("type", "form");
    xml.start("field", ns::DATA)
        .attr("type", "hidden")
        .attr("var", "FORM_TYPE");
    xml.start("value", ns::DATA).text(NS).end().end();
    for (kind, var) in [
        ("jid-single", "with"),
        ("text-single", "start"),
        ("text-single", "end"),
        ("text-single", "before-id"),
        ("text-single", "after-id"),
    ] {
        xml.start("field", ns::DATA)
            .attr("type", kind)
            .attr("var", var)
            .end();
    }
    xml.start("field", ns::DATA)
        .attr("type", "list-multi")
        .attr("var", "ids");
    xml.start("validate", VALIDATE)
        .attr("datatype", "xs:string")
        .start("open", VALIDATE)
        .end()
        .end();
    xml.finish_string()
}
