//! The other nodes, as one small trait. A node asks it who else is there and hands it what is for them. With one
//! node there is nobody: [`Solo`].

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::jid::BareJid;
use crate::session::{Refused, Session, SessionCard};
use crate::stanza::Stanza;

/// What one node knows of the others. Local delivery never waits for it to be healthy.
pub trait Cluster: Send + Sync + 'static {
    /// Makes a session of this node known, and again whenever its presence or facts change.
    fn announce(&self, session: &Arc<Session>);

    /// Takes it back.
    fn withdraw(&self, session: &Session);

    /// The sessions that an account has on other nodes.
    fn elsewhere<'a>(&'a self, account: &'a BareJid) -> BoxFuture<'a, Vec<Arc<SessionCard>>>;

    /// Hands a stanza to the node of a session.
    fn deliver(&self, session: &SessionCard, stanza: &Arc<Stanza>) -> Result<(), Refused>;

    /// Whether this node is the only one, so that nobody needs to be asked.
    fn is_alone(&self) -> bool;
}

/// One node and nobody else.
pub struct Solo;

impl Cluster for Solo {
    fn announce(&self, _: &Arc<Session>) {}

    fn withdraw(&self, _: &Session) {}

    fn elsewhere<'a>(&'a self, _: &'a BareJid) -> BoxFuture<'a, Vec<Arc<SessionCard>>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn deliver(&self, _: &SessionCard, _: &Arc<Stanza>) -> Result<(), Refused> {
        Err(Refused::Closed)
    }

    fn is_alone(&self) -> bool {
        true
    }
}
