//! The list of an account's devices (§5.3.1).

use std::collections::BTreeSet;

use kim_core::wire::El;

use super::flaw::Flaw;
use super::nodes::{Protocol, is};

/// Reads the payload of a device list. Twice named is named. A list without a device is what a client publishes that stops
/// using OMEMO (§6).
pub fn check(protocol: Protocol, payload: El<'_>, devices_max: usize) -> Result<BTreeSet<u32>, Flaw> {
    let name = match protocol {
        Protocol::Legacy => "list",
        Protocol::Two => "devices",
    };
    if !is(&payload, name, protocol) {
        return Err(Flaw::WrongElement);
    }
    let mut devices = BTreeSet::new();
    for device in payload.children().filter(|child| is(child, "device", protocol)) {
        let id = device.attr("id").and_then(|id| protocol.device_id(&id));
        devices.insert(id.ok_or(Flaw::WrongDeviceId)?);
        if devices.len() > devices_max {
            return Err(Flaw::TooManyDevices);
        }
    }
    Ok(devices)
}
