//! XEP-0133 Service Administration 1.3: what an administrator does from any client, as ad-hoc commands of the server. Only the
//! accounts in `[server] admins` see and use them ([`crate::xep0050_commands`] asks again at every step).
//!
//! Commands about one account or several are in [`accounts`], those that only look in [`figures`], the announcement in
//! [`announce`].

use std::sync::Arc;

use kim_core::config::NoSettings;
use kim_core::error::Fault;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};

use crate::rfc6121_im::api::Subscriptions;
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
        let offer = Offer(&commands);
        offer.accounts();
        offer.figures(&house.needed()?);
        offer.add(
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
    fn add(&self, node: &'static str, name: &'static str, command: impl Command) {
        self.0.add(At::Server, node, name, MayUse::Admins, command);
    }

    /// What changes accounts.
    fn accounts(&self) {
        self.add(node!("add-user"), "Add User", accounts::Add);
        self.add(node!("delete-user"), "Delete User", accounts::Delete);
        self.add(
            node!("end-user-session"),
            "End User Session",
            accounts::EndSessions,
        );
        self.add(
            node!("change-user-password"),
            "Change User Password",
            accounts::ChangePassword,
        );
    }

    /// What only looks.
    fn figures(&self, subscriptions: &Arc<Subscriptions>) {
        self.add(
            node!("get-user-roster"),
            "Get User Roster",
            figures::RosterOf(subscriptions.clone()),
        );
        self.add(
            node!("user-stats"),
            "Get User Statistics",
            figures::Statistics(subscriptions.clone()),
        );
        self.add(
            node!("get-registered-users-num"),
            "Get Number of Registered Users",
            figures::Registered,
        );
        self.add(
            node!("get-online-users-num"),
            "Get Number of Online Users",
            figures::Online,
        );
        self.add(
            node!("get-registered-users-list"),
            "Get List of Registered Users",
            figures::ListRegistered,
        );
        self.add(
            node!("get-online-users-list"),
            "Get List of Online Users",
            figures::ListOnline,
        );
    }
}
