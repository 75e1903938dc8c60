//! XEP-0441: what an account wants archived.

use std::sync::Arc;

use kim_core::config::Choice;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Caches, Shared};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::router::{Destination, Router};
use kim_core::wire::{El, Element, Writer};

use super::NS;
use super::archive::Archives;
use super::hooks::ArchiveKeeper;
use crate::rfc6121_im::api::Subscriptions;

/// Addresses in both lists together.
const LISTED_MAX: usize = 500;
/// Accounts whose preferences are remembered.
const REMEMBERED_MAX: usize = 16_384;

/// What happens to messages with somebody who is in neither list (§2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They are archived.
    Always,
    /// They are not.
    Never,
    /// Only contacts that are listed in the roster.
    Roster,
}

impl Choice for Policy {
    const ALL: &'static [Policy] = &[Policy::Always, Policy::Roster, Policy::Never];

    fn as_str(self) -> &'static str {
        match self {
            Policy::Always => "always",
            Policy::Never => "never",
            Policy::Roster => "roster",
        }
    }
}

impl Policy {
    fn parse(text: &str) -> Option<Policy> {
        Policy::ALL.iter().copied().find(|policy| policy.as_str() == text)
    }
}

/// An account's preferences.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefs {
    default: Policy,
    always: Vec<Jid>,
    never: Vec<Jid>,
}

impl Prefs {
    /// Reads a `<prefs/>` element.
    fn parse(prefs: El<'_>) -> Result<Prefs, Fault> {
        let default = prefs.attr("default").and_then(|policy| Policy::parse(&policy));
        let default = default.ok_or(Condition::BadRequest)?;
        let (always, never) = (listed(prefs, "always")?, listed(prefs, "never")?);
        if always.len() + never.len() > LISTED_MAX {
            return Err(StanzaError::new(Condition::ResourceConstraint)
                .text("too many addresses; remove some")
                .into());
        }
        Ok(Prefs {
            default,
            always,
            never,
        })
    }

    fn write(&self) -> String {
        let mut xml = Writer::new();
        xml.start("prefs", NS).attr("default", self.default.as_str());
        for (name, list) in [("always", &self.always), ("never", &self.never)] {
            xml.start(name, NS);
            for jid in list {
                xml.start("jid", NS).text(jid.as_str()).end();
            }
            xml.end();
        }
        xml.finish_string()
    }
}

fn listed(prefs: El<'_>, name: &str) -> Result<Vec<Jid>, Fault> {
    let mut list = Vec::new();
    for jid in prefs
        .children()
        .filter(|child| child.is(name, NS))
        .flat_map(|list| list.children())
    {
        if jid.is("jid", NS) {
            if list.len() > LISTED_MAX {
                break;
            }
            list.push(Jid::parse(jid.text().trim())?);
        }
    }
    Ok(list)
}

/// §2.3.1: a listed bare JID stands for all its resources.
fn is_listed(list: &[Jid], target: &Jid) -> bool {
    list.iter().any(|jid| {
        if jid.is_bare() {
            jid.as_str() == target.bare_str()
        } else {
            jid == target
        }
    })
}

/// The preferences of all accounts.
pub struct Preferences {
    archives: Arc<Archives>,
    subscriptions: Arc<Subscriptions>,
    remembered: Shared<BareJid, Arc<Prefs>>,
    /// Those of accounts that have said nothing.
    unsaid: Arc<Prefs>,
}

impl Preferences {
    /// In these archives, with rosters from there; `default` is for accounts that have set none.
    pub fn new(
        caches: &Caches,
        archives: Arc<Archives>,
        subscriptions: Arc<Subscriptions>,
        default: Policy,
    ) -> Preferences {
        let unsaid = Prefs {
            default,
            always: Vec::new(),
            never: Vec::new(),
        };
        Preferences {
            unsaid: Arc::new(unsaid),
            remembered: Shared::new(caches, "mam.preferences", REMEMBERED_MAX),
            archives,
            subscriptions,
        }
    }

    /// Whether an account wants messages with somebody archived.
    pub async fn wants(&self, router: &Router, account: &BareJid, target: &Jid) -> Result<bool, Fault> {
        let prefs = self.of(account).await?;
        if is_listed(&prefs.never, target) {
            return Ok(false);
        }
        if is_listed(&prefs.always, target) {
            return Ok(true);
        }
        Ok(match prefs.default {
            Policy::Always => true,
            Policy::Never => false,
            Policy::Roster => {
                let item = self.subscriptions.item(router, account, &target.bare()).await?;
                item.is_some_and(|item| item.listed)
            }
        })
    }

    /// Forgets what is in memory of an account.
    pub fn forget(&self, account: &BareJid) {
        self.remembered.invalidate(account);
    }

    async fn of(&self, account: &BareJid) -> Result<Arc<Prefs>, Fault> {
        self.remembered.read(account, || self.load(account)).await
    }

    async fn load(&self, account: &BareJid) -> Result<Arc<Prefs>, Fault> {
        let Some(sealed) = self.archives.store.prefs(account).await? else {
            return Ok(self.unsaid.clone());
        };
        let key = self.archives.key(account).await?;
        let xml = key.open(&[b"archive prefs", account.as_str().as_bytes()], &sealed);
        let prefs = xml
            .ok()
            .and_then(|xml| Element::stored(std::str::from_utf8(&xml).ok()?))
            .and_then(|element| Prefs::parse(element.el()).ok());
        // Rather too little is archived than what somebody did not want to be.
        prefs
            .map(Arc::new)
            .ok_or_else(|| Fault::Us("archive preferences cannot be read".into()))
    }

    async fn set(&self, account: &BareJid, prefs: Prefs) -> Result<(), Fault> {
        let key = self.archives.key(account).await?;
        let aad: [&[u8]; 2] = [b"archive prefs", account.as_str().as_bytes()];
        let sealed = key.seal(&aad, prefs.write().as_bytes());
        let (archives, owner) = (self.archives.clone(), account.clone());
        let work = async move { archives.store.set_prefs(&owner, sealed).await };
        let stored = self.remembered.change(account, work).await;
        Ok(stored.map_err(|error| Fault::Us(Box::new(error)))??)
    }
}

/// Tells and changes them.
pub struct PrefsIq(pub Arc<ArchiveKeeper>);

impl HandleIq for PrefsIq {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        if cx.router().destination(iq.account.domain()) != Destination::Users {
            return Err(Condition::ServiceUnavailable.into());
        }
        let preferences = &self.0.preferences;
        if iq.is_set() {
            preferences.set(iq.account, Prefs::parse(iq.payload)?).await?;
        }
        let prefs = preferences.of(iq.account).await?;
        Ok(Reply::Payload(prefs.write()))
    }
}
