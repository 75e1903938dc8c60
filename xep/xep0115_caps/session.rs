//! What one session announced, what it was asked, and what it can do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kim_core::stanza::Stanza;

use super::NS;
use super::api::Features;
use super::verify::Algorithm;

/// Hash function and verification string.
pub(super) type CapsKey = (Algorithm, Box<str>);

/// The longest attribute of a `<c/>` that is listened to, in bytes.
const ATTRIBUTE_BYTES_MAX: usize = 1_024;

/// The `<c/>` of a presence (§4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced {
    node: Box<str>,
    ver: Box<str>,
    /// Absent in the legacy format (§13) and with hash functions unknown here: nothing can be verified then.
    algorithm: Option<Algorithm>,
}

impl Announced {
    pub fn read(presence: &Stanza) -> Option<Announced> {
        let c = presence.child("c", NS)?;
        let attr = |name| {
            c.attr(name)
                .filter(|value| !value.is_empty() && value.len() <= ATTRIBUTE_BYTES_MAX)
        };
        let algorithm = c.attr("hash").and_then(|hash| Algorithm::named(&hash));
        Some(Announced {
            node: attr("node")?.into(),
            ver: attr("ver")?.into(),
            algorithm,
        })
    }

    /// What others may share once it is verified.
    pub fn key(&self) -> Option<CapsKey> {
        self.algorithm.map(|algorithm| (algorithm, self.ver.clone()))
    }

    /// The node to ask for (§6.2).
    pub fn asked_node(&self) -> String {
        format!("{}#{}", self.node, self.ver)
    }
}

/// The fact that this module leaves on a session.
#[derive(Default)]
pub(super) struct SessionCaps(Mutex<State>);

#[derive(Default)]
struct State {
    announced: Option<Announced>,
    /// The id of the one question that is open.
    asked: Option<String>,
    features: Option<Arc<Features>>,
}

impl SessionCaps {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a presence announced, and tells whether that is news.
    pub fn announce(&self, announced: &Announced) -> bool {
        let mut state = self.state();
        let news = state.announced.as_ref() != Some(announced);
        if news {
            state.announced = Some(announced.clone());
            state.asked = None;
        }
        news
    }

    /// Opens a question.
    pub fn ask(&self, id: &str) {
        self.state().asked = Some(id.to_owned());
    }

    /// Closes the question of that id and tells what it was about. Nobody else's answer fits.
    pub fn answered(&self, id: &str) -> Option<Announced> {
        let mut state = self.state();
        state.asked.take_if(|asked| asked == id)?;
        state.announced.clone()
    }

    /// Notes what the client can do and gives back what it could do before.
    pub fn learn(&self, features: &Arc<Features>) -> Option<Arc<Features>> {
        self.state().features.replace(features.clone())
    }

    /// The client is no longer available: with its next presence all begins anew.
    pub fn forget(&self) {
        *self.state() = State::default();
    }

    pub fn features(&self) -> Option<Arc<Features>> {
        self.state().features.clone()
    }
}
