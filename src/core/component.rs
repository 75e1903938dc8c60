//! External components (XEP-0114): domains of this server that another program answers for, such as a gateway to IRC. The
//! configuration names them; a program is connected to one or it is not. What is sent to a component that is not connected
//! comes back at once: nothing is kept for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;
use crate::config::Config;
use crate::jid::Jid;
use crate::outbox::{Outbox, Refused};
use crate::stanza::Stanza;

/// A domain that a program outside answers for.
pub struct Component {
    domain: Box<str>,
    /// The outbox of the program that is connected.
    program: Mutex<Option<Arc<Outbox>>>,
}

/// Another program is connected for that domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyConnected;

impl Component {
    fn new(domain: &str) -> Arc<Component> {
        Arc::new(Component {
            domain: domain.into(),
            program: Mutex::new(None),
        })
    }

    /// Its domain, prepared.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether it may write this address into `from`: any at its own domain (XEP-0114 §3).
    pub fn speaks_for(&self, from: &Jid) -> bool {
        from.domain() == &*self.domain
    }

    /// Whether a program is there to take stanzas.
    pub fn is_connected(&self) -> bool {
        self.lock().as_ref().is_some_and(|outbox| !outbox.is_closed())
    }

    /// Connects the one program that may be. From here on it gets what is sent to the domain.
    pub fn connect(self: &Arc<Component>, outbox_bytes_max: usize) -> Result<Connected, AlreadyConnected> {
        let mut program = self.lock();
        if program.is_some() {
            return Err(AlreadyConnected);
        }
        let outbox = Arc::new(Outbox::new(outbox_bytes_max));
        *program = Some(outbox.clone());
        Ok(Connected {
            component: self.clone(),
            outbox,
        })
    }

    pub(crate) fn push(&self, stanza: Arc<Stanza>, received: Timestamp) -> Result<(), Refused> {
        let program = self.lock().clone();
        program.map_or(Err(Refused::Closed), |outbox| outbox.push(stanza, received))
    }

    /// A poisoned lock only means that another task panicked beside a plain assignment; the data is whole.
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Outbox>>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Component({})", self.domain)
    }
}

/// The connection of a program to its component. While it lives, no other program can connect for the domain.
pub struct Connected {
    component: Arc<Component>,
    outbox: Arc<Outbox>,
}

impl Connected {
    /// Which component it is.
    pub fn component(&self) -> &Arc<Component> {
        &self.component
    }

    /// What the program's connection writes next.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        *self.component.lock() = None;
    }
}

/// The components of the configuration, by domain. Empty on most servers: a look-up then costs nothing.
#[derive(Default)]
pub struct Components(HashMap<Box<str>, Arc<Component>>);

impl Components {
    pub(crate) fn of(config: &Config) -> Components {
        let all = config.components.iter();
        Components(
            all.map(|settings| (Box::from(&*settings.jid), Component::new(&settings.jid)))
                .collect(),
        )
    }

    /// The component of a domain.
    pub fn get(&self, domain: &str) -> Option<&Arc<Component>> {
        self.0.get(domain)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Component>> {
        self.0.values()
    }
}
