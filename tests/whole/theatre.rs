//! Dialogues against the server itself: everybody in them has a TLS connection.

use std::sync::{Arc, Mutex};

use kim_core::testing::dialogue::{Actor, Theatre};

use super::person::Person;
use super::process::Kim;

/// A stage for one dialogue.
pub struct Stage<'a> {
    kim: &'a Kim,
    guests: Names,
}

/// Guests' bare JIDs: as the script has them, and as the server made them.
type Names = Arc<Mutex<Vec<(String, String)>>>;

impl<'a> Stage<'a> {
    /// An empty stage.
    pub fn new(kim: &'a Kim) -> Stage<'a> {
        Stage {
            kim,
            guests: Names::default(),
        }
    }
}

/// Somebody on the stage.
pub struct Player {
    person: Person,
    guests: Names,
}

impl Theatre for Stage<'_> {
    type Actor = Player;

    async fn connect(&mut self, jid: &str) -> Player {
        let person = Person::connect(self.kim, jid).await;
        let bare = |jid: &str| jid.split('/').next().unwrap_or_default().to_owned();
        if jid.contains("@guest.") {
            self.guests
                .lock()
                .expect("no panic")
                .push((bare(jid), bare(&person.jid)));
        } else {
            assert_eq!(person.jid, jid, "the resource that was asked for");
        }
        Player {
            person,
            guests: self.guests.clone(),
        }
    }
}

impl Player {
    fn to_server(&self, xml: String) -> String {
        let guests = self.guests.lock().expect("no panic");
        guests
            .iter()
            .fold(xml, |xml, (scripted, real)| xml.replace(scripted, real))
    }

    fn to_script(&self, xml: String) -> String {
        let guests = self.guests.lock().expect("no panic");
        guests
            .iter()
            .fold(xml, |xml, (scripted, real)| xml.replace(real, scripted))
    }
}

impl Actor for Player {
    async fn send(&mut self, xml: String) {
        let xml = self.to_server(xml);
        self.person.send(&xml).await;
    }

    async fn next(&mut self) -> Option<String> {
        let xml = self.person.next().await?;
        Some(self.to_script(xml))
    }

    async fn disconnect(self) {
        self.person.vanish().await;
    }

    async fn ended(&mut self) -> Option<String> {
        self.person.ended().await
    }
}
