//! Sessions come and go: bound, replaced, ended, and with their account.

use std::sync::Arc;

use crate::error::{Fault, StreamCondition};
use crate::events::{AccountRemoved, BeforeLogin, SessionEnded, SessionStarted};
use crate::jid::BareJid;
use crate::session::{Parcel, Session, TooManyResources};
use crate::stanza::Stanza;

use super::Router;

impl Router {
    /// Registers a session under its full JID and tells the rooms. A session of the same full JID is ended with
    /// `conflict` (RFC 6120 §7.7.2.2).
    pub async fn start(&self, session: &Arc<Session>) -> Result<(), TooManyResources> {
        let resources_max = self.limits.resources_per_account_max;
        if let Some(replaced) = self.sessions.add(session, resources_max)? {
            replaced.close(StreamCondition::Conflict);
            self.tell_ended(&replaced).await;
        }
        self.cluster.announce(session);
        if let Some(mut cx) = self.cx_of(session) {
            let started = self
                .raise(
                    &mut SessionStarted {
                        session: session.clone(),
                    },
                    &mut cx,
                )
                .await;
            self.log_fault("session_start_failed", started.err());
            self.finish(cx).await;
        }
        Ok(())
    }

    /// Ends a session: the rooms are told, and messages it never wrote find another way where nobody else got
    /// them.
    pub async fn end(&self, session: &Arc<Session>, unwritten: impl IntoIterator<Item = Parcel>) {
        self.leave(session).await;
        for parcel in unwritten {
            self.reroute(session, &parcel.stanza, parcel.received).await;
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
            .raise(
                &mut SessionEnded {
                    session: session.clone(),
                },
                &mut cx,
            )
            .await;
        self.log_fault("session_end_failed", ended.err());
        self.finish(cx).await;
    }

    /// Lets a room answer an iq on a secured stream before login. `None`: nobody may ask that yet.
    pub async fn before_login(&self, mut event: BeforeLogin) -> Option<Stanza> {
        let mut cx = self.cx()?;
        let answer = match self.raise(&mut event, &mut cx).await {
            Ok(_) => event.reply,
            Err(fault) => fault.as_stanza_error().answer(&event.stanza),
        };
        self.finish(cx).await;
        answer
    }

    /// Erases an account: its contacts are told, its sessions leave the house, its rows go in one transaction. The
    /// sessions are handed back for the caller to close; nothing they still send is heard.
    pub async fn erase_account(&self, account: &BareJid) -> Result<Vec<Arc<Session>>, Fault> {
        let Some(mut cx) = self.cx() else {
            return Ok(Vec::new());
        };
        self.raise(
            &mut AccountRemoved {
                account: account.clone(),
            },
            &mut cx,
        )
        .await?;
        self.finish(cx).await;
        let sessions = self.sessions.all_of(account);
        for session in &sessions {
            self.leave(session).await;
        }
        self.accounts.delete(account, &self.tables.erasers).await?;
        self.seals.forget(account.as_str());
        Ok(sessions)
    }
}
