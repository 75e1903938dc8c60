//! The router: what the house is made of, put together once and held by everyone. What it does is in these files:
//! [`way`] takes a stanza from departure to arrival, [`outside`] lets stanzas in and out that no session of this server
//! sends or gets, [`delivery`] brings them to their recipients once what must be stored is stored, [`sessions`] lets
//! sessions come and go, [`asks`] waits for answers to what the server itself asks. `docs/architecture.md` walks one message
//! through them.

mod asks;
mod delivery;
mod departed;
mod outside;
mod sessions;
mod way;

#[cfg(test)]
mod tests;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::component::Components;
use crate::config::{Config, Limits, LimitsInForce};
use crate::cx::{Cx, Origin};
use crate::db::Db;
use crate::error::Fault;
use crate::hook::{Chain, Event, Flow, Notice};
use crate::jid::BareJid;
use crate::module::{At, Entry, Identity, Offer, Registrar, Roll, Startup, Tables};
use crate::remote::{OutboundQueue, Remotes};
use crate::seal::Seals;
use crate::session::{Resource, Resources, Session, Sessions};

pub use asks::NoAnswer;
pub use delivery::{Missed, Redelivered};
pub use departed::Departed;
pub use outside::LetOut;
pub use sessions::NotStarted;
pub use way::SENDS_MAX;

/// Where a stanza to a domain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To an account of this server, or to the server itself.
    Users,
    /// To an anonymous guest of this server (XEP-0175).
    Guests,
    /// To the service with this name, which a module of this server provides.
    Service(&'static str),
    /// Out, to a program that is connected as a component (XEP-0114). It belongs to this server, but nothing that it says is
    /// the server's own word.
    Component,
    /// Out, to another server.
    Remote,
}

impl Destination {
    /// Whether this server itself answers there.
    pub fn is_served(self) -> bool {
        match self {
            Destination::Users | Destination::Guests | Destination::Service(_) => true,
            Destination::Component | Destination::Remote => false,
        }
    }
}

/// The house at work. One for each process; everyone holds it in an `Arc`.
pub struct Router {
    me: Weak<Router>,
    tables: Tables,
    destinations: HashMap<String, Destination>,
    components: Components,
    remotes: OnceLock<Arc<dyn Remotes>>,
    outbound: OutboundQueue,
    asks: asks::Asks,
    sessions: Sessions,
    accounts: Accounts,
    db: Db,
    seals: Seals,
    cluster: Box<dyn Cluster>,
    clock: Clock,
    config: Arc<Config>,
    limits: LimitsInForce,
    departed: departed::Counters,
    stopping: AtomicBool,
}

/// What a router is made of.
pub struct Parts {
    /// The configuration as loaded.
    pub config: Arc<Config>,
    /// An open, migrated database.
    pub db: Db,
    /// The accounts in it.
    pub accounts: Accounts,
    /// What seals what they write.
    pub seals: Seals,
    /// Where stamps come from.
    pub clock: Clock,
    /// The other nodes.
    pub cluster: Box<dyn Cluster>,
}

