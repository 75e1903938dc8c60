//! Commands with which people see which of their devices are woken, and administrators those of anybody: how it goes, a test, and
//! turning one off.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::BareJid;
use kim_core::module::At;
use kim_core::router::Destination;

use super::api::{PushRegistration, PushRegistrations};
use crate::xep0004_forms::api::{Form, FormKind, Sheet};
use crate::xep0050_commands::api::{
    Command, CommandOutcome, CommandStep, Commands, MayUse, Severity, Step, bad_payload, needed,
};

const FORM_TYPE: &str = "urn:kim:push:0";

/// Offers them.
pub(super) fn offer(commands: &Commands, registrations: &Arc<PushRegistrations>) {
    let own = OwnDevices(registrations.clone());
    commands.add(
        At::Own,
        "urn:kim:push:0#devices",
        "Push Notifications",
        MayUse::Accounts,
        own,
    );
    let all = DevicesOf(registrations.clone());
    commands.add(
        At::Server,
        "urn:kim:push:0#of-account",
        "Push Registrations",
        MayUse::Admins,
        all,
    );
}

struct OwnDevices(Arc<PushRegistrations>);

impl Command for OwnDevices {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        devices(&self.0, turn.account, turn.forms.last(), cx).await
    }
}

struct DevicesOf(Arc<PushRegistrations>);

impl Command for DevicesOf {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let [first, rest @ ..] = turn.forms else {
            let sheet = Sheet::new(FormKind::Form, FORM_TYPE)
                .title("Push Registrations")
                .required()
                .field("accountjid", "jid-single", "Account", &[]);
            return Ok(Step::Ask {
                form: sheet.xml(),
                last: false,
            });
        };
        let account = BareJid::parse(needed(first, "accountjid")?.trim());
        let account = account.map_err(|_| bad_payload("accountjid must be the address of an account"))?;
        if cx.router().destination(account.domain()) != Destination::Users {
            return Err(StanzaError::new(Condition::NotAllowed)
                .text("this is not an account of this server")
                .into());
        }
        devices(&self.0, &account, rest.last(), cx).await
    }
}

/// Shows the devices of an account, or does with one of them what a form says.
async fn devices(
    registrations: &Arc<PushRegistrations>,
    account: &BareJid,
    chosen: Option<&Form>,
    cx: &mut Cx,
) -> Result<Step, Fault> {
    let all = registrations.of(account).await?;
    let Some(form) = chosen else {
        return Ok(list(&all));
    };
    let id = needed(form, "device")?;
    let device = all.iter().find(|one| one.id.to_string() == id);
    let device = device.ok_or_else(|| bad_payload("choose one of the devices"))?;
    let router = cx.router().clone();
    let done = match needed(form, "action")? {
        "test" => {
            let (registrations, account, id) = (registrations.clone(), account.clone(), device.id);
            // An app server may take a minute to answer, and the stream does not wait for it.
            tokio::spawn(async move {
                if let Err(fault) = registrations.test(&account, id, &router).await {
                    tracing::error!(event = "push_not_tested", %account, %fault);
                }
            });
            "A test notification is on its way. This command shows what became of it."
        }
        "end" => {
            registrations.end(account, device.id, &router).await?;
            "The device is not woken any more."
        }
        _ => return Err(bad_payload("choose one of the actions")),
    };
    let outcome = CommandOutcome::default().note(Severity::Info, done);
    Ok(Step::Done(outcome))
}

fn list(all: &[PushRegistration]) -> Step {
    if all.is_empty() {
        let nothing = "no device is woken by push notifications";
        return Step::Done(CommandOutcome::default().note(Severity::Info, nothing));
    }
    let options: Vec<(String, String)> = all.iter().map(|one| (one.id.to_string(), line(one))).collect();
    let options: Vec<(&str, &str)> = options.iter().map(|(id, line)| (&**id, &**line)).collect();
    let actions = [
        ("test", "Wake it, to see whether that works"),
        ("end", "Wake it no more"),
    ];
    let sheet = Sheet::new(FormKind::Form, FORM_TYPE)
        .title("Push Notifications")
        .required()
        .choice("device", "Device", "", &options)
        .required()
        .choice("action", "What to do", "test", &actions);
    Step::Ask {
        form: sheet.xml(),
        last: true,
    }
}

/// A registration in a line.
fn line(one: &PushRegistration) -> String {
    let device = match one.resource.as_str() {
        "" => "a device without a session",
        resource => resource,
    };
    let mut line = format!("{device}, through {}, since {}", one.service, one.since);
    match one.taken_at {
        Some(at) => line.push_str(&format!("; last success {at}")),
        None => line.push_str("; no success yet"),
    }
    if let Some((at, why)) = &one.failed {
        line.push_str(&format!("; last error {at}: {why}"));
    }
    if let Some(at) = one.due_at {
        line.push_str(&format!("; next attempt {at}"));
    }
    line
}
