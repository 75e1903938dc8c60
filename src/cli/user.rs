//! `kim user …`: asks the running server, so that sessions end and caches stay correct; opens the house itself, without doors,
//! when no server is running.

use std::sync::Arc;

use kim_core::accounts::Tombstone;
use kim_core::clock::Timestamp;
use kim_core::cluster::Solo;
use kim_core::config::Config;
use kim_core::jid::BareJid;

use super::terminal::Terminal;
use super::{App, UserCommand, password, serve};
use crate::control::{Control, ControlError, Direct, KeyDevice, Remote, Secret, UserFacts};
use crate::failure::Failure;
use crate::house::House;

/// Runs one of them.
pub(super) async fn run(
    app: &App,
    config: Config,
    command: UserCommand,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    // Before anything is opened: a person may take their time to type it.
    let secret = match &command {
        UserCommand::Add { password_stdin, .. } | UserCommand::Passwd { password_stdin, .. } => {
            Some(password::read(*password_stdin, terminal)?)
        }
        UserCommand::Delete { account, yes: false } => {
            confirm_removal(account, terminal)?;
            None
        }
        _ => None,
    };
    let remote = Remote::find(&config.control_socket()).await;
    if let Some(remote) = remote.map_err(|error| Failure::Other(error.to_string()))? {
        return perform(&remote, command, secret, terminal).await;
    }
    serve::prepare_data_dir(&config.server.data_dir)?;
    let house = House::open(Arc::new(config), app.modules, Box::new(Solo)).await?;
    let control = Direct::without_doors(house.router.clone());
    let result = perform(&control, command, secret, terminal).await;
    house.db.close().await;
    result
}

/// Nothing brings an account back, so a person is asked; a script says --yes.
fn confirm_removal(account: &BareJid, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let question =
        format_args!("Remove {account} with its messages, contacts and files? This cannot be undone.");
    match terminal.confirm(question) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Other("nothing was removed".to_owned())),
        Err(_) => Err(Failure::Other(format!(
            "{account} was not removed: add --yes to remove it without being asked"
        ))),
    }
}

async fn perform(
    control: &dyn Control,
    command: UserCommand,
    secret: Option<Secret>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    match (command, secret) {
        (
            UserCommand::Add {
                account, reuse_name, ..
            },
            Some(secret),
        ) => {
            let tombstone = if reuse_name {
                Tombstone::Override
            } else {
                Tombstone::Respect
            };
            let result = control.user_add(&account, &secret, tombstone).await;
            result.map_err(|error| Failure::account(&account, error))?;
            terminal.say_line(format_args!("{account} can log in now"));
        }
        (UserCommand::Passwd { account, .. }, Some(secret)) => {
            let result = control.user_passwd(&account, &secret).await;
            result.map_err(|error| Failure::account(&account, error))?;
            terminal.say_line(format_args!("{account} has a new password"));
        }
        (UserCommand::List, _) => list(control, terminal).await?,
        (UserCommand::Show { account }, _) => {
            let facts = control.user_show(&account).await;
            terminal.say(shown(&facts.map_err(|error| Failure::account(&account, error))?));
        }
        (UserCommand::Delete { account, .. }, _) => {
            let result = control.user_delete(&account).await;
            result.map_err(|error| Failure::account(&account, error))?;
            terminal.say_line(format_args!("{account} is removed"));
        }
        (UserCommand::Add { account, .. } | UserCommand::Passwd { account, .. }, None) => {
            return Err(Failure::Other(format!("{account}: a password is required")));
        }
    }
    Ok(())
}

/// All accounts, a page at a time: neither side ever holds them all.
async fn list(control: &dyn Control, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let mut after: Option<BareJid> = None;
    loop {
        let page = control.user_list(after.as_ref()).await;
        let page = page.map_err(|error: ControlError| Failure::Other(error.to_string()))?;
        for user in &page {
            if !terminal.say_line(&user.account) {
                return Ok(()); // the reader of a pipe has seen enough
            }
        }
        // A page with a damaged row in it is shorter, and not the last one for that.
        match page.into_iter().next_back() {
            Some(last) => after = Some(last.account),
            None => return Ok(()),
        }
    }
}

fn shown(facts: &UserFacts) -> String {
    let mut text = format!("account  {}\ncreated  {}\n", facts.account, utc(facts.created_at));
    let mut online = |line: &str| text.push_str(&format!("online   {line}\n"));
    match &facts.online {
        None => online("unknown: no server is running with this data directory"),
        Some(clients) if clients.is_empty() => online("no"),
        Some(clients) => {
            for client in clients {
                let address = client
                    .address
                    .map(|address| format!(" from {address}"))
                    .unwrap_or_default();
                let state = match (client.parked_since, client.priority) {
                    (Some(since), _) => format!("parked since {}: not connected, may resume", utc(since)),
                    (None, Some(priority)) => format!("available, priority {priority}"),
                    (None, None) => "not available".to_owned(),
                };
                online(&format!(
                    "{}{address} since {}, {state}",
                    client.resource,
                    utc(client.since)
                ));
            }
        }
    }
    for device in &facts.devices {
        text.push_str(&format!("omemo    {}\n", device_line(device)));
    }
    text
}

fn device_line(device: &KeyDevice) -> String {
    let versions = device.versions.join(" and ");
    let (id, prekeys) = (device.id, device.prekeys);
    let Some(fingerprint) = &device.fingerprint else {
        return format!(
            "device {id}, version {versions}: its keys are missing, so nobody can encrypt for it"
        );
    };
    let since = device
        .since
        .map(|since| format!(" since {}", utc(since)))
        .unwrap_or_default();
    format!("device {id}, version {versions}{since}, {prekeys} prekeys: {fingerprint}")
}

/// A time to the second, as `2026-11-22T21:30:12Z`.
pub(super) fn utc(microseconds: i64) -> String {
    let text = Timestamp(microseconds).to_string();
    format!("{}Z", text.split('.').next().unwrap_or(&text))
}
