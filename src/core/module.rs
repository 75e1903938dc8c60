//! What a module is: a [`Module`] says which specification it implements and registers what it
//! handles. The [`Registrar`] collects it all; what is handled is advertised, and nothing else can be.

use std::any::{Any, TypeId};
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use smallvec::{SmallVec, smallvec};

use crate::accounts::Eraser;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, LimitsInForce, Schema, Section};
use crate::cx::Cx;
use crate::db::{Db, DbError, Migration};
use crate::error::{Condition, Fault};
use crate::hook::{Chain, Event, Hear, Notice, On, Stage};
use crate::jid::{BareJid, Jid};
use crate::router::Router;
use crate::seal::Seals;
use crate::stanza::{IqType, Stanza};
use crate::wire::{El, Writer};

/// How much of its specification a module implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Everything the text asks of a server.
    Complete,
    /// What the note says is missing.
    Partial(&'static str),
}

/// A specification that a module implements.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// `XEP-0199`, `RFC 6121`.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The version that was read; empty for RFCs.
    pub version: &'static str,
    /// How much of it there is.
    pub coverage: Coverage,
}

impl Spec {
    /// A specification that is implemented whole.
    pub const fn complete(id: &'static str, title: &'static str, version: &'static str) -> Spec {
        Spec {
            id,
            title,
            version,
            coverage: Coverage::Complete,
        }
    }
}

/// A module. Everything about one specification is in its folder; this is its door.
pub trait Module: 'static {
    /// Its section of the configuration; [`crate::config::NoSettings`] where there is nothing to set.
    type Config: Section;
    /// The folder's name, also that of the configuration section.
    const NAME: &'static str;
    /// What it implements; the first is the one in the folder's name.
    const SPECS: &'static [Spec];
    /// Modules without which it is of no use, because its specification builds on theirs. They stand earlier in the list of
    /// modules.
    const NEEDS: &'static [&'static str] = &[];
    /// Modules whose `api` it uses although it also works without them: it asks for what they provide with
    /// [`Registrar::wanted`]. They stand earlier in the list of modules.
    const USES: &'static [&'static str] = &[];
    /// Its tables.
    const MIGRATIONS: &'static [Migration] = &[];
    /// What erases an account's rows from them, in the transaction that removes the account. A darkened module erases
    /// too: its rows are still there.
    const ERASERS: &'static [Eraser] = &[];

    /// Registers hooks, handlers and features.
    fn register(config: Self::Config, house: &mut Registrar<'_>) -> Result<(), Fault>;
}

/// One line of the list of modules: a [`Module`] without its type.
#[derive(Clone, Copy)]
pub struct Entry {
    /// [`Module::NAME`]
    pub name: &'static str,
    /// [`Module::SPECS`]
    pub specs: &'static [Spec],
    /// [`Module::NEEDS`]
    pub needs: &'static [&'static str],
    /// [`Module::USES`]
    pub uses: &'static [&'static str],
    /// [`Module::MIGRATIONS`]
    pub migrations: &'static [Migration],
    /// [`Module::ERASERS`]
    pub erasers: &'static [Eraser],
    register: fn(&Config, &mut Registrar<'_>) -> Result<(), Startup>,
    /// What its section of the configuration may hold.
    pub schema: fn() -> Schema,
}

impl Entry {
    /// The entry of a module.
    pub const fn of<M: Module>() -> Entry {
        Entry {
            name: M::NAME,
            specs: M::SPECS,
            needs: M::NEEDS,
            uses: M::USES,
            migrations: M::MIGRATIONS,
            erasers: M::ERASERS,
            register: |config, house| {
                let section = config.modules.section::<M::Config>(M::NAME)?;
                M::register(section, house).map_err(|fault| Startup::Module(M::NAME, fault))
            },
            schema: || {
                let schema = Schema::module::<M::Config>(M::NAME, M::NEEDS);
                match M::SPECS.first() {
                    Some(spec) => schema.titled(spec.title, spec.id),
                    None => schema,
                }
            },
        }
    }
}

