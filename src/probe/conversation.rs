//! What a session asks and hears after login: requests with their answers, and messages.

use std::collections::VecDeque;
use std::io;

use kim_core::ns;
use kim_core::random;
use kim_core::wire::{Element, Frame, Writer};

use super::client::{ProbeClient, refused};
use super::wrong;

/// Messages kept while the answer to a request is awaited.
const MESSAGES_MAX: usize = 100;

/// A session and the messages that arrived while it waited for answers.
pub(super) struct Conversation {
    client: ProbeClient,
    messages: VecDeque<Element>,
}

impl Conversation {
    pub fn new(client: ProbeClient) -> Conversation {
        Conversation {
            client,
            messages: VecDeque::new(),
        }
    }

    /// The full JID of the session.
    pub fn jid(&self) -> &str {
        &self.client.jid
    }

    /// Sends canonical XML.
    pub async fn send(&mut self, xml: &str) -> io::Result<()> {
        self.client.send(xml).await
    }

    /// Sends a request and waits for its result; the payload is canonical XML. Messages that arrive meanwhile are kept.
    pub async fn request(&mut self, kind: &str, to: Option<&str>, payload: &str) -> io::Result<Element> {
        let id = random::token();
        let mut xml = Writer::new();
        xml.start("iq", ns::CLIENT).attr("type", kind).attr("id", &id);
        if let Some(to) = to {
            xml.attr("to", to);
        }
        xml.raw(payload).end();
        self.send(&xml.finish_string()).await?;
        loop {
            let stanza = self.stanza().await?;
            match stanza.name() {
                "message" if self.messages.len() < MESSAGES_MAX => self.messages.push_back(stanza),
                "iq" if stanza.attr("id").as_deref() == Some(&id) => {
                    return match stanza.attr("type").as_deref() {
                        Some("result") => Ok(stanza),
                        _ => Err(refused(&stanza)),
                    };
                }
                _ => {}
            }
        }
    }

    /// The next message.
    pub async fn message(&mut self) -> io::Result<Element> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Ok(message);
            }
            let stanza = self.stanza().await?;
            if stanza.name() == "message" {
                self.messages.push_back(stanza);
            }
        }
    }

    async fn stanza(&mut self) -> io::Result<Element> {
        match self.client.talk.frame().await? {
            Frame::Element(element) => Ok(element),
            _ => Err(wrong("the server closes the stream")),
        }
    }

    /// Closes the stream.
    pub async fn leave(self) -> io::Result<()> {
        self.client.leave().await
    }
}
