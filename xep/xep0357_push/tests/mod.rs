//! Stories of phones that sleep, and of app servers. Those are a server elsewhere, a component and a client.

mod answers;
mod commands;
mod devices;
mod members;
mod quiet;
mod stored;

use std::sync::Arc;

use kim_core::testing::{Client, House, Neighbour};

use super::dispatch::Dispatch;
use crate::MODULES;

/// The app server of most stories.
const APP: &str = "push.example.org";
/// A component stands ready to be one too. What stands in for encryption in these stories is none.
const CONFIG: &str = "[[component]]\njid = \"app.localhost\"\nsecret = \"open sesame\"\n\
                      [xep0384_omemo]\npolicy = \"off\"\n";

async fn house() -> House {
    House::configured(MODULES, CONFIG).await
}

/// What a client asks for, without what else belongs into it.
fn enable(service: &str, node: &str, inner: &str) -> String {
    format!(
        "<iq id='e' type='set'><enable xmlns='urn:xmpp:push:0' jid='{service}' node='{node}'>{inner}</enable></iq>"
    )
}

async fn register(client: &mut Client, service: &str, node: &str) {
    client
        .ask(&enable(service, node, ""), "<iq id='e' type='result'/>")
        .await;
}

/// A phone that is online, manages its stream and has registered.
async fn phone(house: &House, jid: &str, node: &str) -> Client {
    let mut phone = house.online(jid).await;
    manage(&mut phone).await;
    register(&mut phone, APP, node).await;
    phone.skip();
    phone
}

/// Enables stream management; what was written counts from here.
async fn manage(client: &mut Client) {
    client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    client.skip();
}

async fn chat(from: &mut Client, to: &str, body: &str) {
    from.send(&format!(
        "<message to='{to}' type='chat'><body>{body}</body></message>"
    ))
    .await;
}

/// A notification about so many messages, whose id is captured under a name.
fn notification(node: &str, messages: u32, id: &str) -> String {
    format!(
        "<iq from='alice@localhost' id='{{{id}}}' type='set'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <publish node='{node}'><item><notification xmlns='urn:xmpp:push:0'>{}</notification></item></publish>\
         </pubsub></iq>",
        summary(messages, "")
    )
}

fn summary(messages: u32, more: &str) -> String {
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
         <value>urn:xmpp:push:summary</value></field>\
         <field var='message-count'><value>{messages}</value></field>{more}</x>"
    )
}

fn field(var: &str, value: &str) -> String {
    format!("<field var='{var}'><value>{value}</value></field>")
}

/// The app server takes the notification with the captured id.
async fn take(app: &mut Neighbour, id: &str) {
    let answer = format!("<iq from='{APP}' to='alice@localhost' id='{{{id}}}' type='result'/>");
    assert_eq!(app.send(&answer).await, None);
}

/// The app server refuses it.
async fn refuse(app: &mut Neighbour, id: &str, kind: &str, condition: &str) {
    let answer = format!(
        "<iq from='{APP}' to='alice@localhost' id='{{{id}}}' type='error'><error type='{kind}'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    );
    assert_eq!(app.send(&answer).await, None);
}

fn dispatch(house: &House) -> Arc<Dispatch> {
    house.router.fact().expect("the module")
}

/// Time passes, and what is due then is done.
async fn later(house: &House, seconds: u64) {
    house.clock.advance(seconds);
    dispatch(house).tick(&house.router).await.unwrap();
}

/// What the metrics say failed for a reason.
fn failed(house: &House, reason: &str) -> u64 {
    let dispatch = dispatch(house);
    let found = dispatch.figures.failed().find(|(name, _)| *name == reason);
    found.expect("a reason").1
}
