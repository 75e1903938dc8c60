//! The commands by which hats are made and given (§3.2–§3.7). Each takes one form; who knows what stands in it may send it
//! with the first request.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::ns;
use kim_core::random;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::rack::{Rack, Racks};
use crate::xep0004_forms::api::{Form, FormKind, Sheet};
use crate::xep0045_muc::api::{Affiliation, Rooms, USER, Visitor};

/// XEP-0050
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// §3.8
pub const FORM: &str = "urn:xmpp:hats:commands";

/// What can be done, how it is called, and whether it is for admins.
const ACTIONS: [(&str, &str, bool); 6] = [
    ("create", "Create a Hat", true),
    ("destroy", "Destroy a Hat", true),
    ("list", "List Hats", false),
    ("assign", "Assign a Hat", true),
    ("unassign", "Remove a Hat", true),
    // Real addresses stand in it.
    ("list-assigned", "List Assigned Hats", true),
];

/// The commands that somebody may use: their nodes and names.
pub fn offered(visitor: &Visitor) -> impl Iterator<Item = (String, &'static str)> {
    let administers = visitor.affiliation >= Affiliation::Admin;
    let may_enter = visitor.may_enter;
    ACTIONS
        .iter()
        .filter(move |(_, _, for_admins)| administers || (may_enter && !for_admins))
        .map(|(action, name, _)| (format!("{FORM}:{action}"), *name))
}

/// Answers the commands.
pub struct HatCommand {
    /// The rooms.
    pub rooms: Arc<Rooms>,
    /// Their hats.
    pub racks: Arc<Racks>,
}

/// What is answered.
enum Step {
    Ask(String),
    Done(Option<String>),
}

impl HandleIq for HatCommand {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let visitor = self.rooms.visitor(iq.account, iq.from, cx).await?;
        let visitor = visitor.ok_or(Condition::ItemNotFound)?;
        let node = iq.payload.attr("node").ok_or(Condition::BadRequest)?.into_owned();
        let action = node.strip_prefix(FORM).and_then(|rest| rest.strip_prefix(':'));
        let action = action.ok_or(Condition::ItemNotFound)?;
        let session = iq.payload.attr("sessionid").map(|id| id.into_owned());
        let session = session.unwrap_or_else(random::token);
        let step = match iq.payload.attr("action").as_deref() {
            Some("cancel") => None,
            None | Some("execute" | "complete" | "next") => {
                let form = Form::submitted(iq.payload, FORM)?;
                let step = self.step(action, form.as_ref(), iq.account, &visitor, cx).await;
                if self.rooms.view(iq.account, cx).await?.is_none() {
                    // Gone meanwhile: nobody finds these hats in the next room of this name.
                    self.racks.forget(iq.account, cx);
                    return Err(Condition::ItemNotFound.into());
                }
                Some(step?)
            }
            Some(_) => {
                // XEP-0050 §4.4
                return Err(StanzaError::new(Condition::BadRequest)
                    .detail("bad-action", COMMANDS)
                    .into());
            }
        };
        let status = match &step {
            None => "canceled",
            Some(Step::Ask(_)) => "executing",
            Some(Step::Done(_)) => "completed",
        };
        let mut xml = Writer::new();
        xml.start("command", COMMANDS)
            .attr("node", &node)
            .attr("sessionid", &session)
            .attr("status", status);
        match step {
            Some(Step::Ask(form)) => {
                xml.start("actions", COMMANDS).attr("execute", "complete");
                xml.start("complete", COMMANDS).end().end();
                xml.raw(&form);
            }
            Some(Step::Done(Some(form))) => {
                xml.raw(&form);
            }
            _ => {}
        }
        xml.end();
        Ok(xml.into())
    }
}

fn value<'a>(form: &'a Form, var: &'static str) -> Result<&'a str, Fault> {
    let value = form.value(var).map(str::trim).filter(|value| !value.is_empty());
    value.ok_or_else(|| {
        StanzaError::new(Condition::BadRequest)
            .text(format!("{var} is required"))
            .detail("bad-payload", COMMANDS)
            .into()
    })
}

