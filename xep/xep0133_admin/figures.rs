//! Commands that only look: §4.8 a roster, §4.10 a user's figures, §4.13 and §4.15 how many users there are, §4.18 and §4.20
//! who they are. "Online" is what has a session (§4.15), on this node.

use std::collections::BTreeSet;
use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::ns;
use kim_core::router::{Destination, Router};
use kim_core::wire::Writer;

use super::forms::{self, FORM_TYPE, ask, result, sheet, told};
use crate::rfc6121_im::api::Subscriptions;
use crate::xep0004_forms::api::Form;
use crate::xep0050_commands::api::{
    Command, CommandOutcome, CommandStep, Severity, Step, bad_payload, needed,
};

/// Addresses in one answer; who wants more reads `kim user list`.
const LIST_MAX: usize = 1_000;
/// Contacts in one answer.
const CONTACTS_MAX: usize = 1_000;

/// §4.8. Of one account at a time: a form has one roster.
pub(super) struct RosterOf(pub Arc<Subscriptions>);

impl Command for RosterOf {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            let instructions = "Fill out this form to get a user's roster.";
            return Ok(ask(sheet("Getting a User's Roster", instructions)
                .required()
                .field("accountjids", "jid-multi", "The address of the account", &[])));
        };
        let mut lines = forms::several(form)?;
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(bad_payload("enter exactly one account"));
        };
        let account = forms::existing(line, cx).await?;
        let roster = self.0.roster(&account).await?;
        let mut xml = Writer::new();
        xml.start("x", ns::DATA).attr("type", "result");
        for (var, kind, value) in [
            ("FORM_TYPE", Some("hidden"), FORM_TYPE),
            ("accountjids", None, account.as_str()),
        ] {
            xml.start("field", ns::DATA).attr("var", var);
            if let Some(kind) = kind {
                xml.attr("type", kind);
            }
            xml.start("value", ns::DATA).text(value).end().end();
        }
        // The text puts the roster into the form.
        xml.start("query", "jabber:iq:roster");
        for item in roster.listed().take(CONTACTS_MAX) {
            item.write(&mut xml);
        }
        xml.end().end();
        Ok(Step::Done(CommandOutcome::form(xml.finish_string())))
    }
}

/// §4.10.
pub(super) struct Statistics(pub Arc<Subscriptions>);

impl Command for Statistics {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            let instructions = "Fill out this form to gather user statistics.";
            return Ok(ask(sheet("User Statistics", instructions).required().field(
                "accountjid",
                "jid-single",
                "The address of the account",
                &[],
            )));
        };
        let account = forms::existing(needed(form, "accountjid")?, cx).await?;
        let roster = self.0.roster(&account).await?;
        let sessions = cx.router().sessions_of(&account).await;
        let resources: Vec<&str> = sessions
            .iter()
            .filter_map(|session| session.jid.resource())
            .collect();
        let addresses: BTreeSet<String> = sessions
            .iter()
            .filter_map(|session| session.here()?.address)
            .map(|address| address.to_string())
            .collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        Ok(told(
            result()
                .field("ipaddresses", "text-multi", "Addresses", &addresses)
                .number("rostersize", "Contacts", roster.listed().count())
                .field("onlineresources", "text-multi", "Online resources", &resources),
        ))
    }
}

/// §4.13.
pub(super) struct Registered;

impl Command for Registered {
    async fn step(&self, _: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let count = cx.router().accounts().count().await?;
        let label = "The number of registered users";
        Ok(told(result().number("registeredusersnum", label, count)))
    }
}

/// §4.15.
pub(super) struct Online;

impl Command for Online {
    async fn step(&self, _: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let count = online(cx.router()).len();
        Ok(told(result().number(
            "onlineusersnum",
            "The number of online users",
            count,
        )))
    }
}

/// §4.18.
pub(super) struct ListRegistered;

impl Command for ListRegistered {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            return Ok(ask(how_many("Requesting List of Registered Users")));
        };
        let max = chosen(form)?;
        let rows_max = u32::try_from(max).unwrap_or(u32::MAX);
        let page = cx.router().accounts().list(None, rows_max).await?;
        let all = cx.router().accounts().count().await?;
        let jids: Vec<&str> = page.iter().map(|row| row.account.as_str()).collect();
        let sheet = result().field("registereduserjids", "jid-multi", "The list of all users", &jids);
        Ok(cut(CommandOutcome::form(sheet.xml()), jids.len(), all))
    }
}

/// §4.20.
pub(super) struct ListOnline;

impl Command for ListOnline {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(form) = turn.forms.first() else {
            return Ok(ask(how_many("Requesting List of Online Users")));
        };
        let online = online(cx.router());
        let jids: Vec<&str> = online
            .iter()
            .take(chosen(form)?)
            .map(|account| account.as_str())
            .collect();
        let sheet = result().field(
            "onlineuserjids",
            "jid-multi",
            "The list of all online users",
            &jids,
        );
        let all = u64::try_from(online.len()).unwrap_or(u64::MAX);
        Ok(cut(CommandOutcome::form(sheet.xml()), jids.len(), all))
    }
}

/// The accounts that have a session; guests are none.
fn online(router: &Router) -> BTreeSet<BareJid> {
    let sessions = router.sessions().all();
    sessions
        .iter()
        .filter(|session| router.destination(session.account.domain()) == Destination::Users)
        .map(|session| session.account.clone())
        .collect()
}

fn how_many(title: &str) -> crate::xep0004_forms::api::Sheet {
    let options = ["25", "50", "75", "100", "150", "200", "none"].map(|count| (count, count));
    sheet(title, "Fill out this form to request a list of users.").choice(
        "max_items",
        "Maximum number of items to show",
        "200",
        &options,
    )
}

fn chosen(form: &Form) -> Result<usize, Fault> {
    match form.value("max_items").map(str::trim) {
        None | Some("none" | "") => Ok(LIST_MAX),
        Some(text) => match text.parse::<usize>() {
            Ok(count) if count > 0 => Ok(count.min(LIST_MAX)),
            _ => Err(bad_payload("max_items must be a number or none")),
        },
    }
}

/// A list that is not whole says so.
fn cut(outcome: CommandOutcome, shown: usize, all: u64) -> Step {
    let shown = u64::try_from(shown).unwrap_or(u64::MAX);
    Step::Done(match shown < all {
        true => outcome.note(Severity::Warn, format!("{shown} of {all}")),
        false => outcome,
    })
}
