//! What an account does from any client's menu: look through its requests, and choose what becomes of strangers' messages.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::config::Choice;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::ns;
use kim_core::stanza::{Kind, Stanza};

use super::api::{Decision, Judgement, Requests, WaitingRequest};
use super::choices::StrangerChoices;
use crate::xep0004_forms::api::{Form, FormKind, Sheet};
use crate::xep0050_commands::api::{
    Command, CommandOutcome, CommandStep, Severity, Step, bad_payload, needed,
};

/// The node of the first command.
pub(super) const REQUESTS: &str = "urn:kim:strangers:0#requests";
/// The node of the second.
pub(super) const SETTINGS: &str = "urn:kim:strangers:0#settings";
/// Characters of a message that the list shows.
const PREVIEW_CHARS: usize = 300;

fn done(severity: Severity, text: impl Into<String>) -> Result<Step, Fault> {
    Ok(Step::Done(CommandOutcome::default().note(severity, text)))
}

/// Lists requests, and accepts, refuses or blocks one.
pub(super) struct LookThrough(pub Arc<Requests>);

impl Command for LookThrough {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let account = turn.asker.bare();
        let Some(form) = turn.forms.first() else {
            let waiting = self.0.waiting(&account).await?;
            if waiting.is_empty() {
                return done(Severity::Info, "No message requests are waiting.");
            }
            return Ok(Step::Ask {
                form: sheet(&waiting),
                last: true,
            });
        };
        let id = needed(form, "request")?.trim();
        let id = id
            .parse()
            .map_err(|_| bad_payload("request must be one of the requests in the form"))?;
        let (decision, note) = decision(form)?;
        match self.0.decide(&account, id, decision, cx).await? {
            true => done(Severity::Info, note),
            false => done(Severity::Error, "This request is no longer waiting."),
        }
    }
}

fn decision(form: &Form) -> Result<(Decision, &'static str), Fault> {
    match needed(form, "action")?.trim() {
        "accept" => Ok((
            Decision::Accept,
            "Accepted. What this person sent has been delivered.",
        )),
        "refuse" => Ok((Decision::Refuse, "Refused. The sender is not told.")),
        "block" => Ok((Decision::Block, "Refused, and the sender is blocked.")),
        _ => Err(bad_payload("action must be accept, refuse or block")),
    }
}

fn sheet(waiting: &[WaitingRequest]) -> String {
    let entries: Vec<(String, String)> = waiting
        .iter()
        .map(|request| {
            let Timestamp(_) = request.received;
            (
                request.id.to_string(),
                format!(
                    "{}, {}: {}",
                    request.sender,
                    request.received,
                    preview(&request.stanza)
                ),
            )
        })
        .collect();
    let options: Vec<(&str, &str)> = entries
        .iter()
        .map(|(id, text)| (id.as_str(), text.as_str()))
        .collect();
    Sheet::new(FormKind::Form, REQUESTS)
        .title("Message Requests")
        .instructions(
            "People who are not among your contacts sent you these. Choose one, and what to do with it.",
        )
        .required()
        .choice("request", "Request", "", &options)
        .required()
        .choice(
            "action",
            "What to do",
            "",
            &[
                ("accept", "Accept"),
                ("refuse", "Refuse"),
                ("block", "Refuse and block the sender"),
            ],
        )
        .xml()
}

/// What the list shows of a request.
pub(super) fn preview(stanza: &Stanza) -> String {
    if matches!(stanza.kind, Kind::Presence(_)) {
        return "wants to see when you are online".to_owned();
    }
    match stanza.child("body", ns::CLIENT) {
        Some(body) => body.text().chars().take(PREVIEW_CHARS).collect(),
        None => "(a message without text)".to_owned(),
    }
}

/// Chooses between accept, hold and refuse, as far as the server allows it.
pub(super) struct Settings {
    pub choices: Arc<StrangerChoices>,
    /// What the server does with everybody's.
    pub messages: Judgement,
}

impl Command for Settings {
    async fn step(&self, turn: &CommandStep<'_>, _: &mut Cx) -> Result<Step, Fault> {
        let account = turn.asker.bare();
        let Some(form) = turn.forms.first() else {
            let chosen = self.choices.messages(&account).await?;
            return Ok(Step::Ask {
                form: self.sheet(chosen),
                last: true,
            });
        };
        let chosen = match needed(form, "messages")?.trim() {
            "default" => None,
            name => Some(
                Judgement::parse(name)
                    .filter(|chosen| *chosen >= self.messages)
                    .ok_or_else(|| bad_payload("messages must be one of the choices in the form"))?,
            ),
        };
        self.choices.choose(&account, chosen).await?;
        done(Severity::Info, "Your choice is stored.")
    }
}

impl Settings {
    fn sheet(&self, chosen: Option<Judgement>) -> String {
        let label = |judgement: Judgement| match judgement {
            Judgement::Accept => "Accept them",
            Judgement::Hold => "Keep them as message requests",
            Judgement::Refuse => "Refuse them",
        };
        let default = format!("What the server does: {}", label(self.messages));
        let mut options = vec![("default", default.as_str())];
        let allowed = Judgement::ALL
            .iter()
            .filter(|judgement| **judgement >= self.messages);
        options.extend(allowed.map(|judgement| (judgement.as_str(), label(*judgement))));
        let current = chosen.map_or("default", |chosen| chosen.max(self.messages).as_str());
        Sheet::new(FormKind::Form, SETTINGS)
            .title("Messages from Strangers")
            .instructions(
                "A stranger is somebody who is not among your contacts and to whom you have never written.",
            )
            .required()
            .choice("messages", "Messages from strangers", current, &options)
            .xml()
    }
}
