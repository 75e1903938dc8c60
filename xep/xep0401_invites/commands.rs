//! The two commands (XEP-0401 §5.1, §5.4) and the form in which both tell the links.

use std::sync::Arc;

use kim_core::accounts::names;
use kim_core::cx::Cx;
use kim_core::error::Fault;

use super::api::{InviteError, Invites, Made, WantedInvitation};
use crate::xep0004_forms::api::{FormKind, Sheet};
use crate::xep0050_commands::api::{
    Command, CommandOutcome, CommandStep, Commands, MayUse, Step, bad_payload,
};

/// §3: a user invites.
pub(super) const INVITE: &str = "urn:xmpp:invite#invite";
/// §3: an administrator has an account made.
pub(super) const CREATE: &str = "urn:xmpp:invite#create-account";
/// What the answer is (§5.1).
const INVITATION: &str = "urn:xmpp:invite#invitation";

/// `urn:xmpp:invite#invite`: a link at once, without questions.
pub(super) struct Invite {
    pub invites: Arc<Invites>,
    pub commands: Arc<Commands>,
    pub accounts_invite: bool,
}

impl Command for Invite {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let inviter = turn.asker.bare();
        let router = cx.router().clone();
        let wanted = WantedInvitation {
            registers: self.accounts_invite || self.commands.may(&router, turn.asker, MayUse::Admins),
            ..WantedInvitation::by_account(&inviter)
        };
        let made = self.invites.create(&router, wanted).await;
        Ok(told(&made.map_err(InviteError::into_fault)?))
    }
}

/// `urn:xmpp:invite#create-account`: for a name or for any, with or without becoming a contact.
pub(super) struct CreateAccount(pub Arc<Invites>);

impl Command for CreateAccount {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            return Ok(Step::Ask {
                form: Sheet::new(FormKind::Form, CREATE)
                    .title("Invite somebody to create an account")
                    .instructions("Leave the username empty to let them choose it.")
                    .line("username", "Username", "")
                    .boolean("roster-subscription", "Become contacts", false)
                    .xml(),
                last: true,
            });
        };
        let username = form.value("username").map(str::trim).unwrap_or_default();
        let account = match username {
            "" => None,
            name => Some(
                names::account(name, turn.account.domain())
                    .map_err(|error| bad_payload(error.to_string()))?,
            ),
        };
        let befriends = form
            .boolean("roster-subscription")
            .map_err(|_| bad_payload("roster-subscription must be 1 or 0"))?;
        let wanted = WantedInvitation {
            inviter: Some(turn.asker.bare()),
            account,
            befriends: befriends.unwrap_or(false),
            ..WantedInvitation::by_operator(turn.account.domain())
        };
        let made = self.0.create(cx.router(), wanted).await;
        Ok(told(&made.map_err(InviteError::into_fault)?))
    }
}

fn told(made: &Made) -> Step {
    let mut sheet = Sheet::new(FormKind::Result, INVITATION).line("uri", "Invitation", &made.links.uri);
    if let Some(landing) = &made.links.landing {
        sheet = sheet.line("landing-url", "Link for browsers", landing);
    }
    let expires = made.invitation.expires();
    Step::Done(CommandOutcome::form(
        sheet.line("expire", "Good until", &expires).xml(),
    ))
}
