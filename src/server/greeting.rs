//! What `kim serve` says on standard output once clients can connect: where it listens, what it uses, and how the first
//! administrator gets an account.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use kim_core::jid::BareJid;
use kim_core::router::Destination;

use super::Server;
use crate::c2s::Security;
use crate::cli::{flush_log, invitation_shown, shows_colours};
use crate::control::{Control, Direct, InviteWanted};
use crate::http::listener::Speaks;

/// How long the start waits for somebody to read the greeting. The server runs either way.
const READ_MAX: Duration = Duration::from_secs(2);

/// Prints the greeting, as the last thing of a start.
pub(crate) async fn show(server: &Server) {
    let mut text = facts(server);
    text.push_str(&way_to_an_administrator(server).await);
    let (sender, written) = tokio::sync::oneshot::channel();
    // In a thread of its own: a full pipe that nobody reads would block it for ever.
    let printing = std::thread::Builder::new().spawn(move || {
        flush_log();
        let mut out = std::io::stdout();
        // The reader may be gone; the server is there all the same.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        let _ = sender.send(());
    });
    if printing.is_ok() {
        let _ = tokio::time::timeout(READ_MAX, written).await;
    }
}

/// What there is and where.
fn facts(server: &Server) -> String {
    let config = server.house().router.config();
    let domains: Vec<_> = config.server.domains.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "kIM {} serves {}\n",
        env!("CARGO_PKG_VERSION"),
        domains.join(", ")
    );
    let mut line = |name: &str, value: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    for (security, address) in server.addresses() {
        let how = match security {
            Security::StartTls => "STARTTLS",
            Security::DirectTls => "TLS",
        };
        line("clients", format_args!("{address} ({how})"));
    }
    for (speaks, address) in server.web_addresses() {
        let how = match speaks {
            Speaks::Http => "HTTP",
            Speaks::Https => "HTTPS",
            Speaks::Both => "HTTPS and TLS",
            Speaks::Monitoring => "HTTP, monitoring",
        };
        line("web", format_args!("{address} ({how})"));
    }
    for (security, address) in server.s2s_addresses() {
        let how = match security {
            Security::StartTls => "STARTTLS",
            Security::DirectTls => "TLS",
        };
        line("servers", format_args!("{address} ({how})"));
    }
    for address in server.component_addresses() {
        line("components", format_args!("{address}"));
    }
    for pair in server.certificates().current().pairs() {
        let made = if pair.is_self_signed { " (self-signed)" } else { "" };
        line("certificate", format_args!("{}{made}", pair.path.display()));
        line("", format_args!("SHA-256 {}", pair.fingerprint));
    }
    line("data", format_args!("{}", config.server.data_dir.display()));
    line("database", format_args!("{}", server.house().db.describe()));
    text
}

/// How an administrator gets an account, as long as none has one: with a link, which is made at every start, or on the command
/// line.
async fn way_to_an_administrator(server: &Server) -> String {
    let router = &server.house().router;
    let (config, accounts) = (router.config(), router.accounts());
    let is_ours = |admin: &&BareJid| router.destination(admin.domain()) == Destination::Users;
    let admins: Vec<&BareJid> = config.server.admins.iter().filter(is_ours).collect();
    for admin in &admins {
        // If the database cannot tell, no link is shown: it gives the right to administer.
        if accounts.exists(admin).await.unwrap_or(true) {
            return String::new();
        }
    }
    let Some(admin) = admins.first() else {
        let example = format!("NAME@{}", config.main_domain());
        return match accounts.list(None, 1).await {
            Ok(first) if first.is_empty() => {
                format!("\nThere is no account yet. Create one with: kim user add {example}\n")
            }
            _ => format!(
                "\nThere is no administrator. Name one in kim.toml: [server] admins = [\"{example}\"]\n"
            ),
        };
    };
    let is_held_back = accounts
        .removed_at(admin)
        .await
        .is_ok_and(|removed| removed.is_some());
    let command = match is_held_back {
        true => format!("kim user add {admin} --reuse-name"),
        false => format!("kim user add {admin}"),
    };
    let wanted = InviteWanted {
        account: Some((*admin).clone()),
        room: None,
        create_room: false,
        owner: None,
        // The reader runs the server and has named this address as the administrator's.
        reuse_name: true,
        uses: 1,
        seconds: None,
    };
    let invite = match config.registration.invites {
        true => Direct::serving(router.clone()).invite(&wanted).await.ok(),
        false => None,
    };
    match invite {
        Some(invite) => format!(
            "\nThere is no administrator yet. This link creates the account {admin}:\n\n{}\nOr with: {command}\n",
            invitation_shown(&invite, shows_colours())
        ),
        None => format!("\nThere is no administrator yet. Create the account with: {command}\n"),
    }
}
