//! What the forms of all commands have in common: their type, and how accounts are read from them.

use kim_core::accounts::scram::Password;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::router::Destination;

use crate::xep0004_forms::api::{Form, FormKind, Sheet};
use crate::xep0050_commands::api::{CommandOutcome, Step, bad_payload};

/// The FORM_TYPE of every form (§4).
pub(super) const FORM_TYPE: &str = "http://jabber.org/protocol/admin";

/// Accounts that one command may be about.
const ACCOUNTS_MAX: usize = 100;

/// A form to be filled in.
pub(super) fn sheet(title: &str, instructions: &str) -> Sheet {
    Sheet::new(FormKind::Form, FORM_TYPE)
        .title(title)
        .instructions(instructions)
}

/// Asks the one question that there is.
pub(super) fn ask(sheet: Sheet) -> Step {
    Step::Ask {
        form: sheet.xml(),
        last: true,
    }
}

/// A form that tells something.
pub(super) fn result() -> Sheet {
    Sheet::new(FormKind::Result, FORM_TYPE)
}

/// The command is over and has told this.
pub(super) fn told(sheet: Sheet) -> Step {
    Step::Done(CommandOutcome::form(sheet.xml()))
}

/// The address in a field: of an account of this server, if it exists or not.
pub(super) fn address(text: &str, cx: &Cx) -> Result<Jid, Fault> {
    let jid = Jid::parse(text.trim()).map_err(|_| bad_payload("this is not a valid address"))?;
    if jid.local().is_none() || cx.router().destination(jid.domain()) != Destination::Users {
        return Err(StanzaError::new(Condition::NotAllowed)
            .text("this is not an account of this server")
            .into());
    }
    Ok(jid)
}

/// The same without a resource.
pub(super) fn account(text: &str, cx: &Cx) -> Result<BareJid, Fault> {
    let jid = address(text, cx)?;
    match jid.is_bare() {
        true => Ok(jid.bare()),
        false => Err(bad_payload("enter an account without a resource")),
    }
}

/// An account that exists.
pub(super) async fn existing(text: &str, cx: &Cx) -> Result<BareJid, Fault> {
    let account = account(text, cx)?;
    check_exists(&account, cx).await?;
    Ok(account)
}

/// Refuses an account that nobody has.
pub(super) async fn check_exists(account: &BareJid, cx: &Cx) -> Result<(), Fault> {
    match cx.router().accounts().exists(account).await? {
        true => Ok(()),
        false => Err(StanzaError::new(Condition::ItemNotFound)
            .text(format!("the account {account} does not exist"))
            .into()),
    }
}

/// The lines of `accountjids`.
pub(super) fn several(form: &Form) -> Result<impl Iterator<Item = &str>, Fault> {
    let lines = form.values("accountjids").unwrap_or_default();
    if lines.len() > ACCOUNTS_MAX {
        return Err(bad_payload("too many accounts at once; enter fewer"));
    }
    let is_written = |line: &&str| !line.trim().is_empty();
    if !lines.iter().map(String::as_str).any(|line| is_written(&line)) {
        return Err(bad_payload("accountjids is required"));
    }
    Ok(lines.iter().map(String::as_str).filter(is_written))
}

/// The password in a field.
pub(super) fn password(form: &Form) -> Result<Password, Fault> {
    let text = form
        .value("password")
        .ok_or_else(|| bad_payload("password is required"))?;
    Password::prepare(text).map_err(|error| bad_payload(error.to_string()))
}
