//! What is refused and why; then the module's stories, in memory.

mod bundles;
mod news;
mod nodes;
mod races;
mod removed;

use kim_core::testing::{Client, House};

use super::nodes::Protocol;

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

async fn house(toml: &str) -> House {
    House::configured(crate::MODULES, toml).await
}

/// A publish request, with publish-options if some are given.
fn publish(node: &str, item: &str, payload: &str, options: &[(&str, &str)]) -> String {
    let fields: String = options
        .iter()
        .map(|(var, value)| format!("<field var='pubsub#{var}'><value>{value}</value></field>"))
        .collect();
    let options = if options.is_empty() {
        String::new()
    } else {
        format!(
            "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
             <value>{PUBSUB}#publish-options</value></field>{fields}</x></publish-options>"
        )
    };
    format!(
        "<iq id='p' type='set'><pubsub xmlns='{PUBSUB}'><publish node='{node}'><item id='{item}'>{payload}</item></publish>\
         {options}</pubsub></iq>"
    )
}

fn fetch(account: &str, node: &str, item: Option<&str>) -> String {
    let item = item.map(|id| format!("<item id='{id}'/>")).unwrap_or_default();
    format!(
        "<iq id='f' type='get' to='{account}'><pubsub xmlns='{PUBSUB}'><items node='{node}'>{item}</items></pubsub></iq>"
    )
}

fn list(protocol: Protocol, devices: &[u32]) -> String {
    let name = match protocol {
        Protocol::Legacy => "list",
        Protocol::Two => "devices",
    };
    let devices: String = devices.iter().map(|id| format!("<device id='{id}'/>")).collect();
    format!("<{name} xmlns='{}'>{devices}</{name}>", protocol.ns())
}

/// Sends a request and gives its answer; what else came is put back into `rest`.
async fn answer(client: &mut Client, request: &str, rest: &mut Vec<String>) -> String {
    client.send(request).await;
    let mut found = None;
    while let Some(stanza) = client.next() {
        if stanza.starts_with("<iq ") && found.is_none() {
            found = Some(stanza);
        } else {
            rest.push(stanza);
        }
    }
    found.unwrap()
}

async fn publishes(client: &mut Client, node: &str, item: &str, payload: &str) -> Vec<String> {
    let mut rest = Vec::new();
    let result = answer(client, &publish(node, item, payload, &[]), &mut rest).await;
    assert!(result.contains("type='result'"), "{result}");
    rest
}

async fn publishes_list(client: &mut Client, protocol: Protocol, devices: &[u32]) -> Vec<String> {
    publishes(client, protocol.list_node(), "current", &list(protocol, devices)).await
}

async fn publishes_bundle(
    client: &mut Client,
    protocol: Protocol,
    device: u32,
    payload: &str,
) -> Vec<String> {
    let item = match protocol {
        Protocol::Legacy => "current".to_owned(),
        Protocol::Two => device.to_string(),
    };
    publishes(client, &protocol.bundle_node(device), &item, payload).await
}

/// The texts of the headlines from the server.
fn headlines(stanzas: &[String]) -> Vec<String> {
    let from_server = stanzas.iter().filter(|stanza| {
        stanza.starts_with("<message from='localhost'") && stanza.contains("type='headline'")
    });
    from_server
        .map(|stanza| {
            let body = stanza.split("<body>").nth(1).unwrap();
            body.split("</body>").next().unwrap().to_owned()
        })
        .collect()
}

fn everything(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.next()).collect()
}
