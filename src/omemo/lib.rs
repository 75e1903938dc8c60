//! A device that speaks OMEMO, version 0.3 of XEP-0384, as all clients do: what `kim check` and tests use to be on both sides
//! of a conversation. The server itself encrypts and decrypts nothing and does not go through here; `docs/decisions/0013`
//! says why there is such a crate and what it costs.
//!
//! A [`Device`] makes its keys, publishes them as a [`Device::bundle`], meets other devices by theirs, encrypts and decrypts.
//! It keeps everything in memory and trusts every identity that it is shown: whoever uses it compares
//! [`Device::fingerprint`]s if that matters.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod keys;
mod payload;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kim_wire::{El, Writer};
use wacore_libsignal::protocol::{
    CiphertextMessage, PreKeyBundle, PreKeySignalMessage, ProtocolAddress, SignalMessage,
    SignalProtocolError, UsePQRatchet, message_decrypt, message_encrypt, process_prekey_bundle,
};

use store::Store;

/// The namespace of this version.
pub const NS: &str = "eu.siacs.conversations.axolotl";
/// The node of the device list.
pub const LIST_NODE: &str = "eu.siacs.conversations.axolotl.devicelist";

/// The node of a device's bundle.
pub fn bundle_node(device: u32) -> String {
    format!("eu.siacs.conversations.axolotl.bundles:{device}")
}

/// Why something was not encrypted, decrypted or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Signal protocol refused.
    #[error("{0}")]
    Signal(#[from] SignalProtocolError),
    /// What came is not what it should be.
    #[error("{0}")]
    Malformed(&'static str),
    /// The message is not for this device.
    #[error("the message is not for this device")]
    NotForUs,
    /// The payload does not open with the key that came with it.
    #[error("the payload does not open with its key")]
    WrongKey,
}

/// A device: its keys and its conversations.
pub struct Device {
    id: u32,
    keys: keys::Keys,
    store: Store,
}

/// A message that was decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decrypted {
    /// What it says; nothing in a message that only moves keys.
    pub text: Option<String>,
    /// The device that wrote it.
    pub device: u32,
    /// Whether one of our prekeys was used up, so that the bundle must be published again.
    pub used_prekey: bool,
}

impl Device {
    /// A new device with new keys.
    pub fn new(id: u32) -> Result<Device, Error> {
        let (keys, store) = keys::generate()?;
        Ok(Device { id, keys, store })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The public identity key, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        data_encoding::HEXLOWER.encode(self.keys.identity.identity_key().public_key().public_key_bytes())
    }

    /// Its bundle as it is published, canonical XML.
    pub fn bundle(&self) -> String {
        self.keys.bundle(&self.store)
    }

    /// Begins a conversation with a device by its published bundle. Its signature is checked.
    pub async fn meet(&mut self, account: &str, device: u32, bundle: El<'_>) -> Result<(), Error> {
        let bundle: PreKeyBundle = keys::read(device, bundle)?;
        let Store {
            sessions, identities, ..
        } = &mut self.store;
        let address = address(account, device);
        process_prekey_bundle(
            &address,
            sessions,
            identities,
            &bundle,
            &mut store::random(),
            UsePQRatchet::No,
        )
        .await?;
        Ok(())
    }

    /// Whether there is a conversation with a device.
    pub fn knows(&self, account: &str, device: u32) -> bool {
        self.store.sessions.has(&address(account, device))
    }

    /// Encrypts a text for devices that were met; an `<encrypted/>`, canonical XML.
    pub async fn encrypt(&mut self, text: &str, to: &[(&str, u32)]) -> Result<String, Error> {
        let sealed = payload::seal(text.as_bytes())?;
        let mut keys = BTreeMap::new();
        for (account, device) in to {
            let Store {
                sessions, identities, ..
            } = &mut self.store;
            let message =
                message_encrypt(&sealed.key, &address(account, *device), sessions, identities).await?;
            keys.insert(*device, message);
        }
        let mut xml = Writer::new();
        xml.start("encrypted", NS);
        xml.start("header", NS).attr("sid", &self.id.to_string());
        for (device, message) in keys {
            xml.start("key", NS).attr("rid", &device.to_string());
            if matches!(message, CiphertextMessage::PreKeySignalMessage(_)) {
                xml.attr("prekey", "true");
            }
            xml.text(&encode(message.serialize())).end();
        }
        xml.start("iv", NS).text(&encode(&sealed.nonce)).end();
        xml.end();
        xml.start("payload", NS).text(&encode(&sealed.text)).end();
        xml.end();
        Ok(xml.finish_string())
    }

    /// Decrypts what a device of `account` wrote.
    pub async fn decrypt(&mut self, account: &str, encrypted: El<'_>) -> Result<Decrypted, Error> {
        let header = encrypted
            .child("header", NS)
            .ok_or(Error::Malformed("an encrypted message needs a header"))?;
        let device = number(header, "sid").ok_or(Error::Malformed("a header needs a sender"))?;
        let own = header
            .children()
            .find(|key| key.is("key", NS) && number(*key, "rid") == Some(self.id))
            .ok_or(Error::NotForUs)?;
        let bytes = decode(own)?;
        let message = match own.attr("prekey").as_deref() {
            Some("true" | "1") => {
                CiphertextMessage::PreKeySignalMessage(PreKeySignalMessage::try_from(&*bytes)?)
            }
            _ => CiphertextMessage::SignalMessage(SignalMessage::try_from(&*bytes)?),
        };
        let Store {
            sessions,
            identities,
            prekeys,
            signed_prekeys,
        } = &mut self.store;
        let address = address(account, device);
        let opened = message_decrypt(
            &message,
            &address,
            sessions,
            identities,
            prekeys,
            signed_prekeys,
            &mut store::random(),
            UsePQRatchet::No,
        )
        .await?;
        let key = zeroize::Zeroizing::new(opened.plaintext);
        if let Some(used) = opened.consumed_prekey_id {
            self.store.prekeys.replace(used, &mut self.keys)?;
        }
        let text = match encrypted.child("payload", NS) {
            None => None,
            Some(payload) => {
                let iv = header
                    .child("iv", NS)
                    .ok_or(Error::Malformed("a header needs an iv"))?;
                let text = payload::open(&key, &decode(iv)?, &decode(payload)?)?;
                Some(String::from_utf8(text).map_err(|_| Error::Malformed("the text is not UTF-8"))?)
            }
        };
        Ok(Decrypted {
            text,
            device,
            used_prekey: opened.consumed_prekey_id.is_some(),
        })
    }
}

/// A device list as it is published, canonical XML.
pub fn device_list(devices: &[u32]) -> String {
    let mut xml = Writer::new();
    xml.start("list", NS);
    for device in devices {
        xml.start("device", NS).attr("id", &device.to_string()).end();
    }
    xml.end();
    xml.finish_string()
}

/// The devices in a published list.
pub fn devices(list: El<'_>) -> Vec<u32> {
    let devices = list.children().filter(|child| child.is("device", NS));
    devices.filter_map(|device| number(device, "id")).collect()
}

fn address(account: &str, device: u32) -> ProtocolAddress {
    ProtocolAddress::new(account, device.into())
}

fn number(element: El<'_>, name: &str) -> Option<u32> {
    element.attr(name)?.parse().ok()
}

fn encode(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

fn decode(element: El<'_>) -> Result<Vec<u8>, Error> {
    let text: Vec<u8> = element
        .text()
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    data_encoding::BASE64
        .decode(&text)
        .map_err(|_| Error::Malformed("something is not Base64"))
}
