//! `kim user …`: looks first whether what is asked for can be done, and only then asks for a password or a confirmation.

use kim_core::accounts::Tombstone;
use kim_core::config::Config;
use kim_core::jid::BareJid;

use super::reach::{Begins, Site};
use super::terminal::Terminal;
use super::utc::utc;
use super::{UserCommand, password};
use crate::control::{Control, ControlError, KeyDevice, Secret, UserFacts};
use crate::failure::Failure;

/// What is to be done, with all that it needs.
enum Task {
    Add(BareJid, Tombstone),
    Passwd(BareJid),
    List,
    Show(BareJid),
    Delete(BareJid),
}

/// What a person is asked before it is done.
enum Question {
    Nothing,
    Password { is_piped: bool },
    Confirmation,
}

fn task(command: UserCommand, config: &Config) -> Result<(Task, Question), Failure> {
    Ok(match command {
        UserCommand::Add {
            account,
            password_stdin: is_piped,
            reuse_name,
        } => {
            let tombstone = if reuse_name {
                Tombstone::Override
            } else {
                Tombstone::Respect
            };
            (
                Task::Add(account.at(config)?, tombstone),
                Question::Password { is_piped },
            )
        }
        UserCommand::Passwd {
            account,
            password_stdin: is_piped,
        } => (Task::Passwd(account.at(config)?), Question::Password { is_piped }),
        UserCommand::List => (Task::List, Question::Nothing),
        UserCommand::Show { account } => (Task::Show(account.at(config)?), Question::Nothing),
        UserCommand::Delete { account, yes: true } => (Task::Delete(account.at(config)?), Question::Nothing),
        UserCommand::Delete { account, yes: false } => {
            (Task::Delete(account.at(config)?), Question::Confirmation)
        }
    })
}

/// Runs one of them.
pub(super) async fn run(
    site: Site<'_>,
    command: UserCommand,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let (task, question) = task(command, &site.config)?;
    let begins = match task {
        Task::Add(..) => Begins::IfNamed,
        _ => Begins::Never,
    };
    if !matches!(question, Question::Nothing) {
        look(&site, &task, begins, terminal).await?;
    }
    // Nothing is open meanwhile: a person may take their time, and a server may be started.
    let secret = match question {
        Question::Password { is_piped } => Some(password::read(is_piped, terminal)?),
        Question::Confirmation => {
            if let Task::Delete(account) = &task {
                confirm_removal(account, terminal)?;
            }
            None
        }
        Question::Nothing => None,
    };
    let reached = site.reach(begins, terminal).await?;
    let result = perform(reached.control(), task, secret, &site.config, terminal).await;
    reached.close().await;
    result
}

/// Whether it can be done at all.
async fn look(
    site: &Site<'_>,
    task: &Task,
    begins: Begins,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    if let Task::Add(account, _) = task
        && site.would_begin(begins).await?
    {
        // Any name is free there; what would be refused must not leave an empty database behind.
        let domains = &site.config.server.domains;
        let is_ours = domains.iter().any(|domain| **domain == *account.domain());
        return match is_ours {
            true => Ok(()),
            false => Err(Failure::account(
                account,
                ControlError::foreign(account, &site.config),
            )),
        };
    }
    let reached = site.reach(begins, terminal).await?;
    let control = reached.control();
    let looked = match task {
        Task::Add(account, tombstone) => {
            let may = control.user_may_add(account, *tombstone).await;
            may.map_err(|error| Failure::account(account, error))
        }
        Task::Passwd(account) | Task::Delete(account) | Task::Show(account) => {
            let facts = control.user_show(account).await;
            facts.map(drop).map_err(|error| Failure::account(account, error))
        }
        Task::List => Ok(()),
    };
    reached.close().await;
    looked
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
    task: Task,
    secret: Option<Secret>,
    config: &Config,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    match (task, secret) {
        (Task::Add(account, tombstone), Some(secret)) => {
            let result = control.user_add(&account, &secret, tombstone).await;
            result.map_err(|error| Failure::account(&account, error))?;
            terminal.say_line(format_args!("{account} can log in now"));
        }
        (Task::Passwd(account), Some(secret)) => {
            let result = control.user_passwd(&account, &secret).await;
            result.map_err(|error| Failure::account(&account, error))?;
            terminal.say_line(format_args!("{account} has a new password"));
        }
        (Task::List, _) => list(control, config, terminal).await?,
        (Task::Show(account), _) => {
            let facts = control.user_show(&account).await;
            terminal.say(shown(&facts.map_err(|error| Failure::account(&account, error))?));
        }
        (Task::Delete(account), _) => {
            let result = control.user_delete(&account).await;
            result.map_err(|error| Failure::account(&account, error))?;
            terminal.say_line(format_args!("{account} is removed"));
        }
        (Task::Add(account, _) | Task::Passwd(account), None) => {
            return Err(Failure::Other(format!("{account}: a password is required")));
        }
    }
    Ok(())
}

/// All accounts, a page at a time: neither side ever holds them all.
async fn list(control: &dyn Control, config: &Config, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let mut after: Option<BareJid> = None;
    loop {
        let page = control.user_list(after.as_ref()).await;
        let page = page.map_err(|error: ControlError| Failure::Other(error.to_string()))?;
        if page.is_empty() && after.is_none() {
            // Not among the answers, which scripts read.
            terminal.complain(format_args!(
                "No accounts yet. Add one with: kim user add alice@{}\n",
                config.main_domain()
            ));
        }
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
