//! Sessions come and go: bound, replaced, parked while they have no connection, resumed, ended, and with their account.

use std::sync::Arc;

use crate::accounts::scram::Password;
use crate::accounts::{AccountError, Epoch};
use crate::error::{Fault, StreamCondition, StreamError};
use crate::events::{
    AccountErased, AccountRemoved, BeforeLogin, Opening, PasswordChanged, SessionEnded, SessionParked,
    SessionResumed, SessionStarted, Unbound,
};
use crate::jid::{BareJid, Jid};
use crate::session::{Parcel, Session, Step, TooManyResources};
use crate::stanza::{Kind, MessageType, Stanza};

use super::Router;
use super::delivery::stamp_late;

/// Why a session did not begin. Nothing of it is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// Its account has as many as it may have.
    TooManyResources,
    /// The password that let it in is not the account's any more, or the account is gone.
    Outdated,
    /// Whether it is could not be found out.
    Unavailable,
}

impl From<TooManyResources> for NotStarted {
    fn from(_: TooManyResources) -> NotStarted {
        NotStarted::TooManyResources
    }
}

impl Router {
    /// Registers a session under its full JID and tells the modules. A session of the same full JID is ended with
    /// `conflict` (RFC 6120 §7.7.2.2).
    pub async fn start(&self, session: &Arc<Session>) -> Result<(), TooManyResources> {
        self.add(session).await?;
        self.tell_started(session).await;
        Ok(())
    }

    /// The same for a session of an account that proved its password some time ago: only if that is still the password.
    pub async fn start_proved(&self, session: &Arc<Session>, epoch: Epoch) -> Result<(), NotStarted> {
        // Asked before, so that what was proved with an old password replaces nobody's session.
        self.check_epoch(&session.account, epoch).await?;
        self.add(session).await?;
        // And behind it: a change that this does not see yet sees the session, and ends it.
        if let Err(refused) = self.check_epoch(&session.account, epoch).await {
            self.sessions.remove(session);
            return Err(refused);
        }
        self.tell_started(session).await;
        Ok(())
    }

    /// Whether what was proved of an account still holds.
    pub async fn check_epoch(&self, account: &BareJid, epoch: Epoch) -> Result<(), NotStarted> {
        match self.accounts.epoch(account).await {
            Ok(now) if now == Some(epoch) => Ok(()),
            Ok(_) => Err(NotStarted::Outdated),
            Err(error) => {
                tracing::error!(event = "epoch_unknown", %error);
                Err(NotStarted::Unavailable)
            }
        }
    }

    /// Registers a session and ends the one that it replaces.
    async fn add(&self, session: &Arc<Session>) -> Result<(), TooManyResources> {
        let resources_max = self.limits.now().resources_per_account_max;
        let replaced = match self.sessions.add(session, resources_max) {
            Ok(replaced) => replaced,
            Err(TooManyResources) => {
                // One that has no connection makes room for one that has.
                let oldest = self.oldest_parked(&session.account).ok_or(TooManyResources)?;
                self.leave(&oldest).await;
                oldest.close(StreamCondition::ResourceConstraint);
                self.sessions.add(session, resources_max)?
            }
        };
        if let Some(replaced) = replaced {
            replaced.close(StreamCondition::Conflict);
            self.tell_ended(&replaced).await;
        }
        Ok(())
    }

    async fn tell_started(&self, session: &Arc<Session>) {
        self.cluster.announce(session);
        if let Some(mut cx) = self.cx_of(session) {
            let started = self
                .tell(
                    &mut SessionStarted {
                        session: session.clone(),
                    },
                    &mut cx,
                )
                .await;
            self.log_fault("session_start_failed", started.err());
            self.finish(cx).await;
        }
    }

