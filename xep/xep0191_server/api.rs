//! What others ask of server-wide blocks: the command line, the administrators' commands, the streams to other servers.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError, StreamCondition, StreamError};
use kim_core::jid::BareJid;
use kim_core::router::{Destination, Router};
use tokio::sync::watch;

use super::feed::Feeds;
use super::publish::Publisher;
use super::rules::{BlockRules, OWN_MAX};

/// Whom nobody on this server hears from.
pub struct ServerBlocks {
    rules: Arc<BlockRules>,
    feeds: Arc<Feeds>,
    publisher: Option<Publisher>,
    admins: Vec<BareJid>,
}

/// A figure about blocks, for `/metrics`.
pub struct BlockFigure {
    /// The list: `server` for the administrators' own, otherwise its URI.
    pub list: String,
    /// How many addresses it has.
    pub addresses: usize,
    /// How many stanzas it has refused, by kind.
    pub refused: [(&'static str, u64); 3],
}

fn refused(condition: Condition, text: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    StanzaError::new(condition).text(text).into()
}

impl ServerBlocks {
    pub(super) fn new(
        rules: Arc<BlockRules>,
        feeds: Arc<Feeds>,
        publisher: Option<Publisher>,
        admins: Vec<BareJid>,
    ) -> ServerBlocks {
        ServerBlocks {
            rules,
            feeds,
            publisher,
            admins,
        }
    }

    /// Reads the lists, so that they are in force before anybody connects.
    pub async fn load(&self) -> Result<(), Fault> {
        Ok(self.rules.load().await?)
    }

    /// Whether another domain may talk to this server, as far as blocks say.
    pub fn permits(&self, domain: &str) -> bool {
        self.rules.domain(domain).is_none()
    }

    /// Tells each time that somebody is blocked who was not.
    pub fn grown(&self) -> watch::Receiver<()> {
        self.rules.grown.subscribe()
    }

    /// Reads the address of an account or a domain that is to be blocked.
    pub fn parse(text: &str) -> Result<BareJid, Fault> {
        BareJid::parse(text.trim()).map_err(|_| {
            let text = "enter the address of an account, such as name@example.org, or a domain";
            refused(Condition::BadRequest, text)
        })
    }

    /// Whether exactly this address is blocked.
    pub async fn is_blocked(&self, address: &BareJid) -> Result<bool, Fault> {
        self.rules.load().await?;
        Ok(self.rules.names(address))
    }

    /// Blocks an account or a domain; returns once that is committed. `false` if it was blocked already. An account of this
    /// server loses its sessions.
    pub async fn block(&self, address: &BareJid, cx: &mut Cx) -> Result<bool, Fault> {
        let router = cx.router().clone();
        let text = match (router.destination(address.domain()), address.local()) {
            (Destination::Remote, _) | (Destination::Users | Destination::Component, Some(_)) => None,
            (Destination::Service(_) | Destination::Guests, Some(_)) => Some(format!(
                "{address} is at a service of this server; only accounts can be blocked here"
            )),
            (_, None) => Some(format!(
                "{address} is a domain of this server and cannot be blocked"
            )),
        };
        if let Some(text) = text {
            return Err(refused(Condition::NotAllowed, text));
        }
        if self.admins.contains(address) {
            return Err(refused(
                Condition::NotAllowed,
                format!("{address} is an administrator; remove it from [server] admins first"),
            ));
        }
        self.rules.load().await?;
        if self.rules.own_len() >= OWN_MAX && !self.rules.names(address) {
            let text = format!("{OWN_MAX} addresses are blocked already; unblock some");
            return Err(refused(Condition::ResourceConstraint, text));
        }
        let is_new = self.rules.add_own(address).await?;
        for session in router.sessions().of(address) {
            let error = StreamError::new(StreamCondition::PolicyViolation);
            session.close(error.text("the administrators of this server have blocked this account"));
        }
        if let Some(publisher) = &self.publisher {
            let published = publisher.blocked(address, cx).await;
            tell_failed(published);
        }
        Ok(is_new)
    }

    /// Unblocks; `false` if it was not blocked.
    pub async fn unblock(&self, address: &BareJid, cx: &mut Cx) -> Result<bool, Fault> {
        let was_there = self.rules.remove_own(address).await?;
        if let Some(publisher) = &self.publisher {
            tell_failed(publisher.unblocked(address, cx).await);
        }
        Ok(was_there)
    }

    /// A page of the administrators' blocks behind an address, in order, with their times.
    pub async fn list(&self, after: &str, rows_max: usize) -> Result<Vec<(String, Timestamp)>, Fault> {
        Ok(self.rules.store.own(after, rows_max).await?)
    }

    /// How many the administrators have blocked.
    pub fn len(&self) -> usize {
        self.rules.own_len()
    }

    /// Whether they have blocked nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fetches all block lists of others now. `false` if one could not be fetched; what is known of it stays in force.
    pub async fn refresh(&self, router: &Router) -> bool {
        self.feeds.refresh(router).await
    }

    /// Publishes what is blocked, where that is wanted, and keeps the lists of others up to date for as long as the server runs.
    pub async fn keep(&self, router: &Router) {
        self.settle(router).await;
        self.feeds.keep(router).await;
    }

    /// Makes the published nodes say what is blocked.
    pub async fn settle(&self, router: &Router) {
        if let (Some(publisher), Some(mut cx)) = (&self.publisher, router.cx()) {
            tell_failed(publisher.settle(&self.rules, &mut cx).await);
            router.finish(cx).await;
        }
    }

    /// What is counted.
    pub fn figures(&self) -> Vec<BlockFigure> {
        let own = BlockFigure {
            list: "server".to_owned(),
            addresses: self.rules.own_len(),
            refused: self.rules.own_refused.figures(),
        };
        let lists = self.rules.lists.iter().map(|list| BlockFigure {
            list: list.uri.to_string(),
            addresses: list.len(),
            refused: list.refused.figures(),
        });
        std::iter::once(own).chain(lists).collect()
    }
}

/// What is blocked is in force, whatever becomes of the nodes.
fn tell_failed(published: Result<(), Fault>) {
    if let Err(error) = published {
        tracing::error!(event = "blocks_not_published", %error);
    }
}
