//! How a module offers a command: a node, a name, who may, and what it does with the forms it gets.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use kim_core::cx::Cx;
use kim_core::db::BoxFuture;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::At;
use kim_core::router::{Destination, Router};

use crate::xep0004_forms::api::Form;

/// The namespace, and the node under which commands are listed (§2.2).
pub const NS: &str = "http://jabber.org/protocol/commands";

/// Who may use a command. Guests and other servers' people never may; at [`At::Own`] it is only the account itself anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayUse {
    /// The accounts in `[server] admins`.
    Admins,
    /// Every account of this server.
    Accounts,
}

/// One step of a command: what it is told.
pub struct CommandStep<'a> {
    /// Who uses it.
    pub asker: &'a Jid,
    /// Whose command it is: the domain of the server, or the account.
    pub account: &'a BareJid,
    /// The forms that were filled in so far, in order; none when it begins.
    pub forms: &'a [Form],
}

/// One step of a command: what comes of it.
pub enum Step {
    /// This form has to be filled in: canonical XML of a form of type `form`.
    Ask {
        /// The form.
        form: String,
        /// Whether nothing else will be asked.
        last: bool,
    },
    /// It is over.
    Done(CommandOutcome),
}

/// How a command ended.
#[derive(Default)]
pub struct CommandOutcome {
    /// What it found out: canonical XML of a form of type `result`.
    pub form: Option<String>,
    /// What a human should know, each with its severity (§4.3).
    pub notes: Vec<(Severity, String)>,
}

impl CommandOutcome {
    /// It found this out.
    pub fn form(form: String) -> CommandOutcome {
        CommandOutcome {
            form: Some(form),
            notes: Vec::new(),
        }
    }

    /// The same with a note.
    pub fn note(mut self, severity: Severity, text: impl Into<String>) -> CommandOutcome {
        self.notes.push((severity, text.into()));
        self
    }
}

/// How bad something is (§4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// For information.
    Info,
    /// Something is not as it should be.
    Warn,
    /// It failed (§3.6).
    Error,
}

impl Severity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
        }
    }
}

/// A command. It keeps nothing between steps: the forms so far say where it stands. A step that fails with a stanza error
/// may be repeated with a better form.
pub trait Command: Send + Sync + 'static {
    /// The next step.
    fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> impl Future<Output = Result<Step, Fault>> + Send;
}

pub(super) trait DynCommand: Send + Sync {
    fn step<'a>(&'a self, turn: &'a CommandStep<'_>, cx: &'a mut Cx) -> BoxFuture<'a, Result<Step, Fault>>;
}

impl<C: Command> DynCommand for C {
    fn step<'a>(&'a self, turn: &'a CommandStep<'_>, cx: &'a mut Cx) -> BoxFuture<'a, Result<Step, Fault>> {
        Box::pin(Command::step(self, turn, cx))
    }
}

/// The form cannot be used (§4.4).
pub fn bad_payload(why: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    StanzaError::new(Condition::BadRequest)
        .text(why)
        .detail("bad-payload", NS)
        .into()
}

/// The value of a field that has to be filled in.
pub fn needed<'a>(form: &'a Form, var: &'static str) -> Result<&'a str, Fault> {
    form.value(var)
        .filter(|value| !value.trim().is_empty())
        .ok_or_else(|| bad_payload(format!("{var} is required")))
}

#[derive(Clone)]
pub(super) struct Offered {
    pub name: &'static str,
    pub who: MayUse,
    pub command: Arc<dyn DynCommand>,
}

/// The commands of this server. Modules that have one need this module and add it while the house is put together.
pub struct Commands {
    admins: Vec<BareJid>,
    offered: RwLock<BTreeMap<(At, &'static str), Offered>>,
}

impl Commands {
    pub(super) fn new(admins: Vec<BareJid>) -> Commands {
        Commands {
            admins,
            offered: RwLock::default(),
        }
    }

    /// Offers a command at [`At::Server`], [`At::Own`] or a service of this server.
    pub fn add(&self, at: At, node: &'static str, name: &'static str, who: MayUse, command: impl Command) {
        let command: Arc<dyn DynCommand> = Arc::new(command);
        self.offered
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((at, node), Offered { name, who, command });
    }

    /// Whether somebody may use what is for these.
    pub fn may(&self, router: &Router, asker: &Jid, who: MayUse) -> bool {
        let account = asker.bare();
        let is_ours = account.local().is_some() && router.destination(account.domain()) == Destination::Users;
        is_ours && (who == MayUse::Accounts || self.admins.contains(&account))
    }

    pub(super) fn find(&self, at: At, node: &str) -> Option<(&'static str, Offered)> {
        let offered = self.offered.read().unwrap_or_else(PoisonError::into_inner);
        offered
            .iter()
            .find(|((place, own), _)| *place == at && *own == node)
            .map(|((_, node), offered)| (*node, offered.clone()))
    }

    /// What somebody may use at a place: nodes and names.
    pub(super) fn list(&self, router: &Router, at: At, asker: &Jid) -> Vec<(&'static str, &'static str)> {
        let offered = self.offered.read().unwrap_or_else(PoisonError::into_inner);
        offered
            .iter()
            .filter(|((place, _), offered)| *place == at && self.may(router, asker, offered.who))
            .map(|((_, node), offered)| (*node, offered.name))
            .collect()
    }
}
