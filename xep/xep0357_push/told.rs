//! Where news for sleeping devices comes from. Each registration is looked at for itself: a desktop that is online does not
//! silence a phone whose session is gone. A stanza that wakes nobody costs a look into memory, and one for a session without
//! a registration a look at a bit.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{
    AccountErased, Answer, Arrival, Departure, MayWait, Nonza, Opening, PasswordChanged, SessionParked,
    SessionResumed, SessionStarted, Verdict, Waits,
};
use kim_core::hook::{Flow, Hear, On};
use kim_core::jid::BareJid;
use kim_core::router::{Destination, Redelivered, Router};
use kim_core::session::{Mark, Session};
use kim_core::stanza::{Kind, MessageType, Stanza};

use super::dispatch::Dispatch;
use super::publish;
use super::registration::Registration;
use super::rooms::is_of_own_room;
use super::state::{OverNews, WakeNews};
use super::watch::DeviceState;
use super::worth::{self, WakeWorth};
use crate::rfc6121_im::api::{Half, RosterChanged};
use crate::xep0060_pubsub::api::Published;
use crate::xep0352_csi::api as csi;

/// XEP-0490
const DISPLAYED: &str = "urn:xmpp:mds:displayed:0";
const HINTS: &str = "urn:xmpp:hints";
const CARBONS: &str = "urn:xmpp:carbons:2";
const MUC_USER: &str = "http://jabber.org/protocol/muc#user";

/// Everything that is heard.
pub(super) struct Ears(pub Arc<Dispatch>);

impl Dispatch {
    /// Tells the device of a session of a stanza that waits there, if it is worth that. Messages of rooms are told as the
    /// rooms are asked about.
    pub(super) async fn tell_session(
        self: &Arc<Self>,
        session: &Session,
        stanza: &Stanza,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        match worth::of(stanza, &session.account) {
            WakeWorth::Nothing | WakeWorth::Subscription(_) => Ok(()),
            WakeWorth::CallOver => self.over(&session.account, OverNews::Call, cx).await,
            WakeWorth::ReadElsewhere(chat) => {
                let over = OverNews::Read(&chat);
                self.over(&session.account, over, cx).await
            }
            WakeWorth::Message(said) => self.tell_device(session, &WakeNews::Message(&said), cx).await,
            WakeWorth::Call(from) => {
                self.tell_device(session, &WakeNews::Call(from.as_ref()), cx)
                    .await
            }
            WakeWorth::InRoom(said) => match self.room_wakes(session, stanza, &said, cx).await? {
                true => self.tell_device(session, &WakeNews::Message(&said), cx).await,
                false => Ok(()),
            },
        }
    }

    /// Tells those registrations of an account whose device is as given.
    pub(super) async fn tell_where(
        self: &Arc<Self>,
        account: &BareJid,
        news: &WakeNews<'_>,
        is_meant: impl Fn(&Registration, DeviceState) -> bool,
        cx: &mut Cx,
    ) -> Result<(), Fault> {
        let router = cx.router().clone();
        for registration in self.registrations.of(account).await?.iter() {
            let device = self.device(account, registration, &router).await;
            if is_meant(registration, device) {
                self.tell(account, registration, news, cx);
            }
        }
        Ok(())
    }
}

fn is_user(router: &Router, account: &BareJid) -> bool {
    router.destination(account.domain()) == Destination::Users
}

impl Hear<Waits> for Ears {
    async fn hear(&self, event: &mut Waits, cx: &mut Cx) -> Result<(), Fault> {
        let dispatch = &self.0;
        if let Some(session) = &event.session {
            // A room of this server tells of it by itself.
            return match session.has(Mark::Push) && !is_of_own_room(&event.stanza, cx.router()) {
                true => dispatch.tell_session(session, &event.stanza, cx).await,
                false => Ok(()),
            };
        }
        let is_away = |_: &Registration, device: DeviceState| !device.is_awake();
        match worth::of(&event.stanza, &event.account) {
            WakeWorth::Message(said) => {
                let news = WakeNews::Message(&said);
                dispatch.tell_where(&event.account, &news, is_away, cx).await
            }
            WakeWorth::Call(from) => {
                let news = WakeNews::Call(from.as_ref());
                dispatch.tell_where(&event.account, &news, is_away, cx).await
            }
            WakeWorth::CallOver => dispatch.over(&event.account, OverNews::Call, cx).await,
            WakeWorth::Nothing
            | WakeWorth::InRoom(_)
            | WakeWorth::Subscription(_)
            | WakeWorth::ReadElsewhere(_) => Ok(()),
        }
    }
}

