//! A device's own keys, and bundles as they are published.

use kim_wire::{El, Writer};
use wacore_libsignal::protocol::{
    GenericSignedPreKey, IdentityKey, IdentityKeyPair, KeyPair, PreKeyBundle, PreKeyId, PreKeyRecord,
    PublicKey, SignedPreKeyId, SignedPreKeyRecord, Timestamp,
};

use crate::store::{self, Identities, Prekeys, Sessions, SignedPrekeys, Store};
use crate::{Error, NS, decode, encode, number};

/// Prekeys in a bundle (§4.2).
const PREKEYS: u32 = 100;
const SIGNED_PREKEY: u32 = 1;

/// What the bundle needs beside the prekeys.
pub struct Keys {
    pub identity: IdentityKeyPair,
    signed_prekey: PublicKey,
    signature: Vec<u8>,
    next_prekey: u32,
}

/// New keys, and a store that has their private parts.
pub fn generate() -> Result<(Keys, Store), Error> {
    let mut random = store::random();
    let identity = IdentityKeyPair::generate(&mut random);
    let signed = KeyPair::generate(&mut random);
    let signature = identity
        .private_key()
        .calculate_signature(&signed.public_key.serialize(), &mut random)
        .map_err(|_| Error::Malformed("the identity key does not sign"))?;
    let record = SignedPreKeyRecord::new(
        SignedPreKeyId::from(SIGNED_PREKEY),
        Timestamp::from_epoch_millis(0),
        &signed,
        &signature,
    );
    let mut keys = Keys {
        identity: identity.clone(),
        signed_prekey: signed.public_key,
        signature: signature.to_vec(),
        next_prekey: 1,
    };
    let mut prekeys = Prekeys::default();
    for _ in 0..PREKEYS {
        let (id, record) = keys.prekey();
        prekeys.insert(id, record);
    }
    let store = Store {
        sessions: Sessions::default(),
        identities: Identities::new(identity),
        prekeys,
        signed_prekeys: SignedPrekeys(SIGNED_PREKEY, record),
    };
    Ok((keys, store))
}

impl Keys {
    /// A prekey that was never used.
    pub fn prekey(&mut self) -> (u32, PreKeyRecord) {
        let id = self.next_prekey;
        self.next_prekey += 1;
        let pair = KeyPair::generate(&mut store::random());
        (id, PreKeyRecord::new(PreKeyId::from(id), &pair))
    }

    /// The bundle.
    pub fn bundle(&self, store: &Store) -> String {
        let mut xml = Writer::new();
        xml.start("bundle", NS);
        xml.start("signedPreKeyPublic", NS)
            .attr("signedPreKeyId", &SIGNED_PREKEY.to_string())
            .text(&encode(&self.signed_prekey.serialize()))
            .end();
        xml.start("signedPreKeySignature", NS)
            .text(&encode(&self.signature))
            .end();
        xml.start("identityKey", NS)
            .text(&encode(&self.identity.identity_key().serialize()))
            .end();
        xml.start("prekeys", NS);
        for (id, key) in store.prekeys.public() {
            xml.start("preKeyPublic", NS)
                .attr("preKeyId", &id.to_string())
                .text(&encode(&key.serialize()))
                .end();
        }
        xml.end().end();
        xml.finish_string()
    }
}

/// Reads another device's bundle and picks one of its prekeys at random (§5.4).
pub fn read(device: u32, bundle: El<'_>) -> Result<PreKeyBundle, Error> {
    let part = |name| {
        bundle
            .child(name, NS)
            .ok_or(Error::Malformed("the bundle lacks a part"))
    };
    let signed = part("signedPreKeyPublic")?;
    let stock: Vec<El<'_>> = part("prekeys")?
        .children()
        .filter(|child| child.is("preKeyPublic", NS))
        .collect();
    let at = usize::from(u16::from_be_bytes(store::bytes())).checked_rem(stock.len());
    let prekey = at
        .and_then(|at| stock.get(at))
        .ok_or(Error::Malformed("the bundle has no prekey"))?;
    let id = |element, name| number(element, name).ok_or(Error::Malformed("a key lacks its id"));
    Ok(PreKeyBundle::new(
        0,
        device.into(),
        Some((PreKeyId::from(id(*prekey, "preKeyId")?), public(*prekey)?)),
        SignedPreKeyId::from(id(signed, "signedPreKeyId")?),
        public(signed)?,
        decode(part("signedPreKeySignature")?)?,
        IdentityKey::new(public(part("identityKey")?)?),
    )?)
}

fn public(element: El<'_>) -> Result<PublicKey, Error> {
    PublicKey::deserialize(&decode(element)?).map_err(|_| Error::Malformed("a key is none"))
}