/// Why a house could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum Startup {
    /// The configuration of a module.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A module refused to start.
    #[error("the module {0} could not start: {1}")]
    Module(&'static str, Fault),
    /// A module needs one that is disabled or comes later in the list.
    #[error(
        "the module {0} needs the module {1}, which is disabled: set enabled = true in [{1}], or enabled = false in [{0}]"
    )]
    Needs(&'static str, &'static str),
    /// The domain of a component is one that this server answers for itself.
    #[error("[[component]] jid {0:?} is a domain that this server answers for itself; choose another one")]
    Component(String),
}

/// Whose requests a handler answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum At {
    /// Those addressed to the server's domain.
    Server,
    /// Those a session sends to its own account.
    Own,
    /// Those anybody else sends to an account's bare JID. The handler decides what a stranger may learn; as a rule,
    /// nothing that depends on whether the account exists or is online.
    Account,
    /// Those addressed to an account that is not there, at its bare or a full JID. Without a handler the answer is
    /// `service-unavailable`, as for an account that is there and answers nobody. A handler for [`At::Account`] that refuses
    /// strangers in another way stands here too, so that nobody can tell the two apart.
    Nobody,
    /// Those addressed to the domain of the service with this name ([`Registrar::service`]).
    Service(&'static str),
    /// Those addressed to the domain of any service, unless the service answers itself.
    AnyService,
    /// Those addressed to the bare JID of something at the service with this name: a room. Whether it exists is the
    /// handler's to find out.
    Within(&'static str),
    /// Those addressed to the bare JID of something at any service, unless the service answers itself.
    AnyWithin,
}

impl At {
    /// The places whose handlers answer at this one, the nearest first. What they advertise counts together.
    pub fn and_wider(self) -> SmallVec<[At; 2]> {
        match self {
            At::Own => smallvec![At::Own, At::Account],
            At::Service(_) => smallvec![self, At::AnyService],
            At::Within(_) => smallvec![self, At::AnyWithin],
            _ => smallvec![self],
        }
    }
}

/// An iq request that found its handler.
pub struct Request<'a> {
    /// The whole stanza.
    pub stanza: &'a Stanza,
    /// Its one payload.
    pub payload: El<'a>,
    /// The sender.
    pub from: &'a Jid,
    /// The account it is addressed to; the server's or the service's domain for [`At::Server`] and [`At::Service`].
    pub account: &'a BareJid,
    /// Where it was addressed to.
    pub at: At,
    /// Get or set.
    pub kind: IqType,
}

impl Request<'_> {
    /// Whether this is a set.
    pub fn is_set(&self) -> bool {
        self.kind == IqType::Set
    }

    /// Whether it was addressed to a resource, which happens at [`At::Nobody`] and at a domain.
    pub fn is_to_full(&self) -> bool {
        self.stanza.to.as_ref().is_some_and(|to| !to.is_bare())
    }
}

/// A handler's answer.
#[derive(Debug)]
pub enum Reply {
    /// A result without payload.
    Empty,
    /// A result with this canonical payload.
    Payload(String),
    /// The handler has sent the answer itself, or there is nobody left to answer.
    Silent,
}

impl From<Writer> for Reply {
    fn from(mut xml: Writer) -> Reply {
        Reply::Payload(xml.finish_string())
    }
}

/// Answers one kind of iq request.
pub trait HandleIq: Send + Sync + 'static {
    /// The answer; a failure becomes an error stanza.
    fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> impl Future<Output = Result<Reply, Fault>> + Send;
}

pub(crate) trait DynIq: Send + Sync {
    fn call<'a>(&'a self, iq: &'a Request<'a>, cx: &'a mut Cx) -> BoxFuture<'a, Result<Reply, Fault>>;
}

impl<H: HandleIq> DynIq for H {
    fn call<'a>(&'a self, iq: &'a Request<'a>, cx: &'a mut Cx) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(self.handle(iq, cx))
    }
}

