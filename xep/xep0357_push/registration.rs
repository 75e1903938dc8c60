//! What a client has asked for (§5), and all accounts' registrations, remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use kim_core::clock::Timestamp;
use kim_core::db::DbError;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::keyed::{Caches, Shared};
use kim_core::ns;
use kim_core::seal::{Key, Seals};
use kim_core::wire::{El, Element, Writer};
use tokio::task::JoinError;

use super::store::PushStore;
use super::{NS, OPTIONS};

/// What an account with its registrations weighs, on average: a guess by which the cache is laid out.
const EXPECTED: usize = 4;

/// What a client wants to be told, beside that there is something. The server's policy may allow less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Who wrote last.
    pub sender: bool,
    /// What they wrote.
    pub body: bool,
}

/// One registration.
#[derive(Debug)]
pub(super) struct Registration {
    /// What it is found by in the table.
    pub tag: i64,
    /// The app server.
    pub service: Jid,
    /// The node there that stands for the device.
    pub node: String,
    /// The resource of the session that enabled it: the device that is woken. In a room the session's whole address.
    pub resource: String,
    /// The app server's publish-options, a canonical form, or nothing.
    pub options: String,
    /// What the client asked for.
    pub wish: Wish,
    /// Notifications in a row that were given up.
    pub failures: AtomicU32,
    /// It is removed; only those still know it who have read it before.
    pub removed: AtomicBool,
}

impl Registration {
    /// One that a session asks for. Its tag is made by [`Registrations::put`].
    pub fn new(service: Jid, node: String, resource: String, options: String, wish: Wish) -> Registration {
        Registration {
            tag: 0,
            service,
            node,
            resource,
            options,
            wish,
            failures: AtomicU32::new(0),
            removed: AtomicBool::new(false),
        }
    }

    /// Whether a session is that of the device.
    pub fn is_of(&self, session: &Jid) -> bool {
        session.resource() == Some(&self.resource)
    }

    /// The form that is sealed: `<enable/>` as the client might have sent it, and its resource.
    fn write(&self) -> String {
        let mut xml = Writer::new();
        xml.start("enable", NS)
            .attr("jid", self.service.as_str())
            .attr("node", &self.node)
            .attr("resource", &self.resource);
        for (name, wanted) in [("sender", self.wish.sender), ("body", self.wish.body)] {
            if wanted {
                xml.attr(name, "1");
            }
        }
        if !self.options.is_empty() {
            xml.raw(&self.options);
        }
        xml.end();
        xml.finish_string()
    }

    fn read(tag: i64, failures: u32, xml: &str) -> Option<Registration> {
        let element = Element::stored(xml)?;
        let options = element.child("x", ns::DATA);
        Some(Registration {
            tag,
            service: Jid::parse(&element.attr("jid")?).ok()?,
            node: element.attr("node")?.into_owned(),
            resource: element.attr("resource")?.into_owned(),
            options: options.map(|options| options.to_xml()).unwrap_or_default(),
            wish: Wish {
                sender: element.attr("sender").is_some(),
                body: element.attr("body").is_some(),
            },
            failures: AtomicU32::new(failures),
            removed: AtomicBool::new(false),
        })
    }
}

/// Reads an app server's publish-options as a client sent them (§5): what stands in them is kept as it is. `None` for a form
/// of another type.
pub(super) fn options(x: El<'_>) -> Option<String> {
    let fields = || x.children().filter(|child| child.is("field", ns::DATA));
    let values = |field: &El<'_>| -> Vec<String> {
        let values = field.children().filter(|child| child.is("value", ns::DATA));
        values.map(|value| value.text().into_owned()).collect()
    };
    let is_type = |field: &El<'_>| field.attr("var").as_deref() == Some("FORM_TYPE");
    if fields().any(|field| is_type(&field) && values(&field) != [OPTIONS]) {
        return None;
    }
    let mut xml = Writer::new();
    xml.start("x", ns::DATA).attr("type", "submit");
    xml.start("field", ns::DATA)
        .attr("var", "FORM_TYPE")
        .attr("type", "hidden");
    xml.start("value", ns::DATA).text(OPTIONS).end().end();
    for field in fields().filter(|field| !is_type(field)) {
        let Some(var) = field.attr("var") else { continue };
        xml.start("field", ns::DATA).attr("var", &var);
        for value in values(&field) {
            xml.start("value", ns::DATA).text(&value).end();
        }
        xml.end();
    }
    xml.end();
    Some(xml.finish_string())
}

/// What an account has registered.
pub(super) type OfAccount = Arc<[Arc<Registration>]>;

/// All accounts' registrations. Reads come from memory, also that an account has none.
pub(super) struct Registrations {
    pub store: PushStore,
    seals: Seals,
    remembered: Shared<BareJid, OfAccount>,
    registrations_max: usize,
    none: OfAccount,
    /// Whether this process has seen any.
    any: AtomicBool,
}

