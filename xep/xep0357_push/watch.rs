//! Whether a device hears, and sessions whose clients do not seem to: a phone behind a dead NAT has a connection that takes
//! whatever it is sent. Only clients that acknowledge (XEP-0198) show that they do not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kim_core::clock::Timestamp;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::session::{Resource, Session};
use kim_core::stanza::Stanza;

use super::dispatch::Dispatch;
use super::registration::Registration;
use super::state::{WakeNews, WasWoken, Watched, after, lock};
use super::worth;
use crate::xep0352_csi::api as csi;

/// How a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeviceState {
    /// It has no session.
    Gone,
    /// It has one, and does not hear: without a connection, inactive for long, or silent.
    Asleep,
    /// It hears.
    Awake,
}

impl DeviceState {
    pub fn is_awake(self) -> bool {
        self == DeviceState::Awake
    }
}

impl Dispatch {
    /// How the device of a registration is.
    pub async fn device(
        &self,
        account: &BareJid,
        registration: &Registration,
        router: &Router,
    ) -> DeviceState {
        let sessions = router.sessions_of(account).await;
        let now = router.clock().now();
        match sessions.iter().find(|session| registration.is_of(&session.jid)) {
            None => DeviceState::Gone,
            Some(session) if session.is_parked() => DeviceState::Asleep,
            Some(Resource::Here(session)) if self.is_long_inactive(session, now) => DeviceState::Asleep,
            Some(Resource::Here(session)) if self.silent(session, now, |_| true).is_some() => {
                DeviceState::Asleep
            }
            Some(_) => DeviceState::Awake,
        }
    }

    /// Whether its user has not looked for so long that the device may sleep (XEP-0352).
    pub fn is_long_inactive(&self, session: &Session, now: Timestamp) -> bool {
        let since = csi::inactive_since(session);
        since.is_some_and(|since| now.seconds_since(since) >= self.config.inactive_seconds.into())
    }

    /// What a session was sent too long ago without acknowledging it.
    fn silent(
        &self,
        session: &Session,
        now: Timestamp,
        wanted: impl Fn(&Stanza) -> bool,
    ) -> Option<Arc<Stanza>> {
        let before = Timestamp(now.0 - i64::from(self.config.unanswered_seconds) * 1_000_000);
        session.outbox.find_kept(before, wanted)
    }

    /// A session is sent something that is worth being woken for. Whether it has it is looked at later.
    pub fn watch(self: &Arc<Self>, session: &Arc<Session>, router: &Arc<Router>) {
        if session.tally().is_none() {
            return;
        }
        let due = after(router.clock().now(), self.config.unanswered_seconds);
        lock(&self.watched).entry(session.id).or_insert_with(|| Watched {
            session: Arc::downgrade(session),
            due,
        });
        self.keep_ticking(router);
    }

    /// Wakes the devices of sessions that have been silent for too long.
    pub(super) async fn look_after_watched(
        self: &Arc<Self>,
        router: &Arc<Router>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let due: Vec<Watched> = {
            let mut watched = lock(&self.watched);
            watched
                .extract_if(|_, one| one.due <= now)
                .map(|(_, one)| one)
                .collect()
        };
        let sessions = due.iter().filter_map(|one| one.session.upgrade());
        for session in sessions.filter(|session| !session.has_left() && !session.is_parked()) {
            let account = session.account.clone();
            let is_worth = |stanza: &Stanza| worth::of(stanza, &account).wakes();
            match self.silent(&session, now, is_worth) {
                Some(stanza) => self.wake(&session, &stanza, router).await?,
                // There may be something younger.
                None if session.outbox.find_kept(now, is_worth).is_some() => self.watch(&session, router),
                None => {}
            }
        }
        Ok(())
    }

    /// Tells the device of a session of a stanza that waits there.
    async fn wake(
        self: &Arc<Self>,
        session: &Arc<Session>,
        stanza: &Stanza,
        router: &Arc<Router>,
    ) -> Result<(), Fault> {
        let Some(mut cx) = router.cx() else { return Ok(()) };
        self.tell_session(session, stanza, &mut cx).await?;
        router.finish(cx).await;
        Ok(())
    }

    /// Whether its client was woken and has not come back.
    pub fn is_woken(session: &Session) -> bool {
        session
            .known_fact::<WasWoken>()
            .is_some_and(|woken| woken.0.load(Ordering::Acquire))
    }

    /// Tells the registrations of a session's device.
    pub async fn tell_device(
        self: &Arc<Self>,
        session: &Session,
        news: &WakeNews<'_>,
        cx: &mut kim_core::cx::Cx,
    ) -> Result<(), Fault> {
        for registration in self.registrations.of(&session.account).await?.iter() {
            if registration.is_of(&session.jid) {
                self.tell(&session.account, registration, news, cx);
            }
        }
        Ok(())
    }
}
