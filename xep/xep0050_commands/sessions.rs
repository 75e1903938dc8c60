//! Command sessions (§3.3): between one session of an account and one command, forgotten when it ends, when nothing happens
//! in it, when its owner leaves, and when there are too many.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use kim_core::clock::Timestamp;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::At;
use kim_core::random;
use sha2::Sha256;

use super::CommandsConfig;
use super::api::NS;
use crate::xep0004_forms::api::Form;

/// Bytes of an id that are random; as many prove that the server gave it to this person for this command.
const RANDOM_BYTES: usize = 16;

/// Whose a session is and what for. Nobody else's id means anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionOwner {
    pub asker: Jid,
    pub at: At,
    pub account: BareJid,
    pub node: &'static str,
}

/// A session between two steps.
#[derive(Clone)]
pub(super) struct Open {
    pub owner: SessionOwner,
    /// The forms that were filled in.
    pub forms: Vec<Form>,
    /// Their bytes as they came.
    pub bytes: usize,
    /// Whether what is asked now is the last.
    pub last: bool,
    /// When something happened last.
    pub touched: Timestamp,
}

/// All of them.
pub(super) struct Sessions {
    open: Mutex<HashMap<String, Open>>,
    secret: [u8; 32],
    sessions_max: usize,
    per_account_max: usize,
    idle_seconds_max: u64,
}

impl Sessions {
    pub fn new(config: &CommandsConfig) -> Sessions {
        Sessions {
            open: Mutex::default(),
            secret: random::bytes(),
            sessions_max: config.sessions_max,
            per_account_max: config.sessions_per_account_max,
            idle_seconds_max: config.session_idle_seconds_max,
        }
    }

    /// An id for a new session.
    pub fn new_id(&self, owner: &SessionOwner) -> String {
        let mut id = random::bytes::<RANDOM_BYTES>().to_vec();
        let proof = self.proof(&id, owner);
        id.extend_from_slice(&proof);
        let mut text = BASE32_NOPAD.encode(&id);
        text.make_ascii_lowercase();
        text
    }

    fn proof(&self, random: &[u8], owner: &SessionOwner) -> [u8; RANDOM_BYTES] {
        let mut proof = [0; RANDOM_BYTES];
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else {
            return proof;
        };
        for part in [owner.asker.as_str(), owner.account.as_str(), owner.node] {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        mac.update(random);
        for (to, from) in proof.iter_mut().zip(mac.finalize().into_bytes()) {
            *to = from;
        }
        proof
    }

    /// Whether this server, since it was started, gave the id to this person for this command.
    fn was_given(&self, id: &str, owner: &SessionOwner) -> bool {
        let Ok(bytes) = BASE32_NOPAD.decode(id.to_ascii_uppercase().as_bytes()) else {
            return false;
        };
        let Some((random, proof)) = bytes.split_at_checked(RANDOM_BYTES) else {
            return false;
        };
        subtle::ConstantTimeEq::ct_eq(proof, self.proof(random, owner).as_slice()).into()
    }

    /// Keeps a session until its next step. An account that has too many loses its oldest.
    pub fn keep(&self, id: &str, session: Open, now: Timestamp) -> Result<(), Fault> {
        let mut open = self.lock();
        let account = session.owner.asker.bare();
        let own = || open.iter().filter(|(_, one)| one.owner.asker.bare() == account);
        if own().count() >= self.per_account_max {
            let oldest = own().min_by_key(|(_, one)| one.touched).map(|(id, _)| id.clone());
            oldest.and_then(|oldest| open.remove(&oldest));
        }
        if open.len() >= self.sessions_max {
            open.retain(|_, one| now.seconds_since(one.touched) < self.idle_seconds_max);
        }
        if open.len() >= self.sessions_max {
            return Err(StanzaError::new(Condition::ResourceConstraint)
                .kind(ErrorType::Wait)
                .text("too many commands are in use; try again later")
                .into());
        }
        open.insert(id.to_owned(), session);
        Ok(())
    }

    /// Takes a session out for its next step.
    pub fn take(&self, id: &str, owner: &SessionOwner, now: Timestamp) -> Result<Open, Fault> {
        let found = {
            let mut open = self.lock();
            match open.get(id) {
                Some(session) if session.owner == *owner => open.remove(id),
                _ => None,
            }
        };
        match found {
            Some(session) if now.seconds_since(session.touched) < self.idle_seconds_max => Ok(session),
            None if !self.was_given(id, owner) => Err(StanzaError::new(Condition::BadRequest)
                .detail("bad-sessionid", NS)
                .into()),
            _ => Err(StanzaError::new(Condition::NotAllowed)
                .detail("session-expired", NS)
                .into()),
        }
    }

    /// Somebody has left.
    pub fn forget(&self, asker: &Jid) {
        self.lock().retain(|_, session| session.owner.asker != *asker);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
