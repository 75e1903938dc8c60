//! XEP-0133 Service Administration 1.3: what an administrator does from any client, as ad-hoc commands of the server. Only the
//! accounts in `[server] admins` see and use them ([`crate::xep0050_commands`] asks again at every step).
//!
//! Commands about one account or several are in [`accounts`], those that only look in [`figures`], the announcement in
//! [`announce`].

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};

use crate::xep0050_commands::api::{Command, Commands, MayUse};

mod accounts;
mod announce;
mod figures;
mod forms;
#[cfg(test)]
mod tests;

/// The node of a command (§4).
macro_rules! node {
    ($name:literal) => {
        concat!("http://jabber.org/protocol/admin#", $name)
    };
}

/// The module.
pub struct Administration;

impl Module for Administration {
    type Config = NoSettings;
    const NAME: &'static str = "xep0133_admin";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0133",
        title: "Service Administration",
        version: "1.3",
        coverage: Coverage::Partial(
            "no disabling, no lists of the blocked, no message of the day, no restart",
        ),
    }];
    const NEEDS: &'static [&'static str] = &["rfc6121_im", "xep0004_forms", "xep0050_commands"];

    fn register(_: NoSettings, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let commands: Arc<Commands> = house.needed()?;
        Offer(&commands)
            .add(node!("add-user"), "Add User", accounts::Add)
            .add(node!("delete-user"), "Delete User", accounts::Delete)
            .add(
                node!("end-user-session"),
                "End User Session",
                accounts::EndSessions,
            )
            .add(
                node!("change-user-password"),
                "Change User Password",
                accounts::ChangePassword,
            )
            .add(
                node!("get-user-roster"),
                "Get User Roster",
                figures::RosterOf(house.needed()?),
            )
            .add(
                node!("user-stats"),
                "Get User Statistics",
                figures::Statistics(house.needed()?),
            )
            .add(
                node!("get-registered-users-num"),
                "Get Number of Registered Users",
                figures::Registered,
            )
            .add(
                node!("get-online-users-num"),
                "Get Number of Online Users",
                figures::Online,
            )
            .add(
                node!("get-registered-users-list"),
                "Get List of Registered Users",
                figures::ListRegistered,
            )
            .add(
                node!("get-online-users-list"),
                "Get List of Online Users",
                figures::ListOnline,
            )
            .add(
                node!("announce"),
                "Send Announcement to Online Users",
                announce::Announce,
            );
        Ok(())
    }
}

/// All commands stand at the server and are for administrators.
struct Offer<'a>(&'a Commands);

impl Offer<'_> {
    fn add(self, node: &'static str, name: &'static str, command: impl Command) -> Self {
        self.0.add(At::Server, node, name, MayUse::Admins, command);
        self
    }
}
