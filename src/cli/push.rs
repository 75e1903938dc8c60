//! `kim push …`: whom this server wakes by push notifications, and whether that works.

use clap::Subcommand;
use kim_core::jid::BareJid;

use super::reach::{Begins, Site, odd_answer};
use super::terminal::Terminal;
use super::typed::TypedAccount;
use super::utc::utc;
use crate::control::{Control, PushAnswer, PushFacts, PushRequest};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum PushCommand {
    /// List an account's devices that are woken by push notifications, one per line
    List {
        /// Its address, or its name
        #[arg(value_name = "ACCOUNT", value_parser = TypedAccount::parse)]
        account: TypedAccount,
    },
    /// Wake an account's devices, and tell what their app servers answer; needs the running server
    Test {
        /// Its address, or its name
        #[arg(value_name = "ACCOUNT", value_parser = TypedAccount::parse)]
        account: TypedAccount,
        /// Only the device with this number from `kim push list`
        #[arg(value_name = "ID", allow_negative_numbers = true)]
        id: Option<i64>,
    },
}

/// Runs one of them.
pub(super) async fn run(
    site: Site<'_>,
    command: PushCommand,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let (account, test) = match command {
        PushCommand::List { account } => (account.at(&site.config)?, None),
        PushCommand::Test { account, id } => (account.at(&site.config)?, Some(id)),
    };
    let reached = site.reach(Begins::Never, terminal).await?;
    let result = match test {
        None => list(reached.control(), &account, terminal).await,
        Some(id) => wake(reached.control(), &account, id, terminal).await,
    };
    reached.close().await;
    result
}

async fn registrations(control: &dyn Control, account: &BareJid) -> Result<Vec<PushFacts>, Failure> {
    let request = PushRequest::List {
        account: account.clone(),
    };
    match control.push(&request).await {
        Ok(PushAnswer::List(all)) => Ok(all),
        Ok(_) => Err(odd_answer()),
        Err(error) => Err(Failure::account(account, error)),
    }
}

fn say_that_there_are_none(account: &BareJid, terminal: &mut Terminal<'_>) {
    terminal.complain(format_args!(
        "{account} has no push registrations: its apps make them when they sign in, browsers when their user asks for it.\n"
    ));
}

async fn list(control: &dyn Control, account: &BareJid, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let all = registrations(control, account).await?;
    if all.is_empty() {
        say_that_there_are_none(account, terminal);
    }
    for facts in &all {
        if !terminal.say_line(line(facts)) {
            break; // the reader of a pipe has seen enough
        }
    }
    Ok(())
}

/// Tests one registration, or each.
async fn wake(
    control: &dyn Control,
    account: &BareJid,
    only: Option<i64>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let ids = match only {
        Some(id) => vec![id],
        None => registrations(control, account)
            .await?
            .iter()
            .map(|facts| facts.id)
            .collect(),
    };
    if ids.is_empty() {
        say_that_there_are_none(account, terminal);
    }
    let mut failures = 0;
    for id in ids {
        let request = PushRequest::Test {
            account: account.clone(),
            id,
        };
        match control.push(&request).await {
            Ok(PushAnswer::Tested(None)) => {
                terminal.say_line(format_args!("ok    {id}: the app server took the notification"));
            }
            Ok(PushAnswer::Tested(Some(why))) => {
                failures += 1;
                terminal.say_line(format_args!("FAIL  {id}: {why}"));
            }
            Ok(_) => return Err(odd_answer()),
            Err(error) => return Err(Failure::account(account, error)),
        }
    }
    match failures {
        0 => Ok(()),
        failures => Err(Failure::Check(failures)),
    }
}

fn line(facts: &PushFacts) -> String {
    let (id, service, since) = (facts.id, &facts.service, utc(facts.since));
    let device = match facts.resource.as_str() {
        "" => "no session".to_owned(),
        resource => format!("device {resource}"),
    };
    let taken = match facts.taken_at {
        Some(at) => format!("last success {}", utc(at)),
        None => "no success yet".to_owned(),
    };
    let mut line = format!("{id}  {service}  {device}  since {since}  {taken}");
    if let Some((at, why)) = &facts.failed {
        line.push_str(&format!("  last error {}: {why}", utc(*at)));
    }
    if let Some(at) = facts.due_at {
        line.push_str(&format!("  next attempt {}", utc(at)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_a_line() {
        let mut facts = PushFacts {
            id: -7,
            service: "push.example.org".to_owned(),
            resource: "phone".to_owned(),
            since: 0,
            taken_at: None,
            failed: None,
            due_at: None,
        };
        assert_eq!(
            line(&facts),
            "-7  push.example.org  device phone  since 1970-01-01T00:00:00Z  no success yet"
        );
        facts.resource = String::new();
        facts.taken_at = Some(1_000_000);
        facts.failed = Some((2_000_000, "the app server did not answer".to_owned()));
        facts.due_at = Some(3_000_000);
        assert_eq!(
            line(&facts),
            "-7  push.example.org  no session  since 1970-01-01T00:00:00Z  last success 1970-01-01T00:00:01Z  \
             last error 1970-01-01T00:00:02Z: the app server did not answer  next attempt 1970-01-01T00:00:03Z"
        );
    }
}
