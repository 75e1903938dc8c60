//! What accounts chose for messages from strangers, and when they were last told of requests.

use std::sync::Arc;

use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::db::Db;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::keyed::Shared;
use kim_core::ns;
use kim_core::random;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::judgement::Judgement;
use super::store::{Store, ToldOfRequests};

/// Accounts that are remembered.
const REMEMBERED_MAX: usize = 16_384;
/// How long an account is not told again, in microseconds: a day.
const SILENCE_US: i64 = 86_400_000_000;
/// What an account is told.
const NOTICE: &str = "Someone who is not among your contacts wrote to you. It waits as a message request: open the commands \
                      of your account in your client and choose \"Message Requests\" to read, accept or refuse it. You are \
                      told of this once a day at most.";

/// What is known of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Chosen {
    messages: Option<Judgement>,
    told: Option<Timestamp>,
}

/// The choices of all accounts.
pub(super) struct StrangerChoices {
    store: Arc<Store>,
    remembered: Shared<BareJid, Chosen>,
}

impl StrangerChoices {
    pub(super) fn new(db: &Db, store: Arc<Store>) -> StrangerChoices {
        StrangerChoices {
            remembered: Shared::new(db.caches(), "strangers.choices", REMEMBERED_MAX),
            store,
        }
    }

    async fn read(&self, account: &BareJid) -> Result<Chosen, Fault> {
        let load = || async {
            let (messages, told) = self.store.account(account).await?;
            let messages = messages.as_deref().and_then(Judgement::parse);
            Ok(Chosen { messages, told })
        };
        self.remembered.read(account, load).await
    }

    /// What an account chose, if it did.
    pub(super) async fn messages(&self, account: &BareJid) -> Result<Option<Judgement>, Fault> {
        Ok(self.read(account).await?.messages)
    }

    /// An account chooses; nothing is the server's choice.
    pub(super) async fn choose(&self, account: &BareJid, messages: Option<Judgement>) -> Result<(), Fault> {
        let (store, owner) = (self.store.clone(), account.clone());
        let name = messages.map(kim_core::config::Choice::as_str);
        let work = async move { store.choose(&owner, name).await };
        let done = self.remembered.change(account, work).await;
        Ok(done.map_err(|error| Fault::Us(Box::new(error)))??)
    }

    /// Tells an account that requests wait, unless it was told today. Its caller holds the account's lock.
    pub(super) async fn tell(&self, account: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let now = cx.received;
        let mark = self.remembered.mark(account);
        let chosen = self.read(account).await?;
        if chosen.told.is_some_and(|told| now.0 - told.0 < SILENCE_US) {
            return Ok(());
        }
        let row = ToldOfRequests {
            account: account.clone(),
            at: now,
        };
        cx.store(&self.store.told, row);
        // Before the commit, so that the next request of a burst finds it. Should the commit fail, a day passes without a word.
        let told = Some(now);
        self.remembered.put(account, Chosen { told, ..chosen }, mark);
        let mut xml = Writer::new();
        xml.start("body", ns::CLIENT).text(NOTICE).end();
        // To the bare address and not as a headline: it waits for those who are away.
        let notice = Stanza::new(Kind::Message(MessageType::Normal), &xml.finish_string())
            .from(BareJid::new(None, account.domain())?)
            .to(account.clone())
            .id(random::token());
        cx.send(notice);
        Ok(())
    }

    /// Forgets what is in memory of an account.
    pub(super) fn forget(&self, account: &BareJid) {
        self.remembered.invalidate(account);
    }
}
