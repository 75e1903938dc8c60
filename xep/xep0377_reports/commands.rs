//! What administrators do with reports from any client: choose one, read it, act.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;

use super::api::{AbuseContact, KeptReport, ReportAction, Reports};
use crate::xep0004_forms::api::{FormKind, Sheet};
use crate::xep0050_commands::api::{
    Command, CommandOutcome, CommandStep, Severity, Step, bad_payload, needed,
};

/// The type of the forms.
const FORM_TYPE: &str = "urn:kim:reports:0";
/// Reports in one form.
const PAGE_ROWS: usize = 25;
/// What is chosen to see the next page, before the id where it begins.
const OLDER: &str = "before-";

/// The reports that nobody has dealt with.
pub(super) struct SeeReports(pub Arc<Reports>);

impl Command for SeeReports {
    async fn step(&self, turn: &CommandStep<'_>, cx: &mut Cx) -> Result<Step, Fault> {
        let Some(last) = turn.forms.last() else {
            return self.list(None).await;
        };
        let chosen = |text: &str| {
            let number = text.trim().parse::<i64>();
            number.map_err(|_| bad_payload("choose one of the reports"))
        };
        if let Some(action) = last.value("action") {
            let action =
                ReportAction::parse(action).ok_or_else(|| bad_payload("choose one of the actions"))?;
            let mut chosen_before = turn.forms.iter().rev().filter_map(|form| form.value("report"));
            let id = chosen(
                chosen_before
                    .next()
                    .ok_or_else(|| bad_payload("report is required"))?,
            )?;
            let outcome = self.0.act(id, action, cx).await?;
            tracing::info!(event = "report_closed", id, outcome, by = %turn.asker.bare());
            return Ok(Step::Done(
                CommandOutcome::default().note(Severity::Info, outcome),
            ));
        }
        let report = needed(last, "report")?;
        match report.strip_prefix(OLDER) {
            Some(before) => self.list(Some(chosen(before)?)).await,
            None => self.show(chosen(report)?, cx).await,
        }
    }
}

impl SeeReports {
    async fn list(&self, before: Option<i64>) -> Result<Step, Fault> {
        let (page, next) = self.0.page(before, true, PAGE_ROWS).await?;
        if page.is_empty() && next.is_none() {
            let nothing = "no reports are open";
            return Ok(Step::Done(
                CommandOutcome::default().note(Severity::Info, nothing),
            ));
        }
        let mut options: Vec<(String, String)> = page
            .iter()
            .map(|report| (report.id.to_string(), line(report)))
            .collect();
        if let Some(next) = next {
            options.push((format!("{OLDER}{next}"), "Older reports".to_owned()));
        }
        let options: Vec<(&str, &str)> = options.iter().map(|(id, line)| (&**id, &**line)).collect();
        let sheet = Sheet::new(FormKind::Form, FORM_TYPE)
            .title("Abuse Reports")
            .instructions("Choose a report to read it.")
            .required()
            .choice("report", "Report", "", &options);
        Ok(Step::Ask {
            form: sheet.xml(),
            last: false,
        })
    }

    async fn show(&self, id: i64, cx: &mut Cx) -> Result<Step, Fault> {
        let report = self.0.find(id).await?;
        let router = cx.router().clone();
        let contact = self.0.contact(&report.content.reported, &router).await;
        let options = ReportAction::ALL.map(|(_, name, label)| (name, label));
        let told = told(&report, &contact);
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        let sheet = Sheet::new(FormKind::Form, FORM_TYPE)
            .title("Abuse Report")
            .field("details", "fixed", "", &told)
            .required()
            .choice("action", "What to do", "", &options);
        Ok(Step::Ask {
            form: sheet.xml(),
            last: true,
        })
    }
}

fn line(report: &KeptReport) -> String {
    let content = &report.content;
    let (when, who, why) = (Timestamp(report.id), &content.reported, content.reason.word());
    format!("{when} {who}: {why}")
}

/// A report in lines.
fn told(report: &KeptReport, contact: &AbuseContact) -> Vec<String> {
    let content = &report.content;
    let mut lines = vec![
        format!("Reported: {}", content.reported),
        format!("Reason: {}", content.reason.word()),
        format!("By: {}", report.reporter),
        format!("At: {}", Timestamp(report.id)),
    ];
    if let Some(text) = &content.text {
        lines.push(format!("In their words: {text}"));
    }
    for message in &content.messages {
        let text = message.text.as_deref();
        let text = text.unwrap_or("(encrypted from end to end, or without text)");
        lines.push(format!(
            "Message of {} at {}: {text}",
            message.from, message.stamp
        ));
    }
    for (name, is_set) in [
        ("the reported server", content.report_origin),
        ("third parties", content.third_party),
    ] {
        if is_set {
            lines.push(format!("The reporter agrees that you tell {name}."));
        }
    }
    lines.push(match contact {
        AbuseContact::Addresses(addresses) => {
            format!("Abuse contact of the server: {}", addresses.join(", "))
        }
        AbuseContact::Unpublished => "Abuse contact of the server: it publishes none".to_owned(),
        AbuseContact::Unknown(why) => format!("Abuse contact of the server: it could not be asked ({why})"),
        AbuseContact::Ourselves => "An account of this server: to remove it, use \"Delete User\"".to_owned(),
    });
    lines
}
