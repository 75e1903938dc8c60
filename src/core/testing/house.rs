//! A house in memory: the real router, modules and database (SQLite in memory), no sockets. A stanza is dealt with
//! completely before [`Client::send`] returns, so what follows can be read at once and no test waits for time.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use crate::accounts::scram::Password;
use crate::accounts::{Accounts, AccountsOptions, Tombstone};
use crate::clock::{Clock, Timestamp};
use crate::cluster::Solo;
use crate::component::Connected;
use crate::config::{Config, Sources};
use crate::db::{CORE_MIGRATIONS, Db, DbOptions, Migration};
use crate::error::StreamError;
use crate::jid::{BareJid, Jid};
use crate::module::Entry;
use crate::remote::Outside;
use crate::router::{Parts, Router};
use crate::seal::Seals;
use crate::session::{Outbox, Session};
use crate::stanza::{NotAStanza, Stanza};
use crate::testing::neighbour::{Neighbour, Neighbours};
use crate::testing::pattern::{self, Captures};
use crate::wire::Element;

/// When every house's clock starts: 2026-01-31T12:00:00Z.
pub const NOON: Timestamp = Timestamp(1_769_860_800_000_000);

/// A running house without doors. Panics on anything a test did not mean.
pub struct House {
    /// The router at work.
    pub router: Arc<Router>,
    /// Its database, to look at rows.
    pub db: Db,
    /// Its clock, to move.
    pub clock: Clock,
    neighbours: OnceLock<Arc<Neighbours>>,
}

impl House {
    /// A house with these modules on `localhost`, configured by defaults.
    pub async fn new(modules: &[Entry]) -> House {
        House::configured(modules, "").await
    }

    /// A house with a configuration of its own (TOML text).
    pub async fn configured(modules: &[Entry], toml: &str) -> House {
        let db = Db::open("sqlite::memory:", &DbOptions::default())
            .await
            .expect("an in-memory database");
        House::on(db, modules, toml).await
    }

    /// A house on a given database.
    pub async fn on(db: Db, modules: &[Entry], toml: &str) -> House {
        let schemas: Vec<_> = modules.iter().map(|entry| (entry.schema)()).collect();
        let config = Arc::new(
            Config::load(&Sources::none().text("test.toml", toml), &schemas).expect("a valid configuration"),
        );
        let rooms = modules.iter().map(|entry| entry.migrations);
        let sets: Vec<&[Migration]> = std::iter::once(CORE_MIGRATIONS).chain(rooms).collect();
        db.migrate(&sets).await.expect("the tables");
        let clock = Clock::manual(NOON);
        // Few iterations: tests make many accounts and guard nothing.
        let accounts = Accounts::open(
            db.clone(),
            AccountsOptions {
                iterations: 16,
                ..AccountsOptions::default()
            },
        )
        .await
        .expect("accounts");
        let seals = Seals::with_key(db.clone(), [7; 32])
            .await
            .expect("the sealing key of all tests");
        let parts = Parts {
            config,
            db: db.clone(),
            accounts,
            seals,
            clock: clock.clone(),
            cluster: Box::new(Solo),
        };
        let router = Router::new(parts, modules).expect("the modules start");
        House {
            router,
            db,
            clock,
            neighbours: OnceLock::new(),
        }
    }

    /// Makes an account (password `secret`).
    pub async fn account(&self, jid: &str) -> BareJid {
        let account = BareJid::parse(jid).expect("a bare JID");
        let password = Password::prepare("secret").expect("a password");
        self.router
            .accounts()
            .create(&account, &password, Tombstone::Respect)
            .await
            .expect("a new account");
        account
    }

    /// Binds a session; the account is made if it is not there. Nothing is sent for it yet.
    pub async fn connect(&self, jid: &str) -> Client {
        let jid = Jid::parse(jid).expect("a full JID");
        if !self
            .router
            .accounts()
            .exists(&jid.bare())
            .await
            .expect("accounts answer")
        {
            self.account(jid.bare().as_str()).await;
        }
        self.bind(jid, false).await
    }

    /// Somebody who has just registered themselves (password `secret`) and is online as `NAME@localhost/x`.
    pub async fn newcomer(&self, name: &str) -> Client {
        let account = BareJid::new(Some(name), "localhost").expect("a username");
        let password = Password::prepare("secret").expect("a password");
        let registered = self.router.accounts().register(&account, &password).await;
        registered.expect("a new account");
        self.online(&format!("{name}@localhost/x")).await
    }

    /// Binds a guest's session.
    pub async fn guest(&self, jid: &str) -> Client {
        self.bind(Jid::parse(jid).expect("a full JID"), true).await
    }

    /// Binds a session that has asked for the roster and sent its initial presence; what came back is read away.
    pub async fn online(&self, jid: &str) -> Client {
        let mut client = self.connect(jid).await;
        client
            .send("<iq id='roster' type='get'><query xmlns='jabber:iq:roster'/></iq>")
            .await;
        client.send("<presence/>").await;
        client.skip();
        client
    }

    async fn bind(&self, jid: Jid, guest: bool) -> Client {
        let outbox_bytes_max = self.router.limits().outbox_bytes_max;
        let session = Session::new(jid, guest, None, outbox_bytes_max);
        self.router.start(&session).await.expect("room for a session");
        Client {
            router: self.router.clone(),
            session,
            inbox: Inbox::default(),
        }
    }

    /// Another server, which this one can reach from now on. Before the first, none is found.
    pub fn neighbour(&self, domain: &str) -> Neighbour {
        let neighbours = self.neighbours.get_or_init(|| {
            let neighbours = Arc::new(Neighbours::default());
            self.router.connect_remotes(neighbours.clone());
            neighbours
        });
        neighbours.join(self.router.clone(), domain)
    }