/// The same answer to everybody who asks at a bare JID. A resource that is not there is `service-unavailable` at every
/// account (RFC 6121 §8.5.3.2.3), so it is at those that do not exist.
struct Refusal(Condition);

impl HandleIq for Refusal {
    async fn handle(&self, iq: &Request<'_>, _: &mut Cx) -> Result<Reply, Fault> {
        Err(if iq.is_to_full() {
            Condition::ServiceUnavailable
        } else {
            self.0
        }
        .into())
    }
}

/// When a stream feature is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// On a secured stream, beside the SASL mechanisms.
    BeforeLogin,
    /// After sign-in, beside resource binding.
    AfterLogin,
}

/// An identity in service discovery (XEP-0030 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// `server`, `account`, `pubsub` …
    pub category: &'static str,
    /// `im`, `registered`, `pep` …
    pub kind: &'static str,
    /// A name for humans, or nothing.
    pub name: &'static str,
}

/// Makes a stream feature's XML for a stream to `domain`; `None` leaves it out.
pub type StreamFeature = Box<dyn Fn(&Router, &str) -> Option<String> + Send + Sync>;

pub(crate) type IqKey = (At, IqType, &'static str, &'static str);

/// Everything the modules registered, looked up by the router.
#[derive(Default)]
pub(crate) struct Tables {
    pub chains: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
    pub iqs: HashMap<IqKey, Arc<dyn DynIq>>,
    pub features: HashMap<At, BTreeSet<&'static str>>,
    pub identities: HashMap<At, BTreeSet<Identity>>,
    pub forms: HashMap<At, Vec<String>>,
    pub stream_features: Vec<(Offer, StreamFeature)>,
    pub erasers: Vec<Eraser>,
    pub facts: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    pub services: BTreeSet<&'static str>,
    pub tidiers: Vec<(&'static str, Tidier)>,
    pub roll: Vec<Roll>,
}

/// Deletes what is over of a module's rows, a bounded number in each transaction; tells how many.
pub type Tidier = Box<dyn Fn() -> BoxFuture<'static, Result<u64, DbError>> + Send + Sync>;

/// What one module registered, for `kim modules`.
#[derive(Clone, Debug)]
pub struct Roll {
    /// The module.
    pub name: &'static str,
    /// What it implements.
    pub specs: &'static [Spec],
    /// The events it hears and the stage in which it does.
    pub hooks: Vec<(&'static str, Stage)>,
    /// The requests it answers: `get {urn:xmpp:ping}ping at Server`.
    pub iqs: Vec<String>,
    /// The features it advertises.
    pub features: Vec<&'static str>,
}

/// Where a module registers. Lives only while the house is put together.
pub struct Registrar<'a> {
    /// The database; a module makes its store and its sinks from it.
    pub db: &'a Db,
    /// Seals what people write before it goes to the database.
    pub seals: &'a Seals,
    /// The clock.
    pub clock: &'a Clock,
    /// The whole configuration; a module's own section is handed to it apart.
    pub config: &'a Config,
    /// The limits in force. They may change: a module that goes by one keeps a clone and asks at each use.
    pub limits: &'a LimitsInForce,
    pub(crate) tables: &'a mut Tables,
}

impl<'a> Registrar<'a> {
    /// Registers all modules that the configuration does not darken.
    pub(crate) fn register_all(mut self, modules: &[Entry]) -> Result<(), Startup> {
        self.tables.erasers = modules.iter().flat_map(|entry| entry.erasers).copied().collect();
        for entry in modules
            .iter()
            .filter(|entry| self.config.modules.is_enabled(entry.name))
        {
            if let Some(missing) = entry
                .needs
                .iter()
                .find(|need| !self.tables.roll.iter().any(|r| r.name == **need))
            {
                return Err(Startup::Needs(entry.name, missing));
            }
            self.tables.roll.push(Roll {
                name: entry.name,
                specs: entry.specs,
                hooks: Vec::new(),
                iqs: Vec::new(),
                features: Vec::new(),
            });
            (entry.register)(self.config, &mut self)?;
        }
        Ok(())
    }

