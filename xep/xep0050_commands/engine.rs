//! Executing commands (§2.4, §3, §4): one request is one step.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::events::SessionEnded;
use kim_core::hook::Hear;
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::ns::DATA;
use kim_core::wire::{El, Writer};

use super::api::{CommandOutcome, CommandStep, Commands, NS, Offered, Step, bad_payload};
use super::sessions::{Open, SessionOwner, Sessions};
use crate::xep0004_forms::api::{Form, FormKind};

/// Bytes of forms that one session keeps; those of the commands there are have a few hundred.
const SESSION_BYTES_MAX: usize = 65_536;
/// Forms that one session keeps.
const STAGES_MAX: usize = 16;

/// What is to be done (§4.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Execute,
    Cancel,
    Prev,
    Next,
    Complete,
}

/// Executes commands.
pub(super) struct CommandEngine {
    pub commands: Arc<Commands>,
    pub sessions: Arc<Sessions>,
}

impl HandleIq for CommandEngine {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let node = iq.payload.attr("node").filter(|node| !node.is_empty());
        let node = node.ok_or(Condition::BadRequest)?;
        let (node, offered) = self.commands.find(iq.at, &node).ok_or(Condition::ItemNotFound)?;
        // At every step: who was an administrator when it began may not be one any more.
        if !self.commands.may(cx.router(), iq.from, offered.who) {
            return Err(Condition::Forbidden.into());
        }
        let action = match iq.payload.attr("action").as_deref() {
            None | Some("execute") => Action::Execute,
            Some("cancel") => Action::Cancel,
            Some("prev") => Action::Prev,
            Some("next") => Action::Next,
            Some("complete") => Action::Complete,
            Some(_) => return Err(refused("malformed-action")),
        };
        let owner = SessionOwner {
            asker: iq.from.clone(),
            at: iq.at,
            account: iq.account.clone(),
            node,
        };
        match iq.payload.attr("sessionid") {
            None if action == Action::Execute => self.begin(owner, &offered, iq.payload, cx).await,
            None => Err(refused("bad-action")),
            Some(id) => self.go_on(&id, owner, &offered, action, iq.payload, cx).await,
        }
    }
}

impl CommandEngine {
    async fn begin(
        &self,
        owner: SessionOwner,
        offered: &Offered,
        command: El<'_>,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let id = self.sessions.new_id(&owner);
        let mut session = Open {
            owner,
            forms: Vec::new(),
            bytes: 0,
            last: false,
            touched: cx.received,
        };
        // Apps that know a command's first form send it filled in at once.
        take(&mut session, command)?;
        let (answer, goes_on) = step(&id, &mut session, offered, cx).await?;
        if goes_on {
            self.sessions.keep(&id, session, cx.received)?;
        }
        Ok(answer)
    }

    async fn go_on(
        &self,
        id: &str,
        owner: SessionOwner,
        offered: &Offered,
        action: Action,
        command: El<'_>,
        cx: &mut Cx,
    ) -> Result<Reply, Fault> {
        let now = cx.received;
        let mut session = self.sessions.take(id, &owner, now)?;
        if action == Action::Cancel {
            let mut xml = opened(owner.node, id, "canceled");
            xml.end();
            return Ok(xml.into());
        }
        session.touched = now;
        // Should the step fail, it can be tried again from where it was.
        let before = session.clone();
        let stepped = match advance(&mut session, action, command) {
            Ok(()) => step(id, &mut session, offered, cx).await,
            Err(fault) => Err(fault),
        };
        match stepped {
            Ok((answer, goes_on)) => {
                if goes_on {
                    self.sessions.keep(id, session, now)?;
                }
                Ok(answer)
            }
            Err(fault) => {
                self.sessions.keep(id, before, now)?;
                Err(fault)
            }
        }
    }
}

/// Adds or takes back a form (§3.4).
fn advance(session: &mut Open, action: Action, command: El<'_>) -> Result<(), Fault> {
    let forward = match action {
        // What it means was said with the form.
        Action::Execute => true,
        Action::Next => !session.last,
        Action::Complete => session.last,
        Action::Prev | Action::Cancel => {
            return session.forms.pop().map(drop).ok_or_else(|| refused("bad-action"));
        }
    };
    if !forward {
        return Err(refused("bad-action"));
    }
    match take(session, command)? {
        true => Ok(()),
        false => Err(bad_payload("a form is required")),
    }
}

/// Adds the form that came with a request; `false` if there was none.
fn take(session: &mut Open, command: El<'_>) -> Result<bool, Fault> {
    let Some(x) = command.child("x", DATA) else {
        return Ok(false);
    };
    let form = Form::read(x).map_err(|_| bad_payload("the form is malformed"))?;
    // §3.5.1: a form that is cancelled counts as submitted.
    if !matches!(form.kind, FormKind::Submit | FormKind::Cancel) {
        return Err(bad_payload("the form must have type submit"));
    }
    session.bytes += x.xml().len();
    if session.bytes > SESSION_BYTES_MAX || session.forms.len() >= STAGES_MAX {
        return Err(bad_payload("the form is too large"));
    }
    session.forms.push(form);
    Ok(true)
}

/// Lets the command take its next step. The answer comes with whether there is another.
async fn step(id: &str, session: &mut Open, offered: &Offered, cx: &mut Cx) -> Result<(Reply, bool), Fault> {
    let turn = CommandStep {
        asker: &session.owner.asker,
        account: &session.owner.account,
        forms: &session.forms,
    };
    match offered.command.step(&turn, cx).await? {
        Step::Done(outcome) => Ok((completed(session.owner.node, id, &outcome), false)),
        Step::Ask { form, last } => {
            session.last = last;
            let forward = if last { "complete" } else { "next" };
            let mut xml = opened(session.owner.node, id, "executing");
            xml.start("actions", NS).attr("execute", forward);
            if !session.forms.is_empty() {
                xml.start("prev", NS).end();
            }
            xml.start(forward, NS).end().end();
            xml.raw(&form);
            xml.end();
            Ok((xml.into(), true))
        }
    }
}

/// What the server says is English (§3.7).
fn opened(node: &str, id: &str, status: &str) -> Writer {
    let mut xml = Writer::new();
    xml.start("command", NS)
        .attr("node", node)
        .attr("sessionid", id)
        .attr("status", status)
        .attr("xml:lang", "en");
    xml
}

fn completed(node: &str, id: &str, outcome: &CommandOutcome) -> Reply {
    let mut xml = opened(node, id, "completed");
    for (severity, text) in &outcome.notes {
        xml.start("note", NS)
            .attr("type", severity.as_str())
            .text(text)
            .end();
    }
    if let Some(form) = &outcome.form {
        xml.raw(form);
    }
    xml.end();
    xml.into()
}

/// §4.4: the specific condition beside `bad-request`.
fn refused(detail: &'static str) -> Fault {
    StanzaError::new(Condition::BadRequest).detail(detail, NS).into()
}

/// Whoever leaves takes their sessions along.
pub(super) struct ForgetSessions(pub Arc<Sessions>);

impl Hear<SessionEnded> for ForgetSessions {
    async fn hear(&self, event: &mut SessionEnded, _: &mut Cx) -> Result<(), Fault> {
        self.0.forget(&event.session.jid);
        Ok(())
    }
}
