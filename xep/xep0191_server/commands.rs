//! What administrators do with server-wide blocks from any client.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};

use super::api::ServerBlocks;
use crate::xep0004_forms::api::{Form, FormKind, Sheet};
use crate::xep0050_commands::api::{Command, CommandOutcome, CommandStep, Severity, Step, bad_payload};

/// The type of the forms, and the beginning of the nodes.
const FORM_TYPE: &str = "urn:kim:blocks:0";
/// Blocks that one command may change.
const LINES_MAX: usize = 100;
/// Blocks in one answer; `kim block list` has them all.
const LIST_MAX: usize = 1_000;

/// What to do with addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockChange {
    Block,
    Unblock,
}

/// Blocks or unblocks.
pub(super) struct ChangeBlocks(pub Arc<ServerBlocks>, pub BlockChange);

impl Command for ChangeBlocks {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            let (title, label) = match self.1 {
                BlockChange::Block => ("Block for Everybody", "The accounts and domains to block"),
                BlockChange::Unblock => ("Unblock", "The accounts and domains to unblock"),
            };
            let sheet = Sheet::new(FormKind::Form, FORM_TYPE).title(title).instructions(
                "Nobody on this server hears from blocked accounts and domains, and nothing is sent to them.",
            );
            let sheet = sheet.required().field("addresses", "text-multi", label, &[]);
            return Ok(Step::Ask {
                form: sheet.xml(),
                last: true,
            });
        };
        let mut addresses = Vec::new();
        for line in lines(form)? {
            addresses.push(ServerBlocks::parse(line)?);
        }
        let mut changed = 0_usize;
        for address in &addresses {
            let is_news = match self.1 {
                BlockChange::Block => self.0.block(address, cx).await?,
                BlockChange::Unblock => self.0.unblock(address, cx).await?,
            };
            if is_news {
                changed += 1;
                let event = match self.1 {
                    BlockChange::Block => "address_blocked",
                    BlockChange::Unblock => "address_unblocked",
                };
                tracing::info!(event, %address, by = %turn.asker.bare());
            }
        }
        let note = match self.1 {
            BlockChange::Block => format!("{changed} addresses were blocked"),
            BlockChange::Unblock => format!("{changed} addresses were unblocked"),
        };
        Ok(Step::Done(CommandOutcome::default().note(Severity::Info, note)))
    }
}

fn lines(form: &Form) -> Result<Vec<&str>, Fault> {
    let lines = form.values("addresses").unwrap_or_default().iter();
    let lines: Vec<&str> = lines
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
        .collect();
    match lines.len() {
        0 => Err(bad_payload("addresses is required")),
        count if count > LINES_MAX => Err(StanzaError::new(Condition::ResourceConstraint)
            .text(format!("enter no more than {LINES_MAX} addresses at once"))
            .into()),
        _ => Ok(lines),
    }
}

/// Shows the blocks.
pub(super) struct ListBlocks(pub Arc<ServerBlocks>);

impl Command for ListBlocks {
    async fn step(&self, _: &CommandStep<'_>, _: &mut Cx) -> Result<Step, Fault> {
        self.0.load().await?;
        let page = self.0.list("", LIST_MAX).await?;
        let addresses: Vec<&str> = page.iter().map(|(address, _)| address.as_str()).collect();
        let sheet = Sheet::new(FormKind::Result, FORM_TYPE).field(
            "addresses",
            "text-multi",
            "Blocked accounts and domains",
            &addresses,
        );
        let outcome = CommandOutcome::form(sheet.xml());
        let (shown, all) = (page.len(), self.0.len());
        Ok(Step::Done(match shown < all {
            true => outcome.note(
                Severity::Warn,
                format!("{shown} of {all}; see also: kim block list"),
            ),
            false => outcome,
        }))
    }
}
