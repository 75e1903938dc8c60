//! `kim invite`: a link with which somebody makes an account, and the same as a QR code for a phone.

use std::sync::Arc;

use clap::Args;
use kim_core::cluster::Solo;
use kim_core::config::Config;
use kim_core::jid::BareJid;

use super::terminal::Terminal;
use super::{App, parse_account, qr, serve};
use crate::control::{Control, Direct, Invite, InviteWanted, Remote};
use crate::failure::Failure;
use crate::house::House;

/// The service that rooms live on, for those who write a room's name alone.
const ROOMS: &str = "conference";

/// Whom and for how long.
#[derive(Debug, Args)]
pub(super) struct InviteArguments {
    /// A room that the link leads to: its address, or its name
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// For how long the link is good: 30m, 12h, 7d
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires: Option<u64>,
    /// How many people may use it
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    uses: u32,
    /// The address of the only account that it makes; nobody else gets this name meanwhile
    #[arg(long, value_name = "JID", value_parser = parse_account, conflicts_with = "uses")]
    account: Option<BareJid>,
}

/// A time in seconds.
fn parse_time(text: &str) -> Result<u64, String> {
    let wrong = || "a time is a number with m, h or d behind it, such as 7d".to_owned();
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

/// Runs it.
pub(super) async fn run(
    app: &App,
    config: Config,
    arguments: InviteArguments,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let room = arguments.room.as_deref().map(|room| parse_room(room, &config));
    let wanted = InviteWanted {
        account: arguments.account,
        room: room.transpose()?,
        uses: arguments.uses,
        seconds: arguments.expires,
    };
    let remote = Remote::find(&config.control_socket()).await;
    let result = match remote.map_err(|error| Failure::Other(error.to_string()))? {
        Some(remote) => remote.invite(&wanted).await,
        None => {
            serve::prepare_data_dir(&config.server.data_dir)?;
            let house = House::open(Arc::new(config), app.modules, Box::new(Solo)).await?;
            let result = Direct::without_doors(house.router.clone()).invite(&wanted).await;
            house.db.close().await;
            result
        }
    };
    let invite = result.map_err(|error| match &wanted.account {
        Some(account) => Failure::account(account, error),
        None => Failure::Other(error.to_string()),
    })?;
    terminal.say(shown(&invite));
    Ok(())
}

fn parse_room(text: &str, config: &Config) -> Result<BareJid, Failure> {
    let whole = match text.contains('@') {
        true => text.to_owned(),
        false => format!("{text}@{ROOMS}.{}", config.main_domain()),
    };
    match BareJid::parse(&whole) {
        Ok(room) if room.local().is_some() => Ok(room),
        _ => Err(Failure::Other(format!("{text} is not the address of a room"))),
    }
}

/// An invitation as an operator passes it on: its links, how long they are good, and the code of the best one.
pub fn shown(invite: &Invite) -> String {
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
    line("good", &format!("until {}, for {whom}", invite.expires));
    if let Some(code) = qr::code(invite.landing.as_ref().unwrap_or(&invite.uri)) {
        text.push_str(&format!("\n{code}\n"));
    }
    text
}
