//! What a device remembers, in memory: what the Signal library asks for.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use rand::{CryptoRng, Rng};
use wacore_libsignal::protocol::error::Result;
use wacore_libsignal::protocol::{
    Direction, IdentityChange, IdentityKey, IdentityKeyPair, IdentityKeyStore, PreKeyId, PreKeyRecord,
    PreKeyStore, ProtocolAddress, PublicKey, SessionRecord, SessionStore, SignalProtocolError,
    SignedPreKeyId, SignedPreKeyRecord, SignedPreKeyStore,
};

use crate::Error;
use crate::keys::Keys;

/// Random numbers for keys, seeded by the operating system.
pub fn random() -> impl CryptoRng + Send {
    rand::make_rng::<rand::rngs::StdRng>()
}

/// Random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    random().fill_bytes(&mut bytes);
    bytes
}

/// Everything a device remembers.
pub struct Store {
    pub sessions: Sessions,
    pub identities: Identities,
    pub prekeys: Prekeys,
    pub signed_prekeys: SignedPrekeys,
}

/// The state of each conversation.
#[derive(Default)]
pub struct Sessions(HashMap<ProtocolAddress, SessionRecord>);

impl Sessions {
    /// Whether there is one with a device.
    pub fn has(&self, address: &ProtocolAddress) -> bool {
        self.0.contains_key(address)
    }
}

#[async_trait]
impl SessionStore for Sessions {
    async fn load_session(&self, address: &ProtocolAddress) -> Result<Option<SessionRecord>> {
        Ok(self.0.get(address).cloned())
    }

    async fn has_session(&self, address: &ProtocolAddress) -> Result<bool> {
        Ok(self.has(address))
    }

    async fn store_session(&mut self, address: &ProtocolAddress, record: SessionRecord) -> Result<()> {
        self.0.insert(address.clone(), record);
        Ok(())
    }
}

/// The device's identity and those it has met.
pub struct Identities {
    own: IdentityKeyPair,
    met: HashMap<ProtocolAddress, IdentityKey>,
}

impl Identities {
    /// Those of a new device.
    pub fn new(own: IdentityKeyPair) -> Identities {
        let met = HashMap::new();
        Identities { own, met }
    }
}

#[async_trait]
impl IdentityKeyStore for Identities {
    async fn get_identity_key_pair(&self) -> Result<IdentityKeyPair> {
        Ok(self.own.clone())
    }

    async fn get_local_registration_id(&self) -> Result<u32> {
        // OMEMO has no use for it.
        Ok(0)
    }

    async fn save_identity(
        &mut self,
        address: &ProtocolAddress,
        identity: &IdentityKey,
    ) -> Result<IdentityChange> {
        let before = self.met.insert(address.clone(), *identity);
        Ok(match before {
            Some(before) if before != *identity => IdentityChange::ReplacedExisting,
            _ => IdentityChange::NewOrUnchanged,
        })
    }

    async fn is_trusted_identity(
        &self,
        address: &ProtocolAddress,
        identity: &IdentityKey,
        _: Direction,
    ) -> Result<bool> {
        Ok(self.met.get(address).is_none_or(|met| met == identity))
    }

    async fn get_identity(&self, address: &ProtocolAddress) -> Result<Option<IdentityKey>> {
        Ok(self.met.get(address).copied())
    }
}

/// Prekeys that nobody has used.
#[derive(Default)]
pub struct Prekeys(BTreeMap<u32, PreKeyRecord>);

impl Prekeys {
    /// Adds one.
    pub fn insert(&mut self, id: u32, record: PreKeyRecord) {
        self.0.insert(id, record);
    }

    /// Puts a new one in the place of one that was used (§5.6).
    pub fn replace(&mut self, used: PreKeyId, keys: &mut Keys) -> std::result::Result<(), Error> {
        self.0.remove(&u32::from(used));
        let (id, record) = keys.prekey();
        self.insert(id, record);
        Ok(())
    }

    /// Their public parts.
    pub fn public(&self) -> impl Iterator<Item = (u32, PublicKey)> + '_ {
        self.0
            .iter()
            .filter_map(|(id, record)| Some((*id, record.public_key().ok()?)))
    }
}

#[async_trait]
impl PreKeyStore for Prekeys {
    async fn get_pre_key(&self, id: PreKeyId) -> Result<PreKeyRecord> {
        let record = self.0.get(&u32::from(id)).cloned();
        record.ok_or(SignalProtocolError::InvalidPreKeyId)
    }

    async fn save_pre_key(&mut self, id: PreKeyId, record: &PreKeyRecord) -> Result<()> {
        self.insert(u32::from(id), record.clone());
        Ok(())
    }

    async fn remove_pre_key(&mut self, id: PreKeyId) -> Result<()> {
        self.0.remove(&u32::from(id));
        Ok(())
    }
}

/// The one signed prekey.
pub struct SignedPrekeys(pub u32, pub SignedPreKeyRecord);

#[async_trait]
impl SignedPreKeyStore for SignedPrekeys {
    async fn get_signed_pre_key(&self, id: SignedPreKeyId) -> Result<SignedPreKeyRecord> {
        if u32::from(id) == self.0 {
            Ok(self.1.clone())
        } else {
            Err(SignalProtocolError::InvalidSignedPreKeyId)
        }
    }

    async fn save_signed_pre_key(&mut self, id: SignedPreKeyId, record: &SignedPreKeyRecord) -> Result<()> {
        *self = SignedPrekeys(u32::from(id), record.clone());
        Ok(())
    }
}
