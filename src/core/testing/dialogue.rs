//! Dialogue files: what people send and receive, as text that reads like the protocol.
//!
//! ```text
//! # XEP-0199 §4.2: a client pings its server
//! alice is alice@localhost/phone
//!
//! alice connects
//! alice sends
//!   <iq id='p1' to='localhost' type='get'><ping xmlns='urn:xmpp:ping'/></iq>
//! alice receives
//!   <iq id='p1' from='localhost' to='alice@localhost/phone' type='result'/>
//! ```
//!
//! The first lines that start with `#` say which section it shows. Steps: `connects` binds a session; `comes online`
//! also fetches the roster and sends presence, and reads what that brings; `sends` and `receives` are
//! followed by indented stanzas (patterns, see [`super::pattern`]); `receives in any order` is for several;
//! `receives nothing`; `disconnects`; `is ended with CONDITION`. The same file runs in memory and over TLS.

use std::collections::HashMap;
use std::future::Future;

use super::pattern::{self, Captures};
use super::{Client, House};

/// One step of a dialogue.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Binds a session.
    Connect,
    /// Binds a session, asks for the roster, sends presence and reads what comes.
    ComeOnline,
    /// Sends these stanzas.
    Send(Vec<String>),
    /// Receives exactly these next, in this order.
    Receive(Vec<String>),
    /// Receives exactly these next, in any order.
    ReceiveAnyOrder(Vec<String>),
    /// Has nothing to read.
    ReceiveNothing,
    /// Leaves without a word.
    Disconnect,
    /// The server ends the stream with this condition.
    Ended(String),
}

/// A parsed file: people by name, and what happens.
#[derive(Debug, Default)]
pub struct Script {
    /// Name → full JID.
    pub people: HashMap<String, String>,
    /// Who does what, with the line it stands on.
    pub steps: Vec<(usize, String, Step)>,
}

/// Reads a dialogue file; the error names the line.
pub fn parse(text: &str) -> Result<Script, String> {
    if !text.starts_with("# ") {
        return Err("line 1: a dialogue begins with '# ' and the section it shows".into());
    }
    let mut script = Script::default();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let number = at + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) = line
            .split_once(' ')
            .ok_or_else(|| format!("line {number}: not a step: {line}"))?;
        if let Some(jid) = rest.strip_prefix("is ").filter(|rest| rest.contains('/')) {
            script.people.insert(name.to_owned(), jid.trim().to_owned());
            continue;
        }
        let mut block = String::new();
        while let Some((_, indented)) = lines.next_if(|(_, line)| line.starts_with(' ') || line.is_empty()) {
            block.push_str(indented.trim_start());
            block.push('\n');
        }
        let step = match rest.trim() {
            "connects" => Step::Connect,
            "comes online" => Step::ComeOnline,
            "sends" => Step::Send(stanzas(&block)),
            "receives" => Step::Receive(stanzas(&block)),
            "receives in any order" => Step::ReceiveAnyOrder(stanzas(&block)),
            "receives nothing" => Step::ReceiveNothing,
            "disconnects" => Step::Disconnect,
            other => match other.strip_prefix("is ended with ") {
                Some(condition) => Step::Ended(condition.to_owned()),
                None => return Err(format!("line {number}: nobody knows how to '{other}'")),
            },
        };
        if let Step::Send(xml) | Step::Receive(xml) | Step::ReceiveAnyOrder(xml) = &step
            && xml.is_empty()
        {
            return Err(format!("line {number}: a stanza is missing"));
        }
        if !script.people.contains_key(name) {
            return Err(format!("line {number}: who is {name}?"));
        }
        script.steps.push((number, name.to_owned(), step));
    }
    Ok(script)
}

/// Splits a block into its stanzas: each begins a line with `<message`, `<presence` or `<iq`, unindented relative
/// to the block's markup.
fn stanzas(block: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut depth_closed = true;
    for line in block.lines() {
        if depth_closed {
            found.push(String::new());
        }
        if let Some(last) = found.last_mut() {
            last.push_str(line);
            last.push(' ');
            depth_closed = crate::wire::Element::parse(last.trim()).is_ok();
        }
    }
    found
        .into_iter()
        .map(|xml| xml.trim().to_owned())
        .filter(|xml| !xml.is_empty())
        .collect()
}

/// Where a dialogue is played: in memory, or against a server over TLS.
pub trait Theatre {
    /// Somebody's session there.
    type Actor: Actor;
    /// Binds a session for a full JID; the account is made if need be.
    fn connect(&mut self, jid: &str) -> impl Future<Output = Self::Actor>;
}

