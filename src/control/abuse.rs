//! Reports of abuse and server-wide blocks, as an operator asks for them.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_xep::xep0191_server::api::ServerBlocks;
use kim_xep::xep0377_reports::api::{AbuseContact, KeptReport, ReportAction, Reports};
use serde::{Deserialize, Serialize};

use super::{ControlError, enabled, failed};

/// Rows in one page.
pub const ABUSE_ROWS_MAX: usize = 100;

/// What is asked about reports and blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AbuseRequest {
    /// A page of reports, newest first.
    Reports {
        /// Before this one.
        before: Option<i64>,
        /// Also those that an administrator has dealt with.
        with_closed: bool,
    },
    /// One report, with the abuse contact of the other server.
    Report {
        /// Which.
        id: i64,
    },
    /// Deal with a report.
    Act {
        /// Which.
        id: i64,
        /// How: the name of an action.
        action: String,
    },
    /// Block an account or a domain for the whole server.
    Block {
        /// Which.
        address: BareJid,
    },
    /// Unblock it.
    Unblock {
        /// Which.
        address: BareJid,
    },
    /// A page of the blocked, in order.
    Blocks {
        /// The last one of the page before.
        after: Option<String>,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbuseAnswer {
    /// A page of reports, and where the next one begins.
    Reports(Vec<ReportFacts>, Option<i64>),
    /// One report, and the abuse contact of the other server in a sentence.
    Report(Box<ReportFacts>, String),
    /// What was done.
    Acted(String),
    /// Whether that changed anything.
    Changed(bool),
    /// Blocked addresses, each with its time in microseconds since 1970.
    Blocks(Vec<(String, i64)>),
}

/// A report as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportFacts {
    /// Names it; the time of the report in microseconds since 1970.
    pub id: i64,
    /// Who reported.
    pub reporter: BareJid,
    /// Who is reported.
    pub reported: String,
    /// Why.
    pub reason: String,
    /// The reporter's own words.
    pub text: Option<String>,
    /// The reporter agrees that the reported server is told.
    pub report_origin: bool,
    /// The reporter agrees that third parties are told.
    pub third_party: bool,
    /// The messages: when (microseconds since 1970), from whom, and the text if the server can read it.
    pub messages: Vec<(i64, String, Option<String>)>,
    /// Whether an administrator had seen it before.
    pub is_seen: bool,
    /// What an administrator did.
    pub outcome: Option<String>,
}

impl From<KeptReport> for ReportFacts {
    fn from(kept: KeptReport) -> ReportFacts {
        let content = kept.content;
        let messages = content.messages.into_iter();
        ReportFacts {
            id: kept.id,
            reporter: kept.reporter,
            reported: content.reported.to_string(),
            reason: content.reason.word().to_owned(),
            text: content.text,
            report_origin: content.report_origin,
            third_party: content.third_party,
            messages: messages
                .map(|message| (message.stamp.0, message.from, message.text))
                .collect(),
            is_seen: kept.is_seen,
            outcome: kept.outcome,
        }
    }
}

/// Does what is asked in the house itself. `serves` says whether other servers can be asked.
pub(super) async fn perform(
    router: &Arc<Router>,
    serves: bool,
    request: &AbuseRequest,
) -> Result<AbuseAnswer, ControlError> {
    let failed = |fault: Fault| failed("reports and blocks", fault);
    let blocks = || enabled(router.fact::<ServerBlocks>(), "xep0191_server");
    let reports = || enabled(router.fact::<Reports>(), "xep0377_reports");
    let stopping = || ControlError::Failed("the server is stopping".to_owned());
    let mut cx: Cx = router.cx().ok_or_else(stopping)?;
    let answer = match request {
        AbuseRequest::Reports { before, with_closed } => {
            let page = reports()?.page(*before, !with_closed, ABUSE_ROWS_MAX).await;
            let (page, next) = page.map_err(failed)?;
            AbuseAnswer::Reports(page.into_iter().map(ReportFacts::from).collect(), next)
        }
        AbuseRequest::Report { id } => {
            let reports = reports()?;
            let report = reports.find(*id).await.map_err(failed)?;
            let contact = match serves {
                true => told(&reports.contact(&report.content.reported, router).await),
                false => "unknown: no server is running that could ask".to_owned(),
            };
            AbuseAnswer::Report(Box::new(report.into()), contact)
        }
        AbuseRequest::Act { id, action } => {
            let action = ReportAction::parse(action);
            let unknown = || {
                ControlError::BadRequest(
                    "the action must be block-account, block-domain or dismiss".to_owned(),
                )
            };
            let outcome = reports()?.act(*id, action.ok_or_else(unknown)?, &mut cx).await;
            let outcome = outcome.map_err(failed)?;
            tracing::info!(event = "report_closed", id, outcome, by = "operator");
            AbuseAnswer::Acted(outcome)
        }
        AbuseRequest::Block { address } => {
            let is_new = blocks()?.block(address, &mut cx).await.map_err(failed)?;
            tracing::info!(event = "address_blocked", %address, by = "operator");
            AbuseAnswer::Changed(is_new)
        }
        AbuseRequest::Unblock { address } => {
            let was_there = blocks()?.unblock(address, &mut cx).await.map_err(failed)?;
            tracing::info!(event = "address_unblocked", %address, by = "operator");
            AbuseAnswer::Changed(was_there)
        }
        AbuseRequest::Blocks { after } => {
            let after = after.as_deref().unwrap_or("");
            let page = blocks()?.list(after, ABUSE_ROWS_MAX).await.map_err(failed)?;
            AbuseAnswer::Blocks(
                page.into_iter()
                    .map(|(address, since)| (address, since.0))
                    .collect(),
            )
        }
    };
    router.finish(cx).await;
    Ok(answer)
}

fn told(contact: &AbuseContact) -> String {
    match contact {
        AbuseContact::Addresses(addresses) => addresses.join(", "),
        AbuseContact::Unpublished => "none published".to_owned(),
        AbuseContact::Unknown(why) => format!("unknown: {why}"),
        AbuseContact::Ourselves => "an account of this server: kim user delete removes it".to_owned(),
    }
}