impl HatCommand {
    async fn step(
        &self,
        action: &str,
        form: Option<&Form>,
        room: &BareJid,
        visitor: &Visitor,
        cx: &mut Cx,
    ) -> Result<Step, Fault> {
        if !ACTIONS.iter().any(|(known, ..)| *known == action) {
            return Err(Condition::ItemNotFound.into());
        }
        let node = format!("{FORM}:{action}");
        if !offered(visitor).any(|(known, _)| known == node) {
            return Err(Condition::Forbidden.into());
        }
        let rack = self.racks.of(room).await?;
        match action {
            "list" => return Ok(Step::Done(Some(list(&rack)))),
            "list-assigned" => return Ok(Step::Done(Some(list_assigned(&rack)))),
            _ => {}
        }
        let Some(form) = form else {
            return Ok(Step::Ask(ask(action, &rack)));
        };
        let uri = value(form, "hats#uri")?.to_owned();
        let concerned = match action {
            "create" => {
                let title = value(form, "hats#title")?;
                let hue = form
                    .value("hats#hue")
                    .map(str::trim)
                    .filter(|hue| !hue.is_empty());
                let put = |rack: &mut Rack| {
                    rack.put(&uri, title, hue)?;
                    Ok(rack.wearers(&uri))
                };
                self.racks.change(room, put, cx).await?
            }
            "destroy" => self.racks.change(room, |rack| rack.take_away(&uri), cx).await?,
            _ => {
                let jid = Jid::parse(value(form, "hats#jid")?)?.bare();
                if jid.is_domain() {
                    return Err(Condition::JidMalformed.into());
                }
                let wears = action == "assign";
                let change = |rack: &mut Rack| {
                    if wears {
                        rack.put_on(&jid, &uri)
                    } else {
                        rack.take_off(&jid, &uri)
                    }
                };
                self.racks.change(room, change, cx).await?;
                vec![jid]
            }
        };
        if matches!(action, "create" | "destroy") {
            let mut news = Writer::new();
            news.start("x", USER)
                .start("status", USER)
                .attr("code", "104")
                .end()
                .end();
            let news = Stanza::new(Kind::Message(MessageType::Groupchat), &news.finish_string());
            self.rooms.announce(room, news, false, |_| (), cx).await?;
        }
        for jid in concerned {
            self.rooms.refresh(room, &jid, cx).await?;
        }
        Ok(Step::Done(None))
    }
}

fn ask(action: &str, rack: &Rack) -> String {
    let hats: Vec<(&str, &str)> = rack.hats.iter().map(|(uri, hat)| (&**uri, &*hat.title)).collect();
    let sheet = Sheet::new(FormKind::Form, FORM);
    let sheet = match action {
        "create" => sheet
            .title("Creating a Hat")
            .line("hats#title", "Hat Title", "")
            .required()
            .line("hats#uri", "Hat URI", "")
            .required()
            .line("hats#hue", "Hat Hue", ""),
        "destroy" => sheet
            .title("Destroying a Hat")
            .choice("hats#uri", "The role", "", &hats),
        _ => sheet
            .title(if action == "assign" {
                "Assigning a Hat"
            } else {
                "Removing a Hat"
            })
            .field("hats#jid", "jid-single", "User Address", &[])
            .required()
            .choice("hats#uri", "The role", "", &hats),
    };
    sheet.xml()
}

/// A form of type `result` with rows.
fn table(title: &str, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut xml = Writer::new();
    xml.start("x", ns::DATA).attr("type", "result");
    xml.start("field", ns::DATA)
        .attr("type", "hidden")
        .attr("var", "FORM_TYPE");
    xml.start("value", ns::DATA).text(FORM).end().end();
    xml.start("title", ns::DATA).text(title).end();
    xml.start("reported", ns::DATA);
    for column in columns {
        xml.start("field", ns::DATA).attr("var", column).end();
    }
    xml.end();
    for row in rows {
        xml.start("item", ns::DATA);
        for (column, value) in columns.iter().zip(row) {
            xml.start("field", ns::DATA).attr("var", column);
            xml.start("value", ns::DATA).text(&value).end().end();
        }
        xml.end();
    }
    xml.end();
    xml.finish_string()
}

fn list(rack: &Rack) -> String {
    let rows = rack.hats.iter().map(|(uri, hat)| {
        vec![
            hat.title.to_string(),
            uri.to_string(),
            hat.hue.as_deref().unwrap_or_default().to_owned(),
        ]
    });
    table("Hats List", &["hats#title", "hats#uri", "hats#hue"], rows)
}

fn list_assigned(rack: &Rack) -> String {
    let rows = rack.worn.iter().flat_map(|(jid, uris)| {
        uris.iter().filter_map(|uri| {
            let hat = rack.hats.get(uri)?;
            Some(vec![
                jid.as_str().to_owned(),
                uri.to_string(),
                hat.title.to_string(),
                hat.hue.as_deref().unwrap_or_default().to_owned(),
            ])
        })
    });
    let columns = ["hats#jid", "hats#uri", "hats#title", "hats#hue"];
    table("Assigned Hats List", &columns, rows)
}
