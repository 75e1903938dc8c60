//! How the two versions of OMEMO write the same keys (XEP-0384 §5.3), and the JSON in between.

use std::collections::BTreeSet;

use kim_core::wire::{El, Writer};
use serde::{Deserialize, Serialize};

/// Devices on a list, and prekeys in a bundle, that are read or written at most; the house judges what is right.
const PARTS_MAX: usize = 1_000;

/// A version of OMEMO: names of nodes, elements and attributes.
pub struct Format {
    /// What it is called here.
    pub version: &'static str,
    ns: &'static str,
    /// The node of the list of devices.
    pub list_node: &'static str,
    list: &'static str,
    bundle_nodes: &'static str,
    has_node_per_device: bool,
    identity_key: &'static str,
    signed_prekey: &'static str,
    signed_prekey_id: &'static str,
    signature: &'static str,
    prekey: &'static str,
    prekey_id: &'static str,
}

/// Both: the one that all clients speak today, and the newer one.
pub const FORMATS: [Format; 2] = [
    Format {
        version: "0.3",
        ns: "eu.siacs.conversations.axolotl",
        list_node: "eu.siacs.conversations.axolotl.devicelist",
        list: "list",
        bundle_nodes: "eu.siacs.conversations.axolotl.bundles:",
        has_node_per_device: true,
        identity_key: "identityKey",
        signed_prekey: "signedPreKeyPublic",
        signed_prekey_id: "signedPreKeyId",
        signature: "signedPreKeySignature",
        prekey: "preKeyPublic",
        prekey_id: "preKeyId",
    },
    Format {
        version: "2",
        ns: "urn:xmpp:omemo:2",
        list_node: "urn:xmpp:omemo:2:devices",
        list: "devices",
        bundle_nodes: "urn:xmpp:omemo:2:bundles",
        has_node_per_device: false,
        identity_key: "ik",
        signed_prekey: "spk",
        signed_prekey_id: "id",
        signature: "spks",
        prekey: "pk",
        prekey_id: "id",
    },
];

/// Which version.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Version {
    /// The one that all clients speak.
    #[serde(rename = "0.3")]
    Legacy,
    /// `urn:xmpp:omemo:2`
    #[serde(rename = "2")]
    Two,
}

impl Version {
    /// How it is written.
    pub fn format(self) -> &'static Format {
        let [legacy, two] = &FORMATS;
        match self {
            Version::Legacy => legacy,
            Version::Two => two,
        }
    }
}

