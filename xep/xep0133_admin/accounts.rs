//! Commands that change accounts: §4.1 add, §4.2 delete, §4.5 end sessions, §4.7 another password.

use kim_core::accounts::names::{self, UsernameError};
use kim_core::accounts::{AccountError, Tombstone};
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError, StreamCondition, StreamError};

use super::forms::{self, ask, sheet};
use crate::xep0050_commands::api::{Command, CommandOutcome, CommandStep, Step, bad_payload, needed};

/// §4.1.
pub(super) struct Add;

impl Command for Add {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            let sheet = sheet("Adding a User", "Fill out this form to add a user.");
            return Ok(ask(sheet
                .required()
                .field("accountjid", "jid-single", "The address of the new account", &[])
                .required()
                .field("password", "text-private", "Its password", &[])
                .required()
                .field("password-verify", "text-private", "Retype password", &[])));
        };
        let address = needed(form, "accountjid")?;
        match names::account_at(address.trim()) {
            // Without a username it is no account of this server, which is said below.
            Ok(_) | Err(UsernameError::Empty) => {}
            Err(error) => return Err(bad_payload(error.to_string())),
        }
        let account = forms::account(address, cx)?;
        if form
            .value("password-verify")
            .is_some_and(|again| form.value("password") != Some(again))
        {
            return Err(bad_payload("the two passwords differ"));
        }
        let password = forms::password(form)?;
        let accounts = cx.router().accounts();
        match accounts.create(&account, &password, Tombstone::Respect).await {
            Ok(()) => {}
            Err(error @ (AccountError::Exists | AccountError::Removed { .. } | AccountError::Lookalike)) => {
                return Err(StanzaError::new(Condition::Conflict)
                    .text(error.to_string())
                    .into());
            }
            Err(error) => return Err(error.into()),
        }
        tracing::info!(event = "account_created", %account, by = %turn.asker.bare());
        Ok(Step::Done(CommandOutcome::default()))
    }
}

/// §4.2: with everything, as if they had done it themselves.
pub(super) struct Delete;

impl Command for Delete {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            let sheet = sheet("Deleting a User", "Fill out this form to delete a user.");
            return Ok(ask(sheet.required().field(
                "accountjids",
                "jid-multi",
                "The addresses of the accounts to delete",
                &[],
            )));
        };
        // All or nothing, as far as that can be known before.
        let mut accounts = Vec::new();
        for line in forms::several(form)? {
            let account = forms::existing(line, cx).await?;
            if account == turn.asker.bare() {
                return Err(StanzaError::new(Condition::NotAllowed)
                    .text("you cannot delete your own account here")
                    .into());
            }
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        let router = cx.router().clone();
        for account in accounts {
            for session in router.erase_account(&account).await? {
                // XEP-0077 §3.2 names this condition for an account that is no more.
                let error = StreamError::new(StreamCondition::NotAuthorized);
                session.close(error.text("this account has been removed"));
            }
            tracing::info!(event = "account_removed", %account, by = %turn.asker.bare());
        }
        Ok(Step::Done(CommandOutcome::default()))
    }
}

/// §4.5: of an account all of them, of a full address that one.
pub(super) struct EndSessions;

impl Command for EndSessions {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            let instructions = "Fill out this form to end the sessions of a user.";
            let sheet = sheet("Ending Sessions of a User", instructions);
            return Ok(ask(sheet.required().field(
                "accountjids",
                "jid-multi",
                "The addresses for which to end sessions",
                &[],
            )));
        };
        let mut ended = Vec::new();
        for line in forms::several(form)? {
            let jid = forms::address(line, cx)?;
            forms::check_exists(&jid.bare(), cx).await?;
            let sessions = cx.router().sessions().of(&jid.bare());
            ended.extend(
                sessions
                    .into_iter()
                    .filter(|session| jid.is_bare() || session.jid == jid),
            );
        }
        for session in ended {
            let error = StreamError::new(StreamCondition::PolicyViolation);
            session.close(error.text("an administrator has ended this session"));
            tracing::info!(event = "session_ended", jid = %session.jid, by = %turn.asker.bare());
        }
        Ok(Step::Done(CommandOutcome::default()))
    }
}

/// §4.7: whoever knew only the old one is out.
pub(super) struct ChangePassword;

impl Command for ChangePassword {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            let instructions = "Fill out this form to change a user's password.";
            let sheet = sheet("Changing a User Password", instructions);
            return Ok(ask(sheet
                .required()
                .field("accountjid", "jid-single", "The address of the account", &[])
                .required()
                .field("password", "text-private", "Its new password", &[])));
        };
        let account = forms::existing(needed(form, "accountjid")?, cx).await?;
        let password = forms::password(form)?;
        // The administrator's own answer has to reach them, where the account is theirs.
        let router = cx.router();
        router
            .change_password(&account, &password, Some(turn.asker))
            .await?;
        tracing::info!(event = "password_changed", %account, by = %turn.asker.bare());
        Ok(Step::Done(CommandOutcome::default()))
    }
}