    fn roll(&mut self) -> Option<&mut Roll> {
        self.tables.roll.last_mut()
    }

    /// Takes part in an event.
    pub fn on<E: Event>(&mut self, stage: Stage, handler: impl On<E>) {
        let module = self.enter(E::NAME, stage);
        if let Some(chain) = self.chain::<E>() {
            chain.add(stage, module, handler);
        }
    }

    /// Listens to a notice.
    pub fn hear<N: Notice>(&mut self, stage: Stage, handler: impl Hear<N>) {
        let module = self.enter(N::NAME, stage);
        if let Some(chain) = self.chain::<N>() {
            chain.add_listener(stage, module, handler);
        }
    }

    /// Enters a hook into the roll of the module that registers it; tells the module's name.
    fn enter(&mut self, event: &'static str, stage: Stage) -> &'static str {
        let Some(roll) = self.roll() else { return "kim" };
        roll.hooks.push((event, stage));
        roll.name
    }

    fn chain<E: Send + 'static>(&mut self) -> Option<&mut Chain<E>> {
        let chains = &mut self.tables.chains;
        let chain = chains.entry(TypeId::of::<E>());
        chain
            .or_insert_with(|| Box::new(Chain::<E>::default()))
            .downcast_mut()
    }

    /// Begins the list of what is answered and advertised at these places: `house.at(&[At::Own]).get("block", NS, List)`.
    pub fn at<'r>(&'r mut self, places: &'r [At]) -> Place<'r, 'a> {
        Place {
            house: self,
            places,
            refusal: None,
        }
    }

    /// Answers iq requests with a payload `name` in `ns`, and advertises `ns` where it does.
    pub fn iq(
        &mut self,
        at: &[At],
        kind: IqType,
        name: &'static str,
        ns: &'static str,
        handler: impl HandleIq,
    ) {
        self.answer(at, kind, name, ns, &(Arc::new(handler) as Arc<dyn DynIq>));
    }

    fn answer(
        &mut self,
        at: &[At],
        kind: IqType,
        name: &'static str,
        ns: &'static str,
        handler: &Arc<dyn DynIq>,
    ) {
        for at in at {
            self.tables.iqs.insert((*at, kind, name, ns), handler.clone());
            self.feature(&[*at], ns);
            if let Some(roll) = self.roll() {
                roll.iqs
                    .push(format!("{} {{{ns}}}{name} at {at:?}", kind.as_str()));
            }
        }
    }

    /// Refuses what others ask of an account with one condition, whether the account is there or not; advertises nothing.
    pub fn refuse_others(
        &mut self,
        kind: IqType,
        name: &'static str,
        ns: &'static str,
        condition: Condition,
    ) {
        let handler: Arc<dyn DynIq> = Arc::new(Refusal(condition));
        for at in [At::Account, At::Nobody] {
            self.tables.iqs.insert((at, kind, name, ns), handler.clone());
        }
    }

    /// Advertises a feature that is not an iq payload; what it promises is handled by this module's hooks.
    pub fn feature(&mut self, at: &[At], feature: &'static str) {
        for at in at {
            self.tables.features.entry(*at).or_default().insert(feature);
        }
        if let Some(roll) = self.roll()
            && !roll.features.contains(&feature)
        {
            roll.features.push(feature);
        }
    }

