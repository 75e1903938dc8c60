//! What administrators do with reports, from a client or the command line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kim_core::clock::Clock;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::ns;
use kim_core::router::{Destination, Router};
use kim_core::stanza::IqType;
use kim_core::wire::Writer;

pub use super::report::{Reason, ReportContent, ReportedMessage};
pub use super::store::KeptReport;
use super::store::ReportStore;
use crate::xep0004_forms::api::Form;
use crate::xep0030_disco::api::INFO;
use crate::xep0191_server::api::ServerBlocks;

/// How long another server may take to tell its contact addresses.
const CONTACT: Duration = Duration::from_secs(5);
/// Addresses that are shown of one server, and how long each may be.
const CONTACTS_MAX: usize = 10;
const CONTACT_CHARS_MAX: usize = 200;
/// The form of XEP-0157.
const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";

/// What to do about a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportAction {
    /// Block the account that is reported, for the whole server.
    BlockAccount,
    /// Block its domain.
    BlockDomain,
    /// Nothing.
    Dismiss,
}

impl ReportAction {
    /// All there are, as they are written and what they mean.
    pub const ALL: [(ReportAction, &'static str, &'static str); 3] = [
        (
            ReportAction::BlockAccount,
            "block-account",
            "Block the account for everybody here",
        ),
        (
            ReportAction::BlockDomain,
            "block-domain",
            "Block its whole domain for everybody here",
        ),
        (
            ReportAction::Dismiss,
            "dismiss",
            "Do nothing and close the report",
        ),
    ];

    /// The action of that name.
    pub fn parse(text: &str) -> Option<ReportAction> {
        let found = ReportAction::ALL.iter().find(|(_, name, _)| *name == text);
        found.map(|(action, ..)| *action)
    }
}

/// Where the server of somebody who was reported hears of abuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AbuseContact {
    /// These addresses.
    Addresses(Vec<String>),
    /// It publishes none.
    Unpublished,
    /// It could not be asked, and why.
    Unknown(String),
    /// It is this server.
    Ourselves,
}

/// How many reports there were since the start.
#[derive(Default)]
pub struct ReportCounters {
    /// Reports of spam that were kept.
    pub spam: AtomicU64,
    /// Reports of abuse, and of what else there may be, that were kept.
    pub abuse: AtomicU64,
    /// Reports that were not kept, because their reporter had sent too many.
    pub refused: AtomicU64,
}

/// The reports.
pub struct Reports {
    pub(super) store: ReportStore,
    pub(super) clock: Clock,
    blocks: Arc<ServerBlocks>,
    /// What was counted.
    pub counters: ReportCounters,
    /// Whether administrators were told of reports that nobody has seen.
    pub(super) are_told: AtomicBool,
}

fn refused(condition: Condition, text: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    StanzaError::new(condition).text(text).into()
}

impl Reports {
    pub(super) fn new(store: ReportStore, clock: Clock, blocks: Arc<ServerBlocks>) -> Reports {
        Reports {
            store,
            clock,
            blocks,
            counters: ReportCounters::default(),
            are_told: AtomicBool::new(false),
        }
    }

    /// The newest reports before one (the newest of all without), newest first, and where the next page begins. With
    /// `open_only` those that nobody has dealt with. An administrator sees them by this.
    pub async fn page(
        &self,
        before: Option<i64>,
        open_only: bool,
        rows_max: usize,
    ) -> Result<(Vec<KeptReport>, Option<i64>), Fault> {
        let before = before.unwrap_or(i64::MAX);
        let (page, next) = self.store.page(before, open_only, rows_max).await?;
        let unseen = page.iter().filter(|report| !report.is_seen);
        self.store.seen(unseen.map(|report| report.id).collect()).await?;
        self.are_told.store(false, Ordering::Relaxed);
        Ok((page, next))
    }

    /// One report.
    pub async fn find(&self, id: i64) -> Result<KeptReport, Fault> {
        let found = self.store.find(id).await?;
        let report =
            found.ok_or_else(|| refused(Condition::ItemNotFound, format!("there is no report {id}")))?;
        if !report.is_seen {
            self.store.seen(vec![id]).await?;
        }
        Ok(report)
    }

    /// Asks the server of somebody where it hears of abuse (XEP-0157 §3).
    pub async fn contact(&self, reported: &Jid, router: &Router) -> AbuseContact {
        if router.destination(reported.domain()).is_served() {
            return AbuseContact::Ourselves;
        }
        let us = BareJid::parse(router.config().main_domain()).map(Jid::from);
        let Ok(us) = us else {
            return AbuseContact::Unpublished;
        };
        let mut query = Writer::new();
        query.start("query", INFO).end();
        let (them, payload) = (reported.to_domain().into(), query.finish_string());
        let info = match router.ask(IqType::Get, &us, &them, &payload, CONTACT).await {
            Ok(info) => info,
            Err(why) => return AbuseContact::Unknown(why.to_string()),
        };
        let query = info.child("query", INFO);
        let forms = query
            .iter()
            .flat_map(|query| query.children().filter(|child| child.is("x", ns::DATA)));
        let forms = forms.filter_map(|x| Form::read(x).ok());
        let addresses: Vec<String> = forms
            .filter(|form| form.value("FORM_TYPE") == Some(SERVER_INFO))
            .flat_map(|form| form.values("abuse-addresses").unwrap_or_default().to_vec())
            .map(|address| address.chars().take(CONTACT_CHARS_MAX).collect())
            .filter(|address: &String| !address.is_empty())
            .take(CONTACTS_MAX)
            .collect();
        match addresses.is_empty() {
            true => AbuseContact::Unpublished,
            false => AbuseContact::Addresses(addresses),
        }
    }

    /// Deals with a report, and tells what was done.
    pub async fn act(&self, id: i64, action: ReportAction, cx: &mut Cx) -> Result<String, Fault> {
        let report = self.find(id).await?;
        let account = report.content.account();
        let outcome = match action {
            ReportAction::BlockAccount => {
                self.blocks.block(&account, cx).await?;
                format!("blocked {account}")
            }
            ReportAction::BlockDomain => {
                let domain = report.content.reported.to_domain();
                if cx.router().destination(domain.as_str()) != Destination::Remote {
                    let text = format!("{domain} is a domain of this server; block the account instead");
                    return Err(refused(Condition::NotAllowed, text));
                }
                self.blocks.block(&domain, cx).await?;
                format!("blocked {domain}")
            }
            ReportAction::Dismiss => "dismissed".to_owned(),
        };
        self.store.close(id, &outcome).await?;
        Ok(outcome)
    }
}