impl Router {
    /// Puts the house together.
    pub fn new(parts: Parts, modules: &[Entry]) -> Result<Arc<Router>, Startup> {
        let mut tables = Tables::default();
        let limits = LimitsInForce::new(&parts.config.limits);
        let house = Registrar {
            db: &parts.db,
            seals: &parts.seals,
            clock: &parts.clock,
            config: &parts.config,
            limits: &limits,
            tables: &mut tables,
        };
        house.register_all(modules)?;
        tables.erasers.push(crate::remote::erase);
        tables.erasers.push(crate::seal::erase);
        let accounts = parts.accounts.clone();
        let tokens = move || {
            let accounts = accounts.clone();
            Box::pin(async move { accounts.tidy_tokens().await }) as _
        };
        tables.tidiers.push(("accounts", Box::new(tokens)));
        let mut destinations = HashMap::new();
        for domain in &parts.config.server.domains {
            destinations.insert(domain.to_string(), Destination::Users);
            if parts.config.registration.guests {
                destinations.insert(format!("guest.{domain}"), Destination::Guests);
            }
            for name in &tables.services {
                destinations.insert(format!("{name}.{domain}"), Destination::Service(name));
            }
        }
        let components = Components::of(&parts.config);
        for component in components.iter() {
            let domain = component.domain().to_owned();
            if destinations.insert(domain, Destination::Component).is_some() {
                return Err(Startup::Component(component.domain().to_owned()));
            }
        }
        Ok(Arc::new_cyclic(|me| Router {
            me: me.clone(),
            tables,
            destinations,
            components,
            remotes: OnceLock::new(),
            outbound: OutboundQueue::new(me.clone(), &parts.db, &parts.seals, &limits),
            asks: asks::Asks::default(),
            sessions: Sessions::default(),
            accounts: parts.accounts,
            db: parts.db,
            seals: parts.seals,
            cluster: parts.cluster,
            clock: parts.clock,
            config: parts.config,
            limits,
            departed: departed::Counters::default(),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Notes that the server stops: from now on sessions end because of that, and their clients come back.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the server stops.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Deletes what is over, of everybody. To be called now and then; one module that fails keeps no other from it.
    pub async fn tidy(&self) {
        for (module, tidy) in &self.tables.tidiers {
            match tidy().await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(event = "tidied", module, rows),
                Err(error) => tracing::error!(event = "not_tidied", module, %error),
            }
        }
    }

    /// The sessions of this node.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The database, for maintenance. Modules use their own stores.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// What seals what people write.
    pub fn seals(&self) -> &Seals {
        &self.seals
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What local clients have sent since the start.
    pub fn departed(&self) -> Departed {
        self.departed.read()
    }

    /// The limits that hold now.
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.now()
    }

    /// The same, to be asked again at each use.
    pub fn limits_in_force(&self) -> &LimitsInForce {
        &self.limits
    }

    /// From now on these hold, for what begins; says whether they are others than before.
    pub fn replace_limits(&self, limits: &Limits) -> bool {
        self.limits.replace(limits)
    }

    /// Connects this server to others, once. Without, their domains are not found.
    pub fn connect_remotes(&self, remotes: Arc<dyn Remotes>) {
        if self.remotes.set(remotes).is_err() {
            tracing::error!(event = "remotes_twice", "other servers are connected already");
        }
    }

    /// Where a stanza to a domain goes.
    pub fn destination(&self, domain: &str) -> Destination {
        self.destinations
            .get(domain)
            .copied()
            .unwrap_or(Destination::Remote)
    }

    /// The external components.
    pub fn components(&self) -> &Components {
        &self.components
    }

    /// The names of the services, each a subdomain of every domain where accounts live.
    pub fn services(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.tables.services.iter().copied()
    }

    /// The domain that a domain served here belongs to: `localhost` for `conference.localhost` and for itself.
    pub fn parent<'a>(&self, domain: &'a str) -> Option<&'a str> {
        match self.destination(domain) {
            Destination::Users => Some(domain),
            Destination::Guests => domain.strip_prefix("guest."),
            Destination::Service(name) => domain.strip_prefix(name)?.strip_prefix('.'),
            Destination::Component | Destination::Remote => None,
        }
    }

    /// The features advertised at an address.
    pub fn features(&self, at: At) -> impl Iterator<Item = &'static str> + '_ {
        self.tables.features.get(&at).into_iter().flatten().copied()
    }

    /// The identities advertised at an address.
    pub fn identities(&self, at: At) -> impl Iterator<Item = Identity> + '_ {
        self.tables.identities.get(&at).into_iter().flatten().copied()
    }

    /// The extension forms advertised at an address, canonical XML.
    pub fn forms(&self, at: At) -> &[String] {
        self.tables.forms.get(&at).map_or(&[], Vec::as_slice)
    }

    /// The XML of the stream features that rooms offer on a stream to `domain`.
    pub fn stream_features(&self, offer: Offer, domain: &str) -> String {
        self.tables
            .stream_features
            .iter()
            .filter(|(when, _)| *when == offer)
            .filter_map(|(_, feature)| feature(self, domain))
            .collect()
    }

    /// What a module provided.
    pub fn fact<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.tables
            .facts
            .get(&TypeId::of::<T>())
            .and_then(|fact| fact.clone().downcast().ok())
    }

    /// What every module registered, in order.
    pub fn roll(&self) -> &[Roll] {
        &self.tables.roll
    }

    /// A context for something the server does by itself; hand it to [`Router::finish`] afterwards.
    pub fn cx(&self) -> Option<Cx> {
        self.me.upgrade().map(|me| Cx::new(me, Origin::Server))
    }

    fn cx_of(&self, session: &Arc<Session>) -> Option<Cx> {
        self.cx_from(Origin::Session(session.clone()))
    }

    fn cx_from(&self, origin: Origin) -> Option<Cx> {
        self.me.upgrade().map(|me| Cx::new(me, origin))
    }

    /// Asks everyone who takes part in an event, and gives their verdict.
    pub async fn raise<E: Event>(&self, event: &mut E, cx: &mut Cx) -> Result<Flow, Fault> {
        match self.chain::<E>() {
            Some(chain) => chain.run(event, cx).await,
            None => Ok(Flow::Next),
        }
    }

    /// Tells everyone who listens what has happened. All hear it, whatever becomes of one; the first failure is handed back.
    pub async fn tell<N: Notice>(&self, notice: &mut N, cx: &mut Cx) -> Result<(), Fault> {
        match self.chain::<N>() {
            Some(chain) => chain.tell(notice, cx).await,
            None => Ok(()),
        }
    }

    fn chain<E: Send + 'static>(&self) -> Option<&Chain<E>> {
        self.tables
            .chains
            .get(&TypeId::of::<E>())
            .and_then(|chain| chain.downcast_ref())
    }

    /// Tells the cluster that a session's presence or facts have changed.
    pub fn announce(&self, session: &Arc<Session>) {
        self.cluster.announce(session);
    }

    /// The sessions of an account on all nodes.
    pub async fn sessions_of(&self, account: &BareJid) -> Resources {
        let mut all: Resources = self
            .sessions
            .of(account)
            .into_iter()
            .map(Resource::Here)
            .collect();
        if !self.cluster.is_alone() {
            let elsewhere = self.cluster.elsewhere(account).await;
            all.extend(elsewhere.into_iter().map(Resource::Elsewhere));
        }
        all
    }

    fn log_fault(&self, event: &'static str, fault: Option<Fault>) {
        if let Some(fault) = fault {
            tracing::error!(event, ?fault);
        }
    }
}
