//! `kim check`: one line for each thing that a server needs, with what to do where something is wrong.

mod database;
mod federation;
mod files;
mod ports;
mod push;
mod store;
mod uploads;

use std::fmt;

use kim_core::config::{Config, ConfigErrors};
use kim_core::db::{BoxFuture, Migration};

pub(super) use store::applied;

use super::App;
use super::terminal::Terminal;
use crate::control::Remote;
use crate::failure::Failure;
use crate::house::migrations;

/// One check: looks, and tells what it found.
pub type Check = Box<dyn for<'a> Fn(&'a CheckContext) -> BoxFuture<'a, Vec<Finding>> + Send + Sync>;

/// What a check may look at.
pub struct CheckContext {
    /// The configuration, which is right.
    pub config: Config,
    /// Whether a server runs with this data directory.
    pub running: bool,
    /// Why what lies in the data directory cannot be looked at, if it cannot.
    pub barred: Option<&'static str>,
    /// All migrations of this program.
    pub migrations: Vec<&'static [Migration]>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a word.
    pub what: &'static str,
    /// Whether it is as it should be.
    pub outcome: Outcome,
    /// What it is, and what to do.
    pub text: String,
}

/// Whether something is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is.
    Ok,
    /// It was not tried.
    Skip,
    /// It works, and somebody should know.
    Warn,
    /// It does not work.
    Fail,
}

impl Finding {
    /// It is as it should be.
    pub fn ok(what: &'static str, text: impl Into<String>) -> Finding {
        Finding {
            what,
            outcome: Outcome::Ok,
            text: text.into(),
        }
    }

    /// It was not tried; the text says why.
    pub fn skip(what: &'static str, text: impl Into<String>) -> Finding {
        Finding {
            what,
            outcome: Outcome::Skip,
            text: text.into(),
        }
    }

    /// It works, and somebody should know.
    pub fn warn(what: &'static str, text: impl Into<String>) -> Finding {
        Finding {
            what,
            outcome: Outcome::Warn,
            text: text.into(),
        }
    }

    /// It does not work.
    pub fn fail(what: &'static str, text: impl Into<String>) -> Finding {
        Finding {
            what,
            outcome: Outcome::Fail,
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Ok => "ok  ",
            Outcome::Skip => "skip",
            Outcome::Warn => "warn",
            Outcome::Fail => "FAIL",
        };
        write!(f, "{outcome}  {:13}  {}", self.what, self.text)
    }
}

/// The checks that need nothing but the configuration, in the order of their lines.
fn own_checks() -> Vec<Check> {
    vec![
        Box::new(|context| Box::pin(async { configuration(context) })),
        Box::new(|context| Box::pin(async { files::data_dir(context) })),
        Box::new(|context| Box::pin(async { files::certificates(context) })),
        Box::new(|context| Box::pin(async { ports::ports(context) })),
        Box::new(|context| Box::pin(federation::federation(context))),
        Box::new(|context| Box::pin(database::database(context))),
        Box::new(|context| Box::pin(uploads::uploads(context))),
        Box::new(|context| Box::pin(push::push(context))),
        Box::new(|context| Box::pin(async { limits(&context.config) })),
    ]
}

/// Runs all checks, the program's own first.
pub(super) async fn run(
    app: &App,
    loaded: Result<Config, ConfigErrors>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let config = match loaded {
        Ok(config) => config,
        Err(errors) => {
            for error in &errors.0 {
                terminal.say_line(Finding::fail("configuration", error.to_string()));
            }
            return Err(Failure::Check(errors.0.len()));
        }
    };
    let (running, barred, server) = match Remote::find(&config.control_socket()).await {
        Ok(Some(_)) => (true, None, Finding::ok("server", "is running")),
        Ok(None) => (false, None, Finding::ok("server", "is not running")),
        Err(error) => {
            let barred = "the server's control socket cannot be opened";
            (false, Some(barred), Finding::fail("server", error.to_string()))
        }
    };
    let mut failed = usize::from(server.outcome == Outcome::Fail);
    terminal.say_line(server);
    let mut context = CheckContext {
        config,
        running,
        barred,
        migrations: migrations(app.modules),
    };
    for check in own_checks().iter().chain(&app.checks) {
        let findings = check(&context).await;
        for finding in findings {
            failed += usize::from(finding.outcome == Outcome::Fail);
            if finding.outcome == Outcome::Fail && finding.what == files::DATA {
                // Told once: what lies in it would fail for the same reason.
                context.barred = Some("the data directory cannot be used");
            }
            terminal.say_line(finding);
        }
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(Failure::Check(failed))
    }
}

fn configuration(context: &CheckContext) -> Vec<Finding> {
    let config = &context.config;
    let domains = config
        .server
        .domains
        .iter()
        .map(|domain| &**domain)
        .collect::<Vec<_>>()
        .join(", ");
    let origin = match &config.file {
        Some(path) => path.display().to_string(),
        None => "defaults (there is no kim.toml in this directory)".to_owned(),
    };
    let mut findings = vec![Finding::ok(
        "configuration",
        format!("{origin}; serves {domains}"),
    )];
    for admin in &config.server.admins {
        if !config
            .server
            .domains
            .iter()
            .any(|domain| **domain == *admin.domain())
        {
            let text = format!("{admin} in [server] admins is not on a domain of this server");
            findings.push(Finding::warn("configuration", text));
        }
    }
    if config.contact.abuse.is_empty() && config.main_domain() != "localhost" {
        let text = "no abuse contact: set [contact] abuse (XEP-0157)";
        findings.push(Finding::warn("configuration", text));
    }
    if !config.c2s.require_tls {
        let text = "[c2s] require_tls is false: on loopback addresses passwords are sent in the clear";
        findings.push(Finding::warn("configuration", text));
    }
    findings.push(Finding::ok("sign-in", plain(config.c2s.plain)));
    findings
}

/// What SASL PLAIN means for clients that know nothing better.
fn plain(is_on: bool) -> &'static str {
    if is_on {
        "SASL PLAIN is on ([c2s] plain): clients without SCRAM can log in; they send the password itself, inside TLS"
    } else {
        "SASL PLAIN is off ([c2s] plain): clients without SCRAM (mcabber 1.1.2, go-sendxmpp 0.5.6, tsung) cannot log in, and \
         rarely say why"
    }
}

fn limits(config: &Config) -> Vec<Finding> {
    let limits = &config.limits;
    if !limits.enabled {
        return vec![Finding::warn(
            "limits",
            "off ([limits] enabled is false): for load tests only",
        )];
    }
    vec![Finding::ok(
        "limits",
        format!(
            "{} bytes per stanza, {} streams per address, {} stanzas per second",
            limits.stanza_bytes_max, limits.streams_per_address_max, limits.stanzas_per_second
        ),
    )]
}
