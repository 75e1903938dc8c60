//! `kim invite`: makes links with which people create accounts, with a QR code for a phone; lists and revokes them.

use clap::{Args, Subcommand};
use kim_core::config::Config;
use kim_core::jid::BareJid;

use super::qr;
use super::reach::{Begins, Site};
use super::terminal::Terminal;
use super::typed::TypedAccount;
use super::utc::utc;
use crate::control::{Control, ControlError, Invite, InviteRow, InviteWanted};
use crate::failure::Failure;

/// The service of the rooms, for those who type only a room's name.
const ROOMS: &str = "conference";

/// Whom and for how long.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct InviteArguments {
    #[command(subcommand)]
    command: Option<InviteCommand>,
    /// The room that the link leads to: its address or its name. It must exist
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// Create the room if it does not exist
    #[arg(long, requires = "room")]
    create_room: bool,
    /// The owner of a room that is created [default: the first administrator with an account]
    #[arg(long, value_name = "ACCOUNT", requires = "create_room", value_parser = TypedAccount::parse)]
    owner: Option<TypedAccount>,
    /// How long the link is valid, such as 30m, 12h or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires: Option<u64>,
    /// How many people may use the link
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    uses: u32,
    /// The account that the link creates: its name or address. The name is reserved until the link expires
    #[arg(long, visible_alias = "for", value_name = "ACCOUNT", value_parser = TypedAccount::parse, conflicts_with = "uses")]
    account: Option<TypedAccount>,
    /// Allow the name of an account that was removed
    #[arg(long, requires = "account")]
    reuse_name: bool,
}

#[derive(Debug, Subcommand)]
enum InviteCommand {
    /// List all links that can still be used
    List,
    /// Revoke a link, so that nobody can use it any more
    Revoke {
        /// The id from `kim invite list`, or the link itself
        #[arg(value_name = "ID")]
        which: String,
    },
}

/// A time in seconds.
fn parse_time(text: &str) -> Result<u64, String> {
    let wrong = || "must be a number followed by m, h or d, such as 7d".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).ok_or_else(wrong)
}

/// Runs it: asks the running server, or works on the database itself when none runs.
pub(super) async fn run(
    site: Site<'_>,
    arguments: InviteArguments,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let (wanted, begins) = match &arguments.command {
        None => (Some(wanted(&arguments, &site.config)?), Begins::IfNamed),
        Some(_) => (None, Begins::Never),
    };
    let reached = site.reach(begins, terminal).await?;
    let result = perform(reached.control(), arguments.command, wanted, terminal).await;
    reached.close().await;
    result
}

fn wanted(arguments: &InviteArguments, config: &Config) -> Result<InviteWanted, Failure> {
    let room = arguments.room.as_deref().map(|room| parse_room(room, config));
    let whole =
        |account: &Option<TypedAccount>| account.clone().map(|account| account.at(config)).transpose();
    Ok(InviteWanted {
        account: whole(&arguments.account)?,
        room: room.transpose()?,
        create_room: arguments.create_room,
        owner: whole(&arguments.owner)?,
        reuse_name: arguments.reuse_name,
        uses: arguments.uses,
        seconds: arguments.expires,
    })
}

async fn perform(
    control: &dyn Control,
    command: Option<InviteCommand>,
    wanted: Option<InviteWanted>,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let other = |error: ControlError| Failure::Other(error.to_string());
    match (command, wanted) {
        (None, Some(wanted)) => {
            let invite = control.invite(&wanted).await;
            let invite = invite.map_err(|error| match &wanted.account {
                Some(account) => Failure::account(account, error),
                None => other(error),
            })?;
            let text = shown(&invite, terminal.colours);
            terminal.say(text);
        }
        (Some(InviteCommand::Revoke { which }), _) => {
            control.invite_revoke(&which).await.map_err(other)?;
            terminal.say_line("The link is revoked.");
        }
        (Some(InviteCommand::List), _) | (None, None) => list(control, terminal).await.map_err(other)?,
    }
    Ok(())
}

/// All links that can still be used, a page at a time.
async fn list(control: &dyn Control, terminal: &mut Terminal<'_>) -> Result<(), ControlError> {
    let mut after: Option<InviteRow> = None;
    loop {
        let page = control.invite_list(after.as_ref()).await?;
        if page.is_empty() && after.is_none() {
            terminal.complain("No link can be used at present. Make one with: kim invite\n");
        }
        for row in &page {
            if !terminal.say_line(line(row)) {
                return Ok(()); // the reader of a pipe has seen enough
            }
        }
        match page.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

/// One link of the list: `ID  until TIME  1 use  by …`.
fn line(row: &InviteRow) -> String {
    let uses = match row.uses {
        1 => "1 use".to_owned(),
        uses => format!("{uses} uses"),
    };
    let by = row.inviter.as_ref().map_or("the operator", |by| by.as_str());
    let mut line = format!("{}  until {}  {uses}  by {by}", row.id, utc(row.expires_at));
    for (what, jid) in [("for", &row.account), ("room", &row.room)] {
        if let Some(jid) = jid {
            line.push_str(&format!("  {what} {jid}"));
        }
    }
    line
}

fn parse_room(text: &str, config: &Config) -> Result<BareJid, Failure> {
    let whole = match text.contains('@') {
        true => text.to_owned(),
        false => format!("{text}@{ROOMS}.{}", config.main_domain()),
    };
    match BareJid::parse(&whole) {
        Ok(room) if room.local().is_some() => Ok(room),
        _ => Err(Failure::Other(format!(
            "{text} is not the address of a room; it must look like lobby@{ROOMS}.{}",
            config.main_domain()
        ))),
    }
}

/// An invitation as an operator passes it on: its links, how long they are valid, and the QR code of the best one.
pub fn shown(invite: &Invite, colours: bool) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<9}{value}\n"));
    if let Some(landing) = &invite.landing {
        line("link", landing);
    }
    line("client", &invite.uri);
    if let Some(room) = &invite.room {
        line("room", room);
    }
    let whom = match invite.uses {
        1 => "one person".to_owned(),
        uses => format!("{uses} people"),
    };
    line("valid", &format!("until {}, for {whom}", invite.expires));
    if !invite.id.is_empty() {
        line(
            "id",
            &format!("{0} (to revoke the link: kim invite revoke {0})", invite.id),
        );
    }
    if let Some(code) = qr::code(invite.landing.as_ref().unwrap_or(&invite.uri), colours) {
        text.push_str(&format!("\n{code}\n"));
    }
    text
}