/// A message that other devices of the account get reaches those that are gone by nothing but this. What is private to one
/// session is not for them.
impl On<Arrival> for Ears {
    async fn on(&self, event: &mut Arrival, cx: &mut Cx) -> Result<Flow, Fault> {
        let stanza = &event.stanza;
        if !matches!(
            stanza.kind,
            Kind::Message(MessageType::Normal | MessageType::Chat)
        ) || !matches!(event.verdict, Verdict::Chosen(_))
            || !is_user(cx.router(), &event.account)
            || cx.fact::<Redelivered>().is_some()
            || self.0.registrations.of(&event.account).await?.is_empty()
            || is_for_one_session(stanza)
        {
            return Ok(Flow::Next);
        }
        let is_gone = |_: &Registration, device: DeviceState| device == DeviceState::Gone;
        match worth::of(stanza, &event.account) {
            WakeWorth::Message(said) => {
                let news = WakeNews::Message(&said);
                self.0.tell_where(&event.account, &news, is_gone, cx).await?;
            }
            WakeWorth::Call(from) => {
                let news = WakeNews::Call(from.as_ref());
                self.0.tell_where(&event.account, &news, is_gone, cx).await?;
            }
            WakeWorth::CallOver => self.0.over(&event.account, OverNews::Call, cx).await?,
            _ => {}
        }
        Ok(Flow::Next)
    }
}

/// A user answers a call with one device, and others that were woken for it have no session to hear that in.
impl On<Departure> for Ears {
    async fn on(&self, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        if !matches!(event.stanza.kind, Kind::Message(_)) || !self.0.may_ring(cx.router()) {
            return Ok(Flow::Next);
        }
        let account = &event.session.account;
        if worth::of(&event.stanza, account) == WakeWorth::CallOver {
            self.0.over(account, OverNews::Call, cx).await?;
        }
        Ok(Flow::Next)
    }
}

/// As for carbons (XEP-0280 §6.1): whatever others would not get a copy of.
fn is_for_one_session(stanza: &Stanza) -> bool {
    let is_full = stanza.to.as_ref().is_some_and(|to| !to.is_bare());
    is_full && (stanza.has("no-copy", HINTS) || stanza.has("private", CARBONS) || stanza.has("x", MUC_USER))
}

/// What is written to a connection may not be heard there.
impl Hear<MayWait> for Ears {
    async fn hear(&self, event: &mut MayWait, cx: &mut Cx) -> Result<(), Fault> {
        let session = &event.session;
        let worth = worth::of(&event.stanza, &session.account);
        if worth == WakeWorth::Nothing {
            return Ok(());
        }
        let now = cx.router().clock().now();
        if !self.0.is_long_inactive(session, now) {
            if worth.wakes() {
                self.0.watch(session, cx.router());
            }
        } else if !is_of_own_room(&event.stanza, cx.router()) {
            self.0.tell_session(session, &event.stanza, cx).await?;
        }
        Ok(())
    }
}

/// What was on its way when the connection was lost.
impl Hear<SessionParked> for Ears {
    async fn hear(&self, event: &mut SessionParked, cx: &mut Cx) -> Result<(), Fault> {
        let session = &event.session;
        if !session.has(Mark::Push) {
            return Ok(());
        }
        let now = cx.router().clock().now();
        let account = session.account.clone();
        let is_worth = |stanza: &Stanza| worth::of(stanza, &account).wakes();
        match session.outbox.find_kept(now, is_worth) {
            Some(stanza) => self.0.tell_session(session, &stanza, cx).await,
            None => Ok(()),
        }
    }
}

// ——— the client is there ———

impl Hear<SessionStarted> for Ears {
    async fn hear(&self, event: &mut SessionStarted, cx: &mut Cx) -> Result<(), Fault> {
        match is_user(cx.router(), &event.session.account) {
            true => self.0.back(&event.session).await,
            false => Ok(()),
        }
    }
}

