//! The commands of `kim`: their arguments, and one file for each.

mod abuse;
mod certificate;
mod check;
mod invite;
mod key;
mod log;
mod modules;
mod password;
mod push;
mod qr;
mod reach;
mod s2s;
mod serve;
mod storage;
mod terminal;
#[cfg(test)]
mod tests;
mod typed;
mod user;
mod utc;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use kim_core::config::{Config, Schema, Sources};
use kim_core::db::BoxFuture;
use kim_core::module::Entry;

pub use crate::failure::Failure;
pub use certificate::{CertificateFacts, inspect};
pub use check::{Check, CheckContext, Finding, Outcome};
pub use invite::shown as invitation_shown;
pub use log::flush as flush_log;
pub use modules::ModuleFacts;
use reach::Site;
pub use serve::prepare_data_dir;
pub use terminal::{Terminal, shows_colours};
use typed::TypedAccount;

/// What the commands need to know about the program they are part of.
pub struct App {
    /// The modules.
    pub modules: &'static [Entry],
    /// Runs the server until it is told to stop. The data directory exists and logging works. The sources are for reading
    /// the configuration again.
    pub serve: fn(Config, Sources) -> BoxFuture<'static, Result<(), Failure>>,
    /// What `kim check` runs after its own checks, such as a login.
    pub checks: Vec<Check>,
}

impl App {
    /// The sections of all modules.
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
    /// The configuration file [default: kim.toml in the current directory, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "KIM_CONFIG")]
    config: Option<PathBuf>,
    /// The data directory; overrides data_dir in [server]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// A domain to serve; overrides domains in [server]. May be given several times
    #[arg(long, global = true, value_name = "DOMAIN")]
    domain: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default without a command)
    Serve,
    /// Create, change, list and remove accounts
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Make a link, with a QR code, with which somebody creates an account; list and revoke links
    Invite(invite::InviteArguments),
    /// Manage the key that encrypts messages in the database
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Maintain the database
    Storage {
        #[command(subcommand)]
        command: StorageCommand,
    },
    /// Read reports of spam and abuse, and act on them
    Report {
        #[command(subcommand)]
        command: abuse::ReportCommand,
    },
    /// Block accounts and domains for the whole server
    Block {
        #[command(subcommand)]
        command: abuse::BlockCommand,
    },
    /// List the devices of an account that are woken by push notifications, or wake them
    Push {
        #[command(subcommand)]
        command: push::PushCommand,
    },
    /// List the streams to other servers, or check a domain
    S2s {
        #[command(subcommand)]
        command: S2sCommand,
    },
    /// Check the configuration, data directory, certificates, ports, database and a login
    Check,
    /// Show the modules and the order in which they handle events
    Modules,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Replace the sealing key with a new one; messages are not touched
    Rotate,
}

#[derive(Debug, Subcommand)]
enum StorageCommand {
    /// Return the space of deleted messages to the disk; the server stores nothing until it is done
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
    /// Create an account; asks for its password
    Add {
        /// Its address, such as alice@example.org; the name alone is enough where the server has one domain
        #[arg(value_name = "ACCOUNT", value_parser = TypedAccount::parse)]
        account: TypedAccount,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
        /// Allow the name of an account that was removed
        #[arg(long)]
        reuse_name: bool,
    },
    /// Change the password of an account; asks for the new one
    Passwd {
        /// Its address, or its name
        #[arg(value_name = "ACCOUNT", value_parser = TypedAccount::parse)]
        account: TypedAccount,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List all accounts, one per line
    List,
    /// Show when an account was created, which clients are connected, and its OMEMO devices
    Show {
        /// Its address, or its name
        #[arg(value_name = "ACCOUNT", value_parser = TypedAccount::parse)]
        account: TypedAccount,
    },
    /// Remove an account with all its data, and end its sessions
    Delete {
        /// Its address, or its name
        #[arg(value_name = "ACCOUNT", value_parser = TypedAccount::parse)]
        account: TypedAccount,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
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
    let site = |config: Config| Site {
        app,
        is_named: config.file.is_some()
            || sources.sets("server", "data_dir")
            || sources.sets("storage", "url"),
        config: Arc::new(config),
    };
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let config = loaded?;
            if terminal.logs {
                log::start()?;
            }
            serve::run(app, config, sources, &runtime()?)
        }
        Command::User { command } => runtime()?.block_on(user::run(site(loaded?), command, terminal)),
        Command::Invite(arguments) => runtime()?.block_on(invite::run(site(loaded?), arguments, terminal)),
        Command::Key { command } => runtime()?.block_on(key::run(site(loaded?), command, terminal)),
        Command::Storage { command } => runtime()?.block_on(storage::run(site(loaded?), command, terminal)),
        Command::Report { command } => runtime()?.block_on(abuse::report(site(loaded?), command, terminal)),
        Command::Block { command } => runtime()?.block_on(abuse::block(site(loaded?), command, terminal)),
        Command::Push { command } => runtime()?.block_on(push::run(site(loaded?), command, terminal)),
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
