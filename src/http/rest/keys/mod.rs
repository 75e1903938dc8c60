//! Devices and keys of OMEMO (XEP-0384), for those who encrypt by themselves. What is published goes the way of any
//! publication, so broken keys are refused by the house, and everybody who watches the list is told.

pub mod format;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_core::jid::{BareJid, Jid};
use kim_xep::xep0384_omemo::api::Devices;
use serde::Deserialize;
use serde_json::{Value, json};

use self::format::{Bundle, FORMATS, Format, Version};
use super::body::{Asked, Given, Segment};
use super::guard::{Caller, Manage, May, Read};
use super::nodes;
use super::problem::{Problem, written};
use super::send::address;
use crate::http::Web;

/// The item of a list (XEP-0384 §5.3.1).
const CURRENT: &str = "current";
/// How often a list is written again that somebody else wrote meanwhile (§5.3.1).
const TRIES_MAX: usize = 5;

/// Whose devices; not set, one's own.
#[derive(Deserialize)]
pub(super) struct Whose {
    user: Option<String>,
}

/// Which keys.
#[derive(Deserialize)]
pub(super) struct Which {
    user: Option<String>,
    device: u32,
    version: Version,
}

/// A bundle to be published.
#[derive(Deserialize)]
pub(super) struct Publication {
    device: u32,
    version: Version,
    #[serde(flatten)]
    bundle: Bundle,
}

/// Whose; with how to ask there (`None`: one's own account).
fn whose(caller: &Caller, user: Option<&str>) -> Result<(BareJid, Option<Jid>), Problem> {
    let user = match user {
        Some(user) => address(user, &caller.account)?,
        None => caller.account.clone(),
    };
    let to = (user != caller.account).then(|| user.clone().into());
    Ok((user, to))
}

/// `GET /api/devices`
pub(super) async fn devices(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
    Asked(asked): Asked<Whose>,
) -> Result<Response, Problem> {
    let (user, to) = whose(&caller, asked.user.as_deref())?;
    let mut versions: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for format in &FORMATS {
        for device in listed(&web, &caller, to.as_ref(), format).await? {
            versions.entry(device).or_default().push(format.version);
        }
    }
    // What only the server knows is shown to the owner alone.
    let known = match web.router().fact::<Devices>() {
        Some(devices) if to.is_none() => devices.of(web.router(), &user).await?,
        _ => Vec::new(),
    };
    let devices: Vec<Value> = versions
        .into_iter()
        .map(|(id, versions)| {
            let mut told = json!({ "id": id, "versions": versions });
            if let Some(device) = known.iter().find(|device| device.id == id) {
                told["fingerprint"] = json!(device.fingerprint);
                told["prekeys"] = json!(device.prekeys);
                told["since"] = json!(device.since.map(|since| since.to_string()));
            }
            told
        })
        .collect();
    Ok(written(
        StatusCode::OK,
        &json!({ "user": user.as_str(), "devices": devices }),
    ))
}

async fn listed(
    web: &Arc<Web>,
    caller: &Caller,
    of: Option<&Jid>,
    format: &Format,
) -> Result<BTreeSet<u32>, Problem> {
    let items = nodes::items(web, caller, of, format.list_node, None).await?;
    let newest = items.last();
    Ok(newest
        .map(|(_, item)| format.devices(item.el()))
        .unwrap_or_default())
}

/// `DELETE /api/devices/{id}`: off the lists, and its keys are gone.
pub(super) async fn remove(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Segment(device): Segment<u32>,
) -> Result<Response, Problem> {
    let mut was_there = false;
    for format in &FORMATS {
        was_there |= list(&web, &caller, format, device, false).await?;
        let (node, _) = format.bundle_place(device);
        let item = format.bundle_item(device);
        was_there |= nodes::remove(&web, &caller, &node, item.as_deref()).await?;
    }
    match was_there {
        true => Ok(written(StatusCode::OK, &json!({}))),
        false => Err(Problem::not_found(format!(
            "you have no device with the id {device}"
        ))),
    }
}

/// `GET /api/keys`
pub(super) async fn keys(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Read>,
    Asked(asked): Asked<Which>,
) -> Result<Response, Problem> {
    let (user, to) = whose(&caller, asked.user.as_deref())?;
    let format = asked.version.format();
    let (node, item) = format.bundle_place(asked.device);
    // Clients of version 0.3 give the one item whatever id they like.
    let item = format.bundle_item(asked.device).map(|_| item);
    let items = nodes::items(&web, &caller, to.as_ref(), &node, item.as_deref()).await?;
    let bundle = items.last().and_then(|(_, item)| format.bundle(item.el()));
    let bundle = bundle.ok_or_else(|| {
        let (device, version) = (asked.device, format.version);
        Problem::not_found(format!(
            "{user} has no keys for device {device}, version {version}"
        ))
    })?;
    let mut told = serde_json::to_value(bundle).map_err(|_| Problem::ours())?;
    told["user"] = user.as_str().into();
    told["device"] = asked.device.into();
    told["version"] = format.version.into();
    Ok(written(StatusCode::OK, &told))
}

/// `PUT /api/keys`: the bundle first, then the list, so a device on the list always has keys.
pub(super) async fn publish(
    State(web): State<Arc<Web>>,
    May(caller, _): May<Manage>,
    Given(wanted): Given<Publication>,
) -> Result<Response, Problem> {
    let format = wanted.version.format();
    let (node, item) = format.bundle_place(wanted.device);
    let bundle = |xml: &mut kim_core::wire::Writer| format.write_bundle(&wanted.bundle, xml);
    nodes::publish(&web, &caller, &node, &item, bundle).await?;
    list(&web, &caller, format, wanted.device, true).await?;
    let told = json!({ "device": wanted.device, "version": format.version });
    Ok(written(StatusCode::OK, &told))
}

/// Puts a device on a list or takes it off; tells whether that was a change. Should another client write the list at the
/// same moment, it is done again.
async fn list(
    web: &Arc<Web>,
    caller: &Caller,
    format: &Format,
    device: u32,
    is_to_be_there: bool,
) -> Result<bool, Problem> {
    for round in 0..TRIES_MAX {
        let mut devices = listed(web, caller, None, format).await?;
        let is_new = match is_to_be_there {
            true => devices.insert(device),
            false => devices.remove(&device),
        };
        if !is_new {
            return Ok(round > 0);
        }
        let written = |xml: &mut kim_core::wire::Writer| format.write_devices(&devices, xml);
        nodes::publish(web, caller, format.list_node, CURRENT, written).await?;
    }
    Err(Problem::too_many(
        "the device list is being changed by another client; try again",
    ))
}
