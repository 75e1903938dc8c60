//! Somebody with a bound session. Whatever they send, they know when the server has dealt with it: behind it goes a ping
//! to the server, and stanzas of one stream are dealt with in order (RFC 6120 §10.1), so its pong is the proof.

use std::collections::VecDeque;
use std::time::Duration;

use super::line::{Came, Line};
use super::process::Kim;

/// A bound session.
pub struct Person {
    /// The connection below.
    pub line: Line,
    /// The full JID as the server gave it.
    pub jid: String,
    inbox: VecDeque<String>,
    /// How the session ended: with a stream error's condition, or without a word.
    end: Option<Option<String>>,
    pings: u64,
}

impl Person {
    /// Signs in over Direct TLS; the account is made if need be.
    pub async fn connect(kim: &Kim, jid: &str) -> Person {
        let (account, _) = jid.split_once('/').expect("a full JID");
        let (_, domain) = account.split_once('@').expect("a localpart");
        if !domain.starts_with("guest.") {
            kim.account(account).await;
        }
        let line = Line::direct(kim, domain).await;
        Person::on(line, jid).await
    }

    /// Signs in on a secured connection.
    pub async fn on(mut line: Line, jid: &str) -> Person {
        let jid = line
            .log_in(jid)
            .await
            .unwrap_or_else(|why| panic!("{jid}: {why}"));
        Person {
            line,
            jid,
            inbox: VecDeque::new(),
            end: None,
            pings: 0,
        }
    }

    /// Signs in, asks for the roster, sends presence and reads away what that brings.
    pub async fn online(kim: &Kim, jid: &str) -> Person {
        let mut person = Person::connect(kim, jid).await;
        person
            .say("<iq id='roster' type='get'><query xmlns='jabber:iq:roster'/></iq><presence/>")
            .await;
        person.settle().await;
        person.inbox.clear();
        person
    }

    fn domain(&self) -> &str {
        let account = self.jid.split('/').next().unwrap_or_default();
        account.rsplit('@').next().unwrap_or_default()
    }

    /// Writes, and does not wait for anything but the socket.
    pub async fn say(&mut self, xml: &str) {
        if self.end.is_none() && self.line.write(xml.as_bytes()).await.is_err() {
            // What the server said before it hung up can still be read.
            while self.end.is_none() {
                self.read().await;
            }
        }
    }

    /// Writes, and returns when the server has dealt with it.
    pub async fn send(&mut self, xml: &str) {
        self.say(xml).await;
        self.settle().await;
    }

    /// Returns when the server has dealt with everything that was sent, and everything meant for this session by then
    /// has been read. Gives whether the session is still there.
    pub async fn settle(&mut self) -> bool {
        self.pings += 1;
        let id = format!("settled-{}", self.pings);
        let ping = format!(
            "<iq id='{id}' to='{}' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
            self.domain()
        );
        self.say(&ping).await;
        while self.end.is_none() {
            if let Some(answered) = self.read().await
                && answered == id
            {
                return true;
            }
        }
        false
    }

    /// Takes in what comes next; gives the id if it is the answer to one of our pings.
    async fn read(&mut self) -> Option<String> {
        match self.line.came().await {
            Came::Element(element) => {
                let id = element.attr("id").unwrap_or_default().into_owned();
                if element.name() == "iq" && id.starts_with("settled-") {
                    return Some(id);
                }
                let xml = String::from_utf8_lossy(element.bytes()).into_owned();
                self.inbox.push_back(xml);
            }
            Came::Error(condition) => self.end = Some(Some(condition)),
            Came::Close | Came::Gone => self.end = Some(None),
            Came::Header => panic!("{}: a second header", self.jid),
        }
        None
    }

    /// What came next; `None` once it is sure that nothing did.
    pub async fn next(&mut self) -> Option<String> {
        if self.inbox.is_empty() {
            self.settle().await;
        }
        self.inbox.pop_front()
    }

    /// Waits for a stanza that somebody else is still to send.
    pub async fn wait(&mut self) -> String {
        loop {
            if let Some(xml) = self.inbox.pop_front() {
                return xml;
            }
            assert!(
                self.end.is_none(),
                "{}: the session has ended: {:?}",
                self.jid,
                self.end
            );
            self.read().await;
        }
    }

    /// The same, but not for longer than that.
    pub async fn wait_up_to(&mut self, time: Duration) -> Option<String> {
        tokio::time::timeout(time, self.wait()).await.ok()
    }

    /// Everything that has come.
    pub async fn all(&mut self) -> Vec<String> {
        self.settle().await;
        self.inbox.drain(..).collect()
    }

    /// Everything that still comes before the session or its connection ends.
    pub async fn rest(&mut self) -> Vec<String> {
        while self.end.is_none() {
            self.read().await;
        }
        self.inbox.drain(..).collect()
    }

    /// The stream error that ended the session, if it has ended so.
    pub async fn ended(&mut self) -> Option<String> {
        self.settle().await;
        self.end.clone().flatten()
    }

    /// Leaves without a word; returns when the server has noticed and told everybody.
    pub async fn vanish(mut self) {
        self.line.half_close().await;
        if self.end.is_none() {
            self.line.gone().await;
        }
    }
}
