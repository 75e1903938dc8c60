//! The commands of `kim`: their arguments, and one file for each.

mod certificate;
mod check;
mod failure;
mod invite;
mod key;
mod modules;
mod password;
mod qr;
mod s2s;
mod serve;
mod storage;
mod terminal;
#[cfg(test)]
mod tests;
mod user;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kim_core::config::{Config, Schema, Sources};
use kim_core::db::BoxFuture;
use kim_core::jid::BareJid;
use kim_core::module::Entry;

pub use certificate::{CertificateFacts, inspect};
pub use check::{Check, CheckContext, Finding, Outcome};
pub use failure::Failure;
pub use invite::shown as invitation_shown;
pub use modules::ModuleFacts;
pub use serve::prepare_data_dir;
pub use terminal::Terminal;

/// What the commands need to know of the program they are part of.
pub struct App {
    /// The rooms.
    pub modules: &'static [Entry],
    /// Runs the server until it is told to stop. The data directory is there and logging works. The sources are for
    /// reading the configuration again.
    pub serve: fn(Config, Sources) -> BoxFuture<'static, Result<(), Failure>>,
    /// What `kim check` looks at after its own checks, such as a login.
    pub checks: Vec<Check>,
}

impl App {
    /// The sections of all rooms.
    pub fn schemas(&self) -> Vec<Schema> {
        self.modules.iter().map(|entry| (entry.schema)()).collect()
    }
}

/// An XMPP server.
#[derive(Debug, Parser)]
#[command(
    name = "kim",
    version,
    about = "kIM, an XMPP server",
    propagate_version = true
)]
struct Arguments {
    /// The configuration file [default: kim.toml here, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "KIM_CONFIG")]
    config: Option<PathBuf>,
    /// Where the server keeps its data; stands for data_dir in [server]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// A domain to serve, instead of domains in [server]; may be given several times
    #[arg(long, global = true, value_name = "DOMAIN")]
    domain: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what kim does without a command)
    Serve,
    /// Make, change, list and remove accounts
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Invite somebody: prints a link, and a QR code for their phone
    Invite(invite::InviteArguments),
    /// Look after the key that seals messages in the database
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Look after the database
    Storage {
        #[command(subcommand)]
        command: StorageCommand,
    },
    /// Other servers: the streams there are, and how a domain answers
    S2s {
        #[command(subcommand)]
        command: S2sCommand,
    },
    /// Look at the configuration, the data directory, the certificate, the ports and the database
    Check,
    /// Show the modules and who listens to what, in which order
    Modules,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Replace the sealing key by a new one; messages are not touched
    Rotate,
}

#[derive(Debug, Subcommand)]
enum StorageCommand {
    /// Give the space that deleted messages left back to the disk; nothing is stored until it is done
    Compact,
}

#[derive(Debug, Subcommand)]
enum S2sCommand {
    /// List the streams to and from other servers, and what waits for them
    List,
    /// Look at a domain: DNS, its certificate, what its server offers, and a ping
    Check {
        /// The domain, such as example.org
        #[arg(value_name = "DOMAIN")]
        domain: String,
    },
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account; asks for its password
    Add {
        /// Its address, such as alice@example.org
        #[arg(value_name = "JID", value_parser = parse_account)]
        account: BareJid,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
        /// Also if the name belonged to an account that was removed
        #[arg(long)]
        reuse_name: bool,
    },
    /// Give an account another password; asks for it
    Passwd {
        /// Its address
        #[arg(value_name = "JID", value_parser = parse_account)]
        account: BareJid,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List all accounts, one a line
    List,
    /// Show when an account was made, and who is connected to it
    Show {
        /// Its address
        #[arg(value_name = "JID", value_parser = parse_account)]
        account: BareJid,
    },
    /// Remove an account with all that belongs to it, and end its sessions
    Delete {
        /// Its address
        #[arg(value_name = "JID", value_parser = parse_account)]
        account: BareJid,
    },
}

fn parse_account(text: &str) -> Result<BareJid, String> {
    let account = BareJid::parse(text).map_err(|error| error.to_string())?;
    match account.local() {
        Some(_) => Ok(account),
        None => Err("an account needs a name before the @, such as alice@example.org".to_owned()),
    }
}

/// Runs the command that the process was called with.
pub fn run(app: &App) -> ExitCode {
    let code = run_with(app, std::env::args_os(), &mut Terminal::of_process());
    ExitCode::from(code)
}

/// Runs a command and returns its exit code (see [`Failure`]).
pub fn run_with(app: &App, arguments: impl IntoIterator<Item = OsString>, terminal: &mut Terminal<'_>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let text = error.render();
            // Help and version go where answers go.
            if error.use_stderr() {
                terminal.complain(text)
            } else {
                terminal.say(text)
            }
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    match run_command(app, arguments, terminal) {
        Ok(()) => 0,
        Err(failure) => {
            for line in failure.to_string().lines() {
                terminal.complain(format_args!("kim: {line}\n"));
            }
            failure.exit_code()
        }
    }
}

fn run_command(app: &App, arguments: Arguments, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let sources = sources(&arguments, terminal);
    let loaded = Config::load(&sources, &app.schemas());
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let config = loaded?;
            if terminal.logs {
                serve::start_logging()?;
            }
            serve::run(app, config, sources, &runtime()?)
        }
        Command::User { command } => runtime()?.block_on(user::run(app, loaded?, command, terminal)),
        Command::Invite(arguments) => runtime()?.block_on(invite::run(app, loaded?, arguments, terminal)),
        Command::Key { command } => runtime()?.block_on(key::run(app, loaded?, command, terminal)),
        Command::Storage { command } => runtime()?.block_on(storage::run(app, loaded?, command, terminal)),
        Command::S2s { command } => runtime()?.block_on(s2s::run(loaded?, command, terminal)),
        Command::Check => runtime()?.block_on(check::run(app, loaded, terminal)),
        Command::Modules => {
            let text = runtime()?.block_on(modules::show(app, loaded?))?;
            terminal.say(text);
            Ok(())
        }
    }
}

fn sources(arguments: &Arguments, terminal: &Terminal<'_>) -> Sources {
    let mut sources = Sources::of_process(arguments.config.clone()).environment(terminal.environment.clone());
    if let Some(data_dir) = &arguments.data_dir {
        sources = sources.flag("--data-dir", "server", "data_dir", data_dir.to_string_lossy());
    }
    if !arguments.domain.is_empty() {
        sources = sources.flag("--domain", "server", "domains", arguments.domain.join(","));
    }
    sources
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start: {error}")))
}