    /// Gives an account another password. Its sessions end, but for the one that asked; its tokens are void; streams that
    /// have proved the old password and are not bound yet are refused when they bind.
    pub async fn change_password(
        &self,
        account: &BareJid,
        password: &Password,
        asked_by: Option<&Jid>,
    ) -> Result<(), AccountError> {
        self.accounts.set_password(account, password).await?;
        // Sessions that are registered from here on were compared with the new password.
        for session in self.sessions.of(account) {
            if asked_by != Some(&session.jid) {
                session.close(StreamError::new(StreamCondition::Reset).text("the password was changed"));
            }
        }
        if let Some(mut cx) = self.cx() {
            let mut changed = PasswordChanged {
                account: account.clone(),
                asked_by: asked_by.cloned(),
            };
            let told = self.tell(&mut changed, &mut cx).await;
            self.log_fault("password_change_unheard", told.err());
            self.finish(cx).await;
        }
        Ok(())
    }

    /// Tells the modules that the doors are about to open, once.
    pub async fn open(&self) {
        let Some(mut cx) = self.cx() else { return };
        let told = self.tell(&mut Opening, &mut cx).await;
        self.log_fault("opening_failed", told.err());
        self.finish(cx).await;
    }

    /// Ends a session: the modules are told, and messages it never wrote find another way where nobody else got
    /// them.
    pub async fn end(&self, session: &Arc<Session>, unwritten: impl IntoIterator<Item = Parcel>) {
        self.leave(session).await;
        self.give_back(session, unwritten).await;
    }

    /// What a session's client did not get finds another way.
    pub async fn give_back(&self, session: &Session, unwritten: impl IntoIterator<Item = Parcel>) {
        for parcel in unwritten {
            self.reroute(session, parcel).await;
        }
    }

    /// A session has lost its connection. Tells whether it stays, waiting for another; then whoever had the connection
    /// sees to it that the session ends one day.
    pub async fn park(&self, session: &Arc<Session>) -> bool {
        let is_resumable = session.tally().is_some_and(|tally| tally.resumable_seconds() > 0);
        if !is_resumable || session.has_left() || !session.outbox.park() {
            return false;
        }
        if session.step(Step::Park(self.clock.now())).is_none() {
            return false;
        }
        let mut event = SessionParked {
            session: session.clone(),
        };
        if let Some(mut cx) = self.cx() {
            let told = self.tell(&mut event, &mut cx).await;
            self.log_fault("session_park_failed", told.err());
            self.finish(cx).await;
        }
        true
    }

    /// A session goes on over another connection, whose client has `h` of its stanzas. What is to be written first is handed
    /// back; what waits follows. If it cannot go on, the new connection ends with the error, and the session is as it was.
    pub async fn resume(&self, session: &Arc<Session>, h: u32) -> Result<String, StreamError> {
        let mut event = SessionResumed {
            session: session.clone(),
            h,
            words: String::new(),
        };
        let mut cx = self.cx().ok_or(StreamCondition::InternalServerError)?;
        match self.raise(&mut event, &mut cx).await {
            Ok(_) => {}
            Err(Fault::Stream(error)) => return Err(error),
            Err(fault) => {
                self.log_fault("session_resume_failed", Some(fault));
                return Err(StreamCondition::InternalServerError.into());
            }
        }
        self.finish(cx).await;
        if session.step(Step::Resume).is_none() {
            return Err(StreamCondition::Conflict.into());
        }
        let now = self.clock.now();
        session.outbox.unpark(|parcel| {
            if let Some(stanza) = parcel.stanza.as_ref().filter(|stanza| waits(stanza)) {
                let mut late = Stanza::clone(stanza);
                if stamp_late(session, &mut late, parcel.received, now) {
                    *parcel = Parcel::of(Arc::new(late), parcel.received);
                }
            }
        });
        Ok(event.words)
    }