/// A bundle in JSON. Keys and signatures are base64, as they stand in the element of that version.
#[derive(Debug, Deserialize, Serialize)]
pub struct Bundle {
    identity_key: String,
    signed_prekey: Signed,
    prekeys: Vec<Prekey>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Signed {
    id: u32,
    key: String,
    signature: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct Prekey {
    id: u32,
    key: String,
}

impl Format {
    /// Where a device's bundle is: the node, and the item there.
    pub fn bundle_place(&self, device: u32) -> (String, String) {
        match self.has_node_per_device {
            true => (format!("{}{device}", self.bundle_nodes), "current".to_owned()),
            false => (self.bundle_nodes.to_owned(), device.to_string()),
        }
    }

    /// The item to be removed for a device's bundle to be gone; `None`: the whole node.
    pub fn bundle_item(&self, device: u32) -> Option<String> {
        (!self.has_node_per_device).then(|| device.to_string())
    }

    /// The devices on a list, in the item of its node.
    pub fn devices(&self, item: El<'_>) -> BTreeSet<u32> {
        let list = item.child(self.list, self.ns);
        let devices = list.iter().flat_map(|list| list.children());
        devices
            .filter(|child| child.is("device", self.ns))
            .filter_map(|device| device.attr("id")?.parse().ok())
            .take(PARTS_MAX)
            .collect()
    }

    /// Writes a list of devices.
    pub fn write_devices(&self, devices: &BTreeSet<u32>, xml: &mut Writer) {
        xml.start(self.list, self.ns);
        for device in devices {
            xml.start("device", self.ns).attr("id", &device.to_string()).end();
        }
        xml.end();
    }

    /// Reads the bundle in an item.
    pub fn bundle(&self, item: El<'_>) -> Option<Bundle> {
        let bundle = item.child("bundle", self.ns)?;
        let text = |name| Some(bundle.child(name, self.ns)?.text().trim().to_owned());
        let signed = bundle.child(self.signed_prekey, self.ns)?;
        let prekeys = bundle.child("prekeys", self.ns)?;
        // Whatever else stands among them is no prekey, whoever judges (`kim_xep::xep0384_omemo::bundle`).
        let prekeys = prekeys.children().filter(|child| child.is(self.prekey, self.ns));
        let prekeys = prekeys.filter_map(|prekey| {
            Some(Prekey {
                id: prekey.attr(self.prekey_id)?.parse().ok()?,
                key: prekey.text().trim().to_owned(),
            })
        });
        Some(Bundle {
            identity_key: text(self.identity_key)?,
            signed_prekey: Signed {
                id: signed.attr(self.signed_prekey_id)?.parse().ok()?,
                key: signed.text().trim().to_owned(),
                signature: text(self.signature)?,
            },
            prekeys: prekeys.take(PARTS_MAX).collect(),
        })
    }

    /// Writes a bundle.
    pub fn write_bundle(&self, bundle: &Bundle, xml: &mut Writer) {
        xml.start("bundle", self.ns);
        xml.start(self.signed_prekey, self.ns)
            .attr(self.signed_prekey_id, &bundle.signed_prekey.id.to_string())
            .text(&bundle.signed_prekey.key)
            .end();
        xml.start(self.signature, self.ns)
            .text(&bundle.signed_prekey.signature)
            .end();
        xml.start(self.identity_key, self.ns)
            .text(&bundle.identity_key)
            .end();
        xml.start("prekeys", self.ns);
        for prekey in &bundle.prekeys {
            xml.start(self.prekey, self.ns)
                .attr(self.prekey_id, &prekey.id.to_string())
                .text(&prekey.key)
                .end();
        }
        xml.end().end();
    }
}

#[cfg(test)]
mod tests {
    use kim_core::wire::Element;

    use super::*;

    #[test]
    fn what_is_no_prekey_is_not_told_as_one() {
        let [legacy, _] = &FORMATS;
        let item = "<item xmlns='http://jabber.org/protocol/pubsub'>\
            <bundle xmlns='eu.siacs.conversations.axolotl'><identityKey>aWs=</identityKey>\
            <signedPreKeyPublic signedPreKeyId='7'>c3Br</signedPreKeyPublic>\
            <signedPreKeySignature>c3Brcw==</signedPreKeySignature><prekeys>\
            <preKeyPublic preKeyId='1'>cGsx</preKeyPublic><other preKeyId='2'>x</other>\
            <preKeyPublic xmlns='urn:x' preKeyId='3'>x</preKeyPublic></prekeys></bundle></item>";
        let bundle = legacy.bundle(Element::parse(item).unwrap().el()).unwrap();
        let ids: Vec<u32> = bundle.prekeys.iter().map(|prekey| prekey.id).collect();
        assert_eq!(ids, [1]);
    }

    #[test]
    fn a_bundle_comes_back_as_it_went_in_both_versions() {
        let json = serde_json::json!({
            "identity_key": "aWs=",
            "signed_prekey": { "id": 7, "key": "c3Br", "signature": "c3Brcw==" },
            "prekeys": [{ "id": 1, "key": "cGsx" }, { "id": 2, "key": "cGsy" }],
        });
        for format in &FORMATS {
            let bundle: Bundle = serde_json::from_value(json.clone()).unwrap();
            let mut xml = Writer::new();
            xml.start("item", "http://jabber.org/protocol/pubsub");
            format.write_bundle(&bundle, &mut xml);
            let item = Element::parse(&xml.finish_string()).unwrap();
            let back = format.bundle(item.el()).unwrap();
            assert_eq!(serde_json::to_value(back).unwrap(), json, "{}", format.version);
        }
    }
}