    /// Deletes now and then what is over, also of those who never come back.
    pub fn tidies<F>(&mut self, tidy: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<u64, DbError>> + Send + 'static,
    {
        let module = self.roll().map_or("kim", |roll| roll.name);
        self.tables
            .tidiers
            .push((module, Box::new(move || Box::pin(tidy()))));
    }

    /// Serves the subdomain `name` of every domain of this server: `conference` of `localhost` is `conference.localhost`.
    /// What is sent there is heard as [`crate::events::ServiceArrival`]; requests go to the handlers at [`At::Service`] and
    /// [`At::Within`]. Service discovery of the server lists it.
    pub fn service(&mut self, name: &'static str) {
        self.tables.services.insert(name);
    }

    /// Adds an identity to service discovery.
    pub fn identity(&mut self, at: At, identity: Identity) {
        self.tables.identities.entry(at).or_default().insert(identity);
    }

    /// Adds an extension form to service discovery (XEP-0128): a canonical `<x xmlns='jabber:x:data'/>`.
    pub fn form(&mut self, at: At, form: String) {
        self.tables.forms.entry(at).or_default().push(form);
    }

    /// Offers a stream feature.
    pub fn stream_feature(
        &mut self,
        offer: Offer,
        feature: impl Fn(&Router, &str) -> Option<String> + Send + Sync + 'static,
    ) {
        self.tables.stream_features.push((offer, Box::new(feature)));
    }

    /// Lays out something other modules may use, by its type (declared in this module's `api`).
    pub fn provide<T: Any + Send + Sync>(&mut self, fact: Arc<T>) {
        self.tables.facts.insert(TypeId::of::<T>(), fact);
    }

    /// What another module provided, if it is enabled. It stands earlier in the list of modules.
    pub fn wanted<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.tables
            .facts
            .get(&TypeId::of::<T>())
            .and_then(|fact| fact.clone().downcast().ok())
    }

    /// What another module provided. It stands in [`Module::NEEDS`], so it is there.
    pub fn needed<T: Any + Send + Sync>(&self) -> Result<Arc<T>, Fault> {
        self.wanted()
            .ok_or_else(|| Fault::Us(format!("{} was not provided", std::any::type_name::<T>()).into()))
    }
}

/// What a module answers and advertises at some places, one line for each ([`Registrar::at`]).
pub struct Place<'r, 'a> {
    house: &'r mut Registrar<'a>,
    places: &'r [At],
    refusal: Option<Condition>,
}

impl Place<'_, '_> {
    /// Refuses the requests named from here on with one condition, if anybody but the account itself sends them
    /// ([`Registrar::refuse_others`]).
    pub fn refusing_others(mut self, condition: Condition) -> Self {
        self.refusal = Some(condition);
        self
    }

    fn answer(self, kinds: &[IqType], name: &'static str, ns: &'static str, handler: impl HandleIq) -> Self {
        let handler: Arc<dyn DynIq> = Arc::new(handler);
        for kind in kinds {
            self.house.answer(self.places, *kind, name, ns, &handler);
            if let Some(condition) = self.refusal {
                self.house.refuse_others(*kind, name, ns, condition);
            }
        }
        self
    }

    /// Answers requests of type get with a payload `name` in `ns`, and advertises `ns`.
    pub fn get(self, name: &'static str, ns: &'static str, handler: impl HandleIq) -> Self {
        self.answer(&[IqType::Get], name, ns, handler)
    }

    /// The same for requests of type set.
    pub fn set(self, name: &'static str, ns: &'static str, handler: impl HandleIq) -> Self {
        self.answer(&[IqType::Set], name, ns, handler)
    }

    /// The same for both types, with one handler.
    pub fn get_and_set(self, name: &'static str, ns: &'static str, handler: impl HandleIq) -> Self {
        self.answer(&[IqType::Get, IqType::Set], name, ns, handler)
    }

    /// Advertises a feature that no iq handler stands for ([`Registrar::feature`]).
    pub fn feature(self, feature: &'static str) -> Self {
        self.house.feature(self.places, feature);
        self
    }

    /// Adds an identity to service discovery.
    pub fn identity(self, category: &'static str, kind: &'static str, name: &'static str) -> Self {
        let identity = Identity { category, kind, name };
        for at in self.places {
            self.house.identity(*at, identity);
        }
        self
    }
}