/// Somebody's session in a [`Theatre`].
pub trait Actor {
    /// Sends one stanza; when it returns the server has dealt with it.
    fn send(&mut self, xml: String) -> impl Future<Output = ()>;
    /// What comes next; `None` once it is sure that nothing does.
    fn next(&mut self) -> impl Future<Output = Option<String>>;
    /// Leaves without a word; returns when the server has noticed.
    fn disconnect(self) -> impl Future<Output = ()>;
    /// The stream error the server ends the session with, if it does.
    fn ended(&mut self) -> impl Future<Output = Option<String>>;
}

/// Plays a dialogue; the error names the line and the difference.
pub async fn play<T: Theatre>(script: &Script, theatre: &mut T) -> Result<(), String> {
    let mut actors: HashMap<&str, T::Actor> = HashMap::new();
    let mut captures = Captures::new();
    for (line, name, step) in &script.steps {
        let jid = &script.people[name];
        if matches!(step, Step::Connect | Step::ComeOnline) {
            let mut actor = theatre.connect(jid).await;
            if matches!(step, Step::ComeOnline) {
                actor
                    .send("<iq id='roster' type='get'><query xmlns='jabber:iq:roster'/></iq>".into())
                    .await;
                actor.send("<presence/>".into()).await;
                while actor.next().await.is_some() {}
            }
            actors.insert(name, actor);
            continue;
        }
        let Some(actor) = actors.get_mut(name.as_str()) else {
            return Err(format!("line {line}: {name} has not connected"));
        };
        match step {
            Step::Send(stanzas) => {
                for xml in stanzas {
                    actor.send(pattern::fill(xml, &captures)).await;
                }
            }
            Step::Receive(expected) => {
                for wanted in expected {
                    let Some(actual) = actor.next().await else {
                        return Err(format!("line {line}: {name} got nothing instead of {wanted}"));
                    };
                    pattern::matches(wanted, &actual, &mut captures).map_err(|why| {
                        format!("line {line}: {name}: {why}\nexpected {wanted}\n     got {actual}")
                    })?;
                }
            }
            Step::ReceiveAnyOrder(expected) => {
                let mut got = Vec::new();
                while got.len() < expected.len() {
                    match actor.next().await {
                        Some(actual) => got.push(actual),
                        None => break,
                    }
                }
                for wanted in expected {
                    let found = got
                        .iter()
                        .position(|xml| pattern::matches(wanted, xml, &mut captures).is_ok());
                    match found {
                        Some(at) => drop(got.remove(at)),
                        None => {
                            return Err(format!(
                                "line {line}: {name} did not get {wanted}\namong {got:#?}"
                            ));
                        }
                    }
                }
            }
            Step::ReceiveNothing => {
                if let Some(unexpected) = actor.next().await {
                    return Err(format!("line {line}: {name} got {unexpected}"));
                }
            }
            Step::Ended(condition) => match actor.ended().await {
                Some(found) if found == *condition => {}
                other => return Err(format!("line {line}: {name}'s stream ended with {other:?}")),
            },
            Step::Disconnect => {
                if let Some(actor) = actors.remove(name.as_str()) {
                    actor.disconnect().await;
                }
            }
            Step::Connect | Step::ComeOnline => {}
        }
    }
    Ok(())
}

impl Theatre for House {
    type Actor = Client;

    async fn connect(&mut self, jid: &str) -> Client {
        if jid.contains("@guest.") {
            self.guest(jid).await
        } else {
            House::connect(self, jid).await
        }
    }
}

impl Actor for Client {
    async fn send(&mut self, xml: String) {
        Client::send(self, &xml).await;
    }

    async fn next(&mut self) -> Option<String> {
        Client::next(self)
    }

    async fn disconnect(self) {
        Client::disconnect(self).await;
    }

    async fn ended(&mut self) -> Option<String> {
        self.closing().map(|error| error.condition.as_str().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_its_faults_are_named() {
        let text = "# X §1\nalice is alice@localhost/a\n\nalice connects\nalice sends\n  <message>\n    <body>x</body>\n  \
                    </message>\n  <presence/>\nalice receives nothing\nalice is ended with conflict\n";
        let script = parse(text).unwrap();
        assert_eq!(script.people["alice"], "alice@localhost/a");
        assert_eq!(script.steps.len(), 4);
        let Step::Send(sent) = &script.steps[1].2 else {
            panic!()
        };
        assert_eq!(sent.len(), 2);
        assert_eq!(script.steps[3].2, Step::Ended("conflict".into()));
        for (wrong, why) in [
            ("alice is a@b/c\n", "line 1"),
            ("# x\nbob sends\n  <a/>\n", "line 2: who is bob"),
            (
                "# x\nbob is b@l/r\nbob dances\n",
                "line 3: nobody knows how to 'dances'",
            ),
            ("# x\nbob is b@l/r\nbob sends\n", "line 3: a stanza is missing"),
        ] {
            assert!(parse(wrong).unwrap_err().starts_with(why), "{wrong}");
        }
    }
}