    /// Connects a program for an external component, which the configuration must name.
    pub fn program(&self, domain: &str) -> Program {
        let connected = self.router.connect_component(domain).expect("a component");
        Program {
            router: self.router.clone(),
            connected: connected.expect("no other program"),
            inbox: Inbox::default(),
        }
    }
}

/// What somebody got and has not looked at.
#[derive(Default)]
pub(super) struct Inbox {
    texts: VecDeque<String>,
    captures: Captures,
}

impl Inbox {
    pub(super) fn next(&mut self, outbox: &Outbox) -> Option<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let parcels = outbox.take_some(usize::MAX).parcels;
        let came = parcels
            .iter()
            .map(|parcel| text(&parcel.head) + &text(&parcel.tail));
        self.texts.extend(came);
        self.texts.pop_front()
    }

    #[track_caller]
    pub(super) fn expect(&mut self, whose: &str, outbox: &Outbox, expected: &str) {
        let Some(actual) = self.next(outbox) else {
            panic!("{whose} got nothing, expected {expected}")
        };
        if let Err(difference) = pattern::matches(expected, &actual, &mut self.captures) {
            panic!("{whose}: {difference}\nexpected {expected}\n     got {actual}");
        }
    }

    pub(super) fn element(&self, xml: &str) -> Element {
        let xml = pattern::fill(xml, &self.captures);
        Element::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"))
    }
}

/// A program that answers for an external component of a [`House`] (XEP-0114).
pub struct Program {
    router: Arc<Router>,
    connected: Connected,
    inbox: Inbox,
}

impl Program {
    /// Sends one stanza and waits until all that it causes has been delivered. Gives the error that ends its stream, if
    /// one does.
    pub async fn send(&mut self, xml: &str) -> Option<StreamError> {
        let stanza = Stanza::from_element(self.inbox.element(xml)).expect("a stanza");
        let outside = Outside::Component(self.connected.component().clone());
        let mut outcome = self.router.receive(&outside, stanza).await;
        let closing = outcome.closing.take();
        self.router.perform(outcome).await;
        closing
    }

    /// The next stanza that came must match the pattern (see [`pattern`]).
    #[track_caller]
    pub fn expect(&mut self, expected: &str) {
        let domain = self.connected.component().domain();
        self.inbox.expect(domain, self.connected.outbox(), expected);
    }

    /// Nothing may have come.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        if let Some(unexpected) = self.inbox.next(self.connected.outbox()) {
            panic!("the component got {unexpected}");
        }
    }

    /// The connection is lost: what the program has not taken goes back to the house.
    pub async fn disconnect(self) {
        self.router.disconnect_component(self.connected).await;
    }
}

/// Somebody's device in a [`House`].
pub struct Client {
    router: Arc<Router>,
    /// Its session, as the house sees it.
    pub session: Arc<Session>,
    inbox: Inbox,
}

impl Client {
    /// Sends one stanza (or what else may stand beside stanzas) and waits until all that it causes has been delivered. Captured `{names}` are filled in.
    pub async fn send(&mut self, xml: &str) {
        let outcome = match Stanza::from_element(self.inbox.element(xml)) {
            Ok(stanza) => self.router.depart(&self.session, stanza).await,
            Err(NotAStanza::Refused(stanza, error)) => self.router.reject(&self.session, *stanza, &error),
            Err(NotAStanza::Unsupported(element)) => self.router.nonza(&self.session, *element).await,
        };
        if let Some(error) = &outcome.closing {
            self.session.close(error.clone());
        }
        self.router.perform(outcome).await;
    }

    /// The next stanza that came, as text; `None` if there is none.
    #[expect(clippy::should_implement_trait, reason = "more may come after a `None`")]
    pub fn next(&mut self) -> Option<String> {
        self.inbox.next(&self.session.outbox)
    }

    /// Reads away what came so far.
    pub fn skip(&mut self) {
        while self.next().is_some() {}
    }

    /// The next stanza must match the pattern (see [`pattern`]).
    #[track_caller]
    pub fn expect(&mut self, expected: &str) {
        let whose = self.session.jid.as_str();
        self.inbox.expect(whose, &self.session.outbox, expected);
    }

    /// The patterns must match what came, in any order.
    #[track_caller]
    pub fn expect_all(&mut self, expected: &[&str]) {
        let mut got: Vec<String> = std::iter::from_fn(|| self.next()).take(expected.len()).collect();
        for wanted in expected {
            let found = got
                .iter()
                .position(|actual| pattern::matches(wanted, actual, &mut self.inbox.captures).is_ok());
            match found {
                Some(at) => drop(got.remove(at)),
                None => panic!("{} did not get {wanted}\namong {got:#?}", self.session.jid),
            }
        }
    }

    /// Sends a request and expects its answer.
    pub async fn ask(&mut self, request: &str, answer: &str) {
        self.send(request).await;
        self.expect(answer);
    }

    /// Nothing may have come.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        if let Some(unexpected) = self.next() {
            panic!("{} got {unexpected}", self.session.jid);
        }
    }

    /// Why the house ends this session, if it does.
    pub fn closing(&self) -> Option<StreamError> {
        self.session.outbox.closing()
    }

    /// The socket is gone: unwritten stanzas go back to the house.
    pub async fn disconnect(self) {
        let (unwritten, _) = self.session.outbox.take();
        self.session
            .close(crate::error::StreamCondition::ConnectionTimeout);
        self.router.end(&self.session, unwritten).await;
    }

    /// What was captured under a name.
    pub fn captured(&self, name: &str) -> &str {
        self.inbox.captures.get(name).map_or("", String::as_str)
    }
}