impl On<SessionResumed> for Ears {
    async fn on(&self, event: &mut SessionResumed, _: &mut Cx) -> Result<Flow, Fault> {
        if event.session.has(Mark::Push) {
            self.0.back(&event.session).await?;
        }
        Ok(Flow::Next)
    }
}

/// A client that says that its user looks, or confirms what it has, hears. That of a user who does not look confirms without
/// anybody having seen anything.
impl On<Nonza> for Ears {
    async fn on(&self, event: &mut Nonza, _: &mut Cx) -> Result<Flow, Fault> {
        let session = &event.session;
        if session.has(Mark::Push)
            && Dispatch::is_woken(session)
            && (event.element.name() == "active" || event.element.name() == "a" && !csi::is_inactive(session))
        {
            self.0.back(session).await?;
        }
        Ok(Flow::Next)
    }
}

/// What was read on one device needs no telling on another (XEP-0490).
impl Hear<Published> for Ears {
    async fn hear(&self, event: &mut Published, cx: &mut Cx) -> Result<(), Fault> {
        if event.node == DISPLAYED && is_user(cx.router(), &event.owner) {
            // Items have the chats' addresses for names.
            for item in &event.items {
                if let Ok(chat) = BareJid::parse(&item.id) {
                    self.0.over(&event.owner, OverNews::Read(&chat), cx).await?;
                }
            }
        }
        Ok(())
    }
}

// ——— the account ———

/// Somebody asks for a subscription, and the request is kept until it is answered (RFC 6121 §3.1.3).
impl Hear<RosterChanged> for Ears {
    async fn hear(&self, event: &mut RosterChanged, cx: &mut Cx) -> Result<(), Fault> {
        let (before, after) = event.states();
        let is_new = after.incoming == Half::Asked && before.incoming != Half::Asked;
        if !is_new || !self.0.config.subscriptions {
            return Ok(());
        }
        let from = event.contact.clone().into();
        let news = WakeNews::Subscription(Some(&from));
        let is_away = |_: &Registration, device: DeviceState| !device.is_awake();
        self.0.tell_where(&event.account, &news, is_away, cx).await
    }
}

/// Whoever had the old password may have a device that goes on being told when somebody writes.
impl Hear<PasswordChanged> for Ears {
    async fn hear(&self, event: &mut PasswordChanged, cx: &mut Cx) -> Result<(), Fault> {
        if self.0.config.outlives_password {
            return Ok(());
        }
        let all = self.0.registrations.of(&event.account).await?;
        let is_asker = |one: &Registration| event.asked_by.as_ref().is_some_and(|jid| one.is_of(jid));
        let others: Vec<_> = all.iter().filter(|one| !is_asker(one)).cloned().collect();
        self.0.remove(&event.account, &others, cx.router()).await
    }
}

impl Hear<AccountErased> for Ears {
    async fn hear(&self, event: &mut AccountErased, _: &mut Cx) -> Result<(), Fault> {
        self.0.registrations.forget(&event.account);
        Ok(())
    }
}

impl Hear<Opening> for Ears {
    async fn hear(&self, _: &mut Opening, cx: &mut Cx) -> Result<(), Fault> {
        self.0.take_up(cx.router());
        Ok(())
    }
}

// ——— app servers ———

impl On<Answer> for Ears {
    async fn on(&self, event: &mut Answer, cx: &mut Cx) -> Result<Flow, Fault> {
        let stanza = &event.stanza;
        let (Some(id), Some(from), Some(to)) = (&stanza.id, &stanza.from, &stanza.to) else {
            return Ok(Flow::Next);
        };
        if !id.starts_with(publish::ID) || !to.is_bare() {
            return Ok(Flow::Next);
        }
        let answer = publish::judge(stanza);
        match self.0.hear(id, from, &to.bare(), answer, cx).await {
            Ok(true) => Ok(Flow::Done),
            Ok(false) => Ok(Flow::Next),
            // The database is closed. What is owed is in it, and the next process sends it again.
            Err(_) if cx.router().is_stopping() => Ok(Flow::Done),
            Err(fault) => Err(fault),
        }
    }
}
