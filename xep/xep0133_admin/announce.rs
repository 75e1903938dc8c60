//! §4.23: a word to everybody who is online. Who is away does not get it later.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::ns;
use kim_core::router::Destination;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::forms::{ask, sheet};
use crate::xep0050_commands::api::{Command, CommandOutcome, CommandStep, Severity, Step, bad_payload};

/// §4.23.
pub(super) struct Announce;

impl Command for Announce {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            let instructions = "Fill out this form to make an announcement to all users who are online.";
            return Ok(ask(sheet("Making an Announcement", instructions)
                .required()
                .field("announcement", "text-multi", "Announcement", &[])));
        };
        let text = form.text("announcement").filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| bad_payload("announcement is required"))?;
        let mut xml = Writer::new();
        xml.start("body", ns::CLIENT).text(&text).end();
        let kind = Kind::Message(MessageType::Headline);
        let message = Stanza::new(kind, &xml.finish_string()).from(turn.account.clone());
        let router = cx.router().clone();
        let mut told = 0_usize;
        for session in router.sessions().all() {
            // Available ones, on the domain that the command was given to.
            let is_meant = session.account.domain() == turn.account.domain()
                && router.destination(session.account.domain()) == Destination::Users;
            if is_meant && session.priority().is_some() {
                told += 1;
                cx.deliver(&session, Arc::new(message.clone().to(session.jid.clone())));
            }
        }
        tracing::info!(event = "announced", by = %turn.asker.bare(), sessions = told);
        let note = format!("sent to {told} clients");
        Ok(Step::Done(CommandOutcome::default().note(Severity::Info, note)))
    }
}
