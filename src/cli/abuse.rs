//! `kim report …` and `kim block …`: asks the running server; opens the house itself, without doors, when none is running.

use clap::Subcommand;
use kim_core::jid::BareJid;

use super::reach::{Begins, Site, odd_answer};
use super::terminal::Terminal;
use super::utc::utc;
use crate::control::{AbuseAnswer, AbuseRequest, Control, ControlError, ReportFacts};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum ReportCommand {
    /// List the reports that nobody has dealt with, newest first
    List {
        /// Also list those that are closed
        #[arg(long)]
        all: bool,
    },
    /// Show a report, with the messages and the abuse contact of the other server
    Show {
        /// The number from `kim report list`
        #[arg(value_name = "ID")]
        id: i64,
    },
    /// Act on a report and close it
    Act {
        /// The number from `kim report list`
        #[arg(value_name = "ID")]
        id: i64,
        /// block-account, block-domain or dismiss
        #[arg(value_name = "ACTION", value_parser = ["block-account", "block-domain", "dismiss"])]
        action: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum BlockCommand {
    /// Block an account or a domain: nobody on this server hears from it, and nothing is sent to it
    Add {
        /// An account such as name@example.org, or a domain
        #[arg(value_name = "ADDRESS", value_parser = parse_address)]
        address: BareJid,
    },
    /// Unblock an account or a domain
    Remove {
        /// An account such as name@example.org, or a domain
        #[arg(value_name = "ADDRESS", value_parser = parse_address)]
        address: BareJid,
    },
    /// List what is blocked, one address per line
    List,
}

fn parse_address(text: &str) -> Result<BareJid, String> {
    BareJid::parse(text)
        .map_err(|_| "must be the address of an account, such as name@example.org, or a domain".to_owned())
}

/// Runs `kim report`.
pub(super) async fn report(
    site: Site<'_>,
    command: ReportCommand,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    run(site, Asked::Report(command), terminal).await
}

/// Runs `kim block`.
pub(super) async fn block(
    site: Site<'_>,
    command: BlockCommand,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    run(site, Asked::Block(command), terminal).await
}

enum Asked {
    Report(ReportCommand),
    Block(BlockCommand),
}

async fn run(site: Site<'_>, asked: Asked, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let reached = site.reach(Begins::Never, terminal).await?;
    let result = perform(reached.control(), asked, terminal).await;
    reached.close().await;
    result
}

async fn perform(control: &dyn Control, asked: Asked, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let failed = |error: ControlError| Failure::Other(error.to_string());
    let (request, said) = match asked {
        Asked::Report(ReportCommand::List { all }) => return reports(control, all, terminal).await,
        Asked::Block(BlockCommand::List) => return blocks(control, terminal).await,
        Asked::Report(ReportCommand::Show { id }) => (AbuseRequest::Report { id }, None),
        Asked::Report(ReportCommand::Act { id, action }) => (AbuseRequest::Act { id, action }, None),
        Asked::Block(BlockCommand::Add { address }) => {
            let said = [
                format!("{address} is blocked"),
                format!("{address} was blocked already"),
            ];
            (AbuseRequest::Block { address }, Some(said))
        }
        Asked::Block(BlockCommand::Remove { address }) => {
            let said = [
                format!("{address} is no longer blocked"),
                format!("{address} was not blocked"),
            ];
            (AbuseRequest::Unblock { address }, Some(said))
        }
    };
    match (control.abuse(&request).await.map_err(failed)?, said) {
        (AbuseAnswer::Report(report, contact), _) => terminal.say(shown(&report, &contact)),
        (AbuseAnswer::Acted(outcome), _) => drop(terminal.say_line(outcome)),
        (AbuseAnswer::Changed(true), Some([changed, _])) => drop(terminal.say_line(changed)),
        (AbuseAnswer::Changed(false), Some([_, unchanged])) => drop(terminal.say_line(unchanged)),
        _ => return Err(odd_answer()),
    }
    Ok(())
}

/// All reports, a page at a time.
async fn reports(
    control: &dyn Control,
    with_closed: bool,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let mut before = None;
    loop {
        let answer = control
            .abuse(&AbuseRequest::Reports { before, with_closed })
            .await;
        let answer = answer.map_err(|error| Failure::Other(error.to_string()))?;
        let AbuseAnswer::Reports(page, next) = answer else {
            return Err(odd_answer());
        };
        if page.is_empty() && before.is_none() {
            terminal.complain(match with_closed {
                true => "There are no reports.\n",
                false => "There are no open reports; --all lists the closed ones too.\n",
            });
        }
        for report in &page {
            if !terminal.say_line(line(report)) {
                return Ok(()); // the reader of a pipe has seen enough
            }
        }
        match next {
            Some(next) => before = Some(next),
            None => return Ok(()),
        }
    }
}

/// All blocks, a page at a time.
async fn blocks(control: &dyn Control, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let mut after: Option<String> = None;
    let mut is_first = true;
    loop {
        let answer = control.abuse(&AbuseRequest::Blocks { after }).await;
        let answer = answer.map_err(|error| Failure::Other(error.to_string()))?;
        let AbuseAnswer::Blocks(page) = answer else {
            return Err(odd_answer());
        };
        if page.is_empty() && is_first {
            terminal.complain("Nothing is blocked.\n");
        }
        is_first = false;
        for (address, _) in &page {
            if !terminal.say_line(address) {
                return Ok(());
            }
        }
        match page.into_iter().next_back() {
            Some((last, _)) => after = Some(last),
            None => return Ok(()),
        }
    }
}

fn line(report: &ReportFacts) -> String {
    let state = match (&report.outcome, report.is_seen) {
        (Some(outcome), _) => outcome.as_str(),
        (None, true) => "open",
        (None, false) => "new",
    };
    let (id, when) = (report.id, utc(report.id));
    format!(
        "{id}  {when}  {}  {}  by {}  {state}",
        report.reported, report.reason, report.reporter
    )
}

fn shown(report: &ReportFacts, contact: &str) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: &str| {
        for (place, line) in value.lines().enumerate() {
            let name = if place == 0 { name } else { "" };
            text.push_str(&format!("{name:9}{line}\n"));
        }
    };
    say("reported", &report.reported);
    say("reason", &report.reason);
    say("by", report.reporter.as_str());
    say("at", &utc(report.id));
    say("words", report.text.as_deref().unwrap_or("-"));
    for (stamp, from, text) in &report.messages {
        let text = text
            .as_deref()
            .unwrap_or("(encrypted from end to end, or without text)");
        say("message", &format!("{from} at {}: {text}", utc(*stamp)));
    }
    let consent = match (report.report_origin, report.third_party) {
        (true, true) => "the reported server and third parties may be told",
        (true, false) => "the reported server may be told",
        (false, true) => "third parties may be told",
        (false, false) => "nobody else may be told",
    };
    say("consent", consent);
    say("contact", contact);
    say("outcome", report.outcome.as_deref().unwrap_or("open"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_shown_with_its_messages_and_the_contact() {
        let report = ReportFacts {
            id: 0,
            reporter: BareJid::parse("alice@localhost").unwrap(),
            reported: "spammer@evil.example".to_owned(),
            reason: "spam".to_owned(),
            text: Some("every day\nsince May".to_owned()),
            report_origin: true,
            third_party: false,
            messages: vec![(0, "spammer@evil.example/x".to_owned(), Some("buy".to_owned()))],
            is_seen: false,
            outcome: None,
        };
        assert_eq!(
            shown(&report, "mailto:abuse@evil.example"),
            "reported spammer@evil.example\nreason   spam\nby       alice@localhost\nat       1970-01-01T00:00:00Z\n\
             words    every day\n         since May\nmessage  spammer@evil.example/x at 1970-01-01T00:00:00Z: buy\n\
             consent  the reported server may be told\ncontact  mailto:abuse@evil.example\noutcome  open\n"
        );
        assert_eq!(
            line(&report),
            "0  1970-01-01T00:00:00Z  spammer@evil.example  spam  by alice@localhost  new"
        );
    }
}