    /// The session of an account that has been without a connection for the longest time.
    fn oldest_parked(&self, account: &BareJid) -> Option<Arc<Session>> {
        let parked = |session: &Arc<Session>| session.parked_at();
        let all = self.sessions.of(account).into_iter();
        all.filter_map(|session| Some((parked(&session)?, session)))
            .min_by_key(|(since, _)| *since)
            .map(|(_, session)| session)
    }

    /// Ends the sessions of an account that have been without a connection for the longest time, down to so many.
    pub fn end_parked(&self, account: &BareJid, sessions_max: usize) {
        let parked = |sessions: &Arc<Session>| sessions.is_parked();
        while self
            .sessions
            .of(account)
            .iter()
            .filter(|session| parked(session))
            .count()
            > sessions_max
            && let Some(oldest) = self.oldest_parked(account)
        {
            oldest.close(
                StreamError::new(StreamCondition::ResourceConstraint)
                    .text("too many sessions are waiting to be resumed"),
            );
        }
    }

    /// Takes a session out of the house, once.
    async fn leave(&self, session: &Arc<Session>) {
        if self.sessions.remove(session) {
            self.cluster.withdraw(session);
            self.tell_ended(session).await;
        }
    }

    async fn tell_ended(&self, session: &Arc<Session>) {
        let Some(mut cx) = self.cx_of(session) else { return };
        let ended = self
            .tell(
                &mut SessionEnded {
                    session: session.clone(),
                },
                &mut cx,
            )
            .await;
        self.log_fault("session_end_failed", ended.err());
        self.finish(cx).await;
    }

    /// Lets a module answer an iq on a secured stream before login. `None`: nobody may ask that yet.
    pub async fn before_login(&self, mut event: BeforeLogin) -> Option<Stanza> {
        let mut cx = self.cx()?;
        let answer = match self.raise(&mut event, &mut cx).await {
            Ok(_) => event.reply,
            Err(fault) => fault.as_stanza_error().answer(&event.stanza),
        };
        self.finish(cx).await;
        answer
    }

    /// Asks the modules what a top-level element other than a stanza means, on a stream that has no session yet.
    pub async fn unbound(&self, event: &mut Unbound) -> Result<(), StreamError> {
        let mut cx = self.cx().ok_or(StreamCondition::InternalServerError)?;
        let heard = self.raise(event, &mut cx).await;
        self.finish(cx).await;
        match heard {
            Ok(_) => Ok(()),
            Err(Fault::Stream(error)) => Err(error),
            Err(fault) => {
                self.log_fault("unbound_element_failed", Some(fault));
                Err(StreamCondition::InternalServerError.into())
            }
        }
    }

    /// Erases an account: its contacts are told, its sessions leave the house, its rows go in one transaction. The
    /// sessions are handed back for the caller to close; nothing they still send is heard.
    pub async fn erase_account(&self, account: &BareJid) -> Result<Vec<Arc<Session>>, Fault> {
        let Some(mut cx) = self.cx() else {
            return Ok(Vec::new());
        };
        self.tell(
            &mut AccountRemoved {
                account: account.clone(),
            },
            &mut cx,
        )
        .await?;
        self.finish(cx).await;
        let mut sessions = self.sessions.all_of(account);
        for session in &sessions {
            self.leave(session).await;
        }
        self.accounts.delete(account, &self.tables.erasers).await?;
        // One that was bound meanwhile. From here on none is.
        for session in self.sessions.all_of(account) {
            self.leave(&session).await;
            sessions.push(session);
        }
        self.seals.forget(account.as_str());
        if let Some(mut cx) = self.cx() {
            let mut erased = AccountErased {
                account: account.clone(),
            };
            let told = self.tell(&mut erased, &mut cx).await;
            self.log_fault("account_end_unheard", told.err());
            self.finish(cx).await;
        }
        Ok(sessions)
    }
}

/// Whether it matters when this was said.
fn waits(stanza: &Stanza) -> bool {
    matches!(stanza.kind, Kind::Message(kind) if kind != MessageType::Error)
}
