//! Two accounts that do not know each other publish their keys, fetch each other's, and exchange encrypted messages: what
//! fails in practice when a server's key nodes are not readable for all (XEP-0384 §5).

use std::io;
use std::time::Instant;

use kim_core::ns;
use kim_core::random;
use kim_core::wire::{El, Element, Writer};
use kim_omemo::Device;

use super::conversation::Conversation;
use super::{Guest, Place, wrong};

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

/// The whole conversation; tells how long it took.
pub(super) async fn round_trip(place: &Place, one: &Guest, other: &Guest) -> io::Result<String> {
    let began = Instant::now();
    let mut one = Side::begin(place, one).await?;
    let mut other = Side::begin(place, other).await?;
    let device = one.meet(&other.account).await?;
    if device != other.device.id() {
        return Err(wrong(
            "a device list names another device than its owner published",
        ));
    }
    let there = one.write(&other).await?;
    other.read(&one, &there).await?;
    let back = other.write(&one).await?;
    one.read(&other, &back).await?;
    let text = format!(
        "{} and {} published keys and wrote to each other encrypted, as strangers, in {} ms",
        one.account,
        other.account,
        began.elapsed().as_millis()
    );
    one.client.leave().await?;
    other.client.leave().await?;
    Ok(text)
}

/// One of the two.
struct Side {
    account: String,
    client: Conversation,
    device: Device,
}

impl Side {
    /// Logs in and publishes a new device's keys.
    async fn begin(place: &Place, guest: &Guest) -> io::Result<Side> {
        let client = Conversation::new(place.log_in(guest).await?);
        let id = u32::from_be_bytes(random::bytes()) >> 1 | 1;
        let mut side = Side {
            account: guest.account.to_string(),
            client,
            device: Device::new(id).map_err(io::Error::other)?,
        };
        let list = kim_omemo::device_list(&[id]);
        side.publish(kim_omemo::LIST_NODE, &list).await?;
        let bundle = side.device.bundle();
        side.publish(&kim_omemo::bundle_node(id), &bundle).await?;
        Ok(side)
    }

    /// Without options, as the client does that asks least of a server.
    async fn publish(&mut self, node: &str, payload: &str) -> io::Result<()> {
        let mut xml = Writer::new();
        xml.start("pubsub", PUBSUB);
        xml.start("publish", PUBSUB).attr("node", node);
        xml.start("item", PUBSUB).attr("id", "current").raw(payload).end();
        xml.end().end();
        self.client.request("set", None, &xml.finish_string()).await?;
        Ok(())
    }

    async fn fetch(&mut self, account: &str, node: &str) -> io::Result<Element> {
        let mut xml = Writer::new();
        xml.start("pubsub", PUBSUB);
        xml.start("items", PUBSUB)
            .attr("node", node)
            .attr("max_items", "1")
            .end();
        xml.end();
        self.client
            .request("get", Some(account), &xml.finish_string())
            .await
    }

    /// Fetches the keys of an account's device and begins a conversation with it.
    async fn meet(&mut self, account: &str) -> io::Result<u32> {
        let answer = self.fetch(account, kim_omemo::LIST_NODE).await?;
        let devices = payload(&answer).map(kim_omemo::devices).unwrap_or_default();
        let &[device] = devices.as_slice() else {
            return Err(wrong("the device list is not what was published"));
        };
        let answer = self.fetch(account, &kim_omemo::bundle_node(device)).await?;
        let bundle = payload(&answer).ok_or_else(|| wrong("the bundle is not there"))?;
        self.device
            .meet(account, device, bundle)
            .await
            .map_err(io::Error::other)?;
        Ok(device)
    }

    /// Writes something that nobody can guess, and tells what.
    async fn write(&mut self, to: &Side) -> io::Result<String> {
        let text = random::token();
        let recipients = [(to.account.as_str(), to.device.id())];
        let encrypted = self.device.encrypt(&text, &recipients).await;
        let mut xml = Writer::new();
        xml.start("message", ns::CLIENT)
            .attr("to", to.client.jid())
            .attr("type", "chat");
        xml.raw(&encrypted.map_err(io::Error::other)?).end();
        self.client.send(&xml.finish_string()).await?;
        Ok(text)
    }

    async fn read(&mut self, from: &Side, text: &str) -> io::Result<()> {
        loop {
            let message = self.client.message().await?;
            if message.attr("type").as_deref() == Some("error") {
                return Err(wrong("an encrypted message came back as an error"));
            }
            // The server itself may have something to say.
            let Some(encrypted) = message.child("encrypted", kim_omemo::NS) else {
                continue;
            };
            let read = self.device.decrypt(&from.account, encrypted).await;
            if read.map_err(io::Error::other)?.text.as_deref() != Some(text) {
                return Err(wrong("an encrypted message says something else than was written"));
            }
            return Ok(());
        }
    }
}

/// What the first item of an answer holds.
fn payload(answer: &Element) -> Option<El<'_>> {
    let items = answer.child("pubsub", PUBSUB)?.child("items", PUBSUB)?;
    items.child("item", PUBSUB)?.children().next()
}
