//! The nodes that hold keys, of both versions of OMEMO, and what a device is called in them.

use kim_core::wire::El;

/// A version of the protocol, told apart by its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Version 0.3 of XEP-0384, which all clients speak: a bundle node for each device.
    Legacy,
    /// `urn:xmpp:omemo:2`: one node with an item for each device (§5.3.2).
    Two,
}

impl Protocol {
    /// Both.
    pub const ALL: [Protocol; 2] = [Protocol::Legacy, Protocol::Two];

    /// The namespace of its elements.
    pub fn ns(self) -> &'static str {
        match self {
            Protocol::Legacy => "eu.siacs.conversations.axolotl",
            Protocol::Two => "urn:xmpp:omemo:2",
        }
    }

    /// The node of the device list (§5.3.1).
    pub fn list_node(self) -> &'static str {
        match self {
            Protocol::Legacy => "eu.siacs.conversations.axolotl.devicelist",
            Protocol::Two => "urn:xmpp:omemo:2:devices",
        }
    }

    /// The node of a device's bundle (§5.3.2).
    pub fn bundle_node(self, device: u32) -> String {
        match self {
            Protocol::Legacy => format!("{LEGACY_BUNDLES}{device}"),
            Protocol::Two => TWO_BUNDLES.to_owned(),
        }
    }

    /// Device ids and key ids are numbers up to this one (§5.1). Version 0.3 says only that they are integers.
    fn id_max(self) -> u32 {
        match self {
            Protocol::Legacy => u32::MAX,
            Protocol::Two => i32::MAX as u32,
        }
    }

    /// Reads a device id.
    pub fn device_id(self, text: &str) -> Option<u32> {
        let id = number(text)?;
        (1..=self.id_max()).contains(&id).then_some(id)
    }

    /// Reads the id of a key. §5.3.2 wants at least 1, but clients of both versions begin with 0, and it harms nobody.
    pub fn key_id(self, text: &str) -> Option<u32> {
        number(text).filter(|id| *id <= self.id_max())
    }
}

/// Digits and nothing else: `+5` and ` 5` are read as numbers by some and not by others.
fn number(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

const LEGACY_BUNDLES: &str = "eu.siacs.conversations.axolotl.bundles:";
const TWO_BUNDLES: &str = "urn:xmpp:omemo:2:bundles";

/// A node that holds keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNode {
    /// The list of an account's devices.
    Devices(Protocol),
    /// The bundle of one device; no number where the node's name has none.
    LegacyBundle(Option<u32>),
    /// The bundles of all devices.
    Bundles,
}

impl KeyNode {
    /// The node called so, if it holds keys.
    pub fn of(node: &str) -> Option<KeyNode> {
        if let Some(device) = node.strip_prefix(LEGACY_BUNDLES) {
            return Some(KeyNode::LegacyBundle(Protocol::Legacy.device_id(device)));
        }
        if node == TWO_BUNDLES {
            return Some(KeyNode::Bundles);
        }
        Protocol::ALL
            .into_iter()
            .find(|protocol| protocol.list_node() == node)
            .map(KeyNode::Devices)
    }

    /// Its protocol.
    pub fn protocol(self) -> Protocol {
        match self {
            KeyNode::Devices(protocol) => protocol,
            KeyNode::LegacyBundle(_) => Protocol::Legacy,
            KeyNode::Bundles => Protocol::Two,
        }
    }

    /// The device whose bundle an item of this node is. Version 0.3 names it in the node, the newer one in the item.
    pub fn device(self, item_id: &str) -> Option<u32> {
        match self {
            KeyNode::Devices(_) => None,
            KeyNode::LegacyBundle(device) => device,
            KeyNode::Bundles => Protocol::Two.device_id(item_id),
        }
    }
}

/// An element of OMEMO, by its name.
pub fn is(element: &El<'_>, name: &str, protocol: Protocol) -> bool {
    element.is(name, protocol.ns())
}