fn sealed_at(account: &BareJid, tag: i64) -> [Vec<u8>; 3] {
    [
        b"push registration".to_vec(),
        account.as_str().into(),
        tag.to_be_bytes().to_vec(),
    ]
}

fn tag(key: &Key, service: &Jid, node: &str) -> i64 {
    key.tag(
        "push registration",
        &[service.as_str().as_bytes(), node.as_bytes()],
    )
}

impl Registrations {
    pub fn new(
        store: PushStore,
        seals: &Seals,
        caches: &Caches,
        remembered_max: usize,
        registrations_max: usize,
    ) -> Registrations {
        let weigh = |_: &BareJid, all: &OfAccount| 1 + all.len() as u64;
        let accounts = remembered_max / EXPECTED;
        Registrations {
            store,
            seals: seals.clone(),
            remembered: Shared::weighed(
                caches,
                "push.registrations",
                remembered_max as u64,
                accounts,
                weigh,
            ),
            registrations_max,
            none: Arc::new([]),
            any: AtomicBool::new(false),
        }
    }

    /// Whether an account may have one. Those of accounts that were not looked at yet, after a start, are found when their
    /// clients come.
    pub fn are_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Those of an account.
    pub async fn of(&self, account: &BareJid) -> Result<OfAccount, Fault> {
        self.remembered.read(account, || self.load(account)).await
    }

    /// One of them.
    pub async fn get(&self, account: &BareJid, tag: i64) -> Result<Option<Arc<Registration>>, Fault> {
        let all = self.of(account).await?;
        Ok(all.iter().find(|one| one.tag == tag).cloned())
    }

    async fn load(&self, account: &BareJid) -> Result<OfAccount, Fault> {
        let rows = self.store.of(account).await?;
        if rows.is_empty() {
            return Ok(self.none.clone());
        }
        self.any.store(true, Ordering::Relaxed);
        let key = self.seals.key(account.as_str()).await?;
        let open = |row: &super::store::Row| {
            let place = sealed_at(account, row.tag);
            let aad: Vec<&[u8]> = place.iter().map(Vec::as_slice).collect();
            let xml = String::from_utf8(key.open(&aad, &row.sealed).ok()?).ok()?;
            Registration::read(row.tag, row.failures, &xml)
        };
        let mut all = Vec::new();
        for row in &rows {
            match open(row) {
                Some(registration) => all.push(Arc::new(registration)),
                // It must not keep the others from being told.
                None => tracing::error!(event = "push_registration_unreadable", %account),
            }
        }
        Ok(all.into())
    }

    /// Adds a registration or replaces the one of the same app server and node (§5), and tells its tag once that is
    /// committed.
    pub async fn put(
        &self,
        account: &BareJid,
        registration: &Registration,
        now: Timestamp,
    ) -> Result<i64, Fault> {
        self.put_at_most(account, registration, self.registrations_max, now)
            .await
    }

    /// The same for an account or room that may have so many.
    pub async fn put_at_most(
        &self,
        account: &BareJid,
        registration: &Registration,
        registrations_max: usize,
        now: Timestamp,
    ) -> Result<i64, Fault> {
        let key = self.seals.key(account.as_str()).await?;
        let tag = tag(&key, &registration.service, &registration.node);
        let place = sealed_at(account, tag);
        let aad: Vec<&[u8]> = place.iter().map(Vec::as_slice).collect();
        let sealed = key.seal(&aad, registration.write().as_bytes());
        let (store, owner) = (self.store.clone(), account.clone());
        let work = async move { store.put(&owner, tag, sealed, now, registrations_max).await };
        match self.remembered.change(account, work).await {
            Ok(Ok(())) => Ok(tag),
            Ok(Err(DbError::Refused(_))) => Err(StanzaError::new(Condition::ResourceConstraint)
                .text(format!(
                    "{account} has {registrations_max} push registrations already; disable one of them first"
                ))
                .into()),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(interrupted(error)),
        }
    }

    /// Removes registrations; when this returns, nobody is told of them any more.
    pub async fn remove(&self, account: &BareJid, which: &[Arc<Registration>]) -> Result<(), Fault> {
        if which.is_empty() {
            return Ok(());
        }
        for registration in which {
            registration.removed.store(true, Ordering::Release);
        }
        let tags: Vec<i64> = which.iter().map(|registration| registration.tag).collect();
        let (store, owner) = (self.store.clone(), account.clone());
        let work = async move { store.remove(&owner, &tags).await };
        self.remembered
            .change(account, work)
            .await
            .map_err(interrupted)?
            .map_err(Fault::from)
    }

    /// The account's rows have changed by other means.
    pub fn forget(&self, account: &BareJid) {
        self.remembered.invalidate(account);
    }
}

fn interrupted(error: JoinError) -> Fault {
    Fault::Us(Box::new(error))
}
