//! The events of the house itself. Rooms that others may want to hear declare their own in their `api.rs`.

use std::net::IpAddr;
use std::sync::Arc;

use crate::error::StanzaError;
use crate::facts::Facts;
use crate::hook::{Event, Notice};
use crate::jid::{BareJid, Jid};
use crate::router::Destination;
use crate::session::{Resources, Session};
use crate::stanza::Stanza;
use crate::wire::Element;

/// A stanza leaves a local account: one of its sessions sent it. `from` is the session's full JID and `to` is
/// as the client wrote it. `Done` means that a module has dealt with it and it goes nowhere else.
pub struct Departure {
    /// The stanza on its way.
    pub stanza: Stanza,
    /// The session that sent it.
    pub session: Arc<Session>,
}

impl Event for Departure {
    const NAME: &'static str = "departure";
}

/// A message or presence arrives at a local account or guest. Hooks of the stage `Deliver` give the verdict.
/// An iq passes too, so that `Admit` hooks can refuse it; its addressee is already known then.
pub struct Arrival {
    /// The stanza as the recipient will see it.
    pub stanza: Stanza,
    /// Whom it is for.
    pub account: BareJid,
    /// What becomes of it.
    pub verdict: Verdict,
}

impl Event for Arrival {
    const NAME: &'static str = "arrival";
}

/// What becomes of a stanza that arrived.
pub enum Verdict {
    /// Nobody decided yet; left so, a message or request is answered with `service-unavailable`.
    Open,
    /// These sessions get it.
    Chosen(Resources),
    /// Nobody is there to take it: [`Undelivered`] is raised.
    Nobody,
    /// It ends here, in silence.
    Dropped,
    /// Its sender gets this error.
    Bounced(StanzaError),
}

/// A stanza arrives at a service of this house: at its domain, at something there (a room), or at a resource of that (an
/// occupant). `Done` means that the service has dealt with it. What is left is answered: a request to the domain or a bare
/// JID by its handler, a message or another request with `service-unavailable`.
///
/// The sender may be anybody: an account, a guest, a remote entity. Block lists stand at accounts, so that what a
/// service sends passes them as [`Arrival`].
pub struct ServiceArrival {
    /// The stanza.
    pub stanza: Stanza,
    /// Which service ([`crate::module::Registrar::service`]).
    pub service: &'static str,
    /// Who sent it.
    pub from: Jid,
    /// Where to.
    pub to: Jid,
}

impl Event for ServiceArrival {
    const NAME: &'static str = "service-arrival";
}

/// A stanza comes in from outside: an external component or another server sent it, for anybody here, the server itself and its
/// services included. Its sender has been proved. `Done` means that it goes nowhere else.
pub struct Entering {
    /// The stanza.
    pub stanza: Stanza,
}

impl Event for Entering {
    const NAME: &'static str = "entering";
}

/// A stanza leaves this server: it is for an external component or for somebody on another server. Whatever goes out passes
/// here, be it sent by a session ([`Departure`] was raised before) or by the server in an account's name. `Done` means that
/// it goes nowhere.
pub struct Leaving {
    /// The stanza.
    pub stanza: Stanza,
    /// Which way out: [`Destination::Component`] or [`Destination::Remote`].
    pub to: Destination,
}

impl Event for Leaving {
    const NAME: &'static str = "leaving";
}

/// A message found no session at a local account. A hook that keeps it says so; what nobody keeps comes back to its sender as
/// `service-unavailable` (RFC 6121 §8.5.2.2).
pub struct Undelivered {
    /// The message.
    pub stanza: Stanza,
    /// Whom it was for.
    pub account: BareJid,
    /// Whether it is kept.
    pub keeping: Keeping,
}

/// Whether a message that found no session is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Nobody has kept it: its sender is told.
    Nobody,
    /// It is stored until a session of the account comes: [`Waits`] is raised once the commit is done.
    Stored,
    /// It needs no more attention: somebody came meanwhile and got it, or it means nothing later on.
    Settled,
}

impl Notice for Undelivered {
    const NAME: &'static str = "undelivered";
}

/// A stanza waits for its recipient: it is stored for an account that is away, or in the outbox of a session that has lost its
/// connection. All commits are done. Push services are told of it here, whatever made the stanza wait.
pub struct Waits {
    /// Whose client is to get it.
    pub account: BareJid,
    /// The session it waits in; none where it waits for any session of the account.
    pub session: Option<Arc<Session>>,
    /// What waits.
    pub stanza: Arc<Stanza>,
}

impl Notice for Waits {
    const NAME: &'static str = "waits";
}

/// A stanza has entered the outbox of a session that has a connection and whose client can be woken
/// ([`Mark::Push`](crate::session::Mark)). Whether anybody hears it there is not known yet.
pub struct MayWait {
    /// The session.
    pub session: Arc<Session>,
    /// What it was given.
    pub stanza: Arc<Stanza>,
}

impl Notice for MayWait {
    const NAME: &'static str = "may-wait";
}

/// A message is for an account of this server that does not exist. The first hook that wants its sender to hear nothing
/// answers `Done`; otherwise the sender gets `service-unavailable` (RFC 6121 §8.5.1).
pub struct NoSuchAccount {
    /// The message.
    pub stanza: Stanza,
    /// The address that no account has.
    pub account: BareJid,
}

impl Event for NoSuchAccount {
    const NAME: &'static str = "no-such-account";
}

/// A message of a session comes back from the house itself. The error goes straight to that session, which is not an
/// arrival; this tells those whose business the account's other sessions are.
pub struct Bounce {
    /// The error.
    pub stanza: Stanza,
    /// The session that sent what failed.
    pub session: Arc<Session>,
}

impl Notice for Bounce {
    const NAME: &'static str = "bounce";
}

/// A stanza is about to enter one session's outbox. `Done` means that the session does not get it now.
pub struct Delivery {
    /// What is sent.
    pub stanza: Arc<Stanza>,
    /// To whom.
    pub session: Arc<Session>,
}

impl Event for Delivery {
    const NAME: &'static str = "delivery";
}

/// An element on the first level of a bound stream that is not a stanza: client states, acknowledgements. `Done` means that
/// a module has understood it; otherwise the stream ends with `unsupported-stanza-type` (RFC 6120 §4.9.3.24). It has its
/// turn among the stanzas of its stream like one of them.
pub struct Nonza {
    /// What came.
    pub element: Element,
    /// The session whose client sent it.
    pub session: Arc<Session>,
}

impl Event for Nonza {
    const NAME: &'static str = "nonza";
}

/// A session has bound its resource; nothing was sent to it yet.
pub struct SessionStarted {
    /// The new session.
    pub session: Arc<Session>,
}

impl Notice for SessionStarted {
    const NAME: &'static str = "session-started";
}

/// A session is over; it is no longer among the account's sessions.
pub struct SessionEnded {
    /// The session that was.
    pub session: Arc<Session>,
}

impl Notice for SessionEnded {
    const NAME: &'static str = "session-ended";
}

/// A session has lost its connection and waits for another. It stays available, in rooms and wherever else it is; what it
/// gets waits in its outbox.
pub struct SessionParked {
    /// The session.
    pub session: Arc<Session>,
}

impl Notice for SessionParked {
    const NAME: &'static str = "session-parked";
}

/// A session goes on over another connection. Nothing was written there yet. A hook that fails with a stream error ends the
/// new connection, and the session waits on.
pub struct SessionResumed {
    /// The session.
    pub session: Arc<Session>,
    /// How many of the session's stanzas the client says it has.
    pub h: u32,
    /// What is written first: canonical XML.
    pub words: String,
}

impl Event for SessionResumed {
    const NAME: &'static str = "session-resumed";
}

/// An element on the first level that is not a stanza, on a stream without a session: before login or before binding.
/// Unanswered, the stream ends as for anything that means nothing there.
pub struct Unbound {
    /// What came.
    pub element: Element,
    /// The account that has logged in, if any.
    pub account: Option<BareJid>,
    /// What becomes of the stream.
    pub verdict: Early,
}

/// What becomes of a stream after an early element.
pub enum Early {
    /// Nobody knows what to do with it.
    Unknown,
    /// This is answered, canonical XML, and the stream goes on as before.
    Answered(String),
    /// The stream takes over this session, instead of binding a new one.
    Resume {
        /// The session.
        session: Arc<Session>,
        /// How many of its stanzas the client says it has.
        h: u32,
        /// What is answered should somebody else be faster.
        otherwise: String,
    },
}

impl Event for Unbound {
    const NAME: &'static str = "unbound";
}

/// The answer to a request of the server's own (sent from its domain or on behalf of an account) came in.
/// The module that asked knows it by its id and answers `Done`.
pub struct Answer {
    /// An iq of type result or error.
    pub stanza: Stanza,
}

impl Event for Answer {
    const NAME: &'static str = "answer";
}

/// An iq before login, over a secured stream (in-band registration). Unanswered, the stream ends with
/// `not-authorized`.
pub struct BeforeLogin {
    /// The request.
    pub stanza: Stanza,
    /// The domain the stream was opened to.
    pub domain: String,
    /// Where it comes from, for limits.
    pub address: IpAddr,
    /// What modules have noted about the stream so far.
    pub facts: Arc<Facts>,
    /// The answer, set by the hook that deals with it.
    pub reply: Option<Stanza>,
}

impl Event for BeforeLogin {
    const NAME: &'static str = "before-login";
}

/// An account has another password. All of its sessions end, but for the one that asked.
pub struct PasswordChanged {
    /// The account.
    pub account: BareJid,
    /// The session that asked for it, if one of the account did.
    pub asked_by: Option<Jid>,
}

impl Notice for PasswordChanged {
    const NAME: &'static str = "password-changed";
}

/// The server is about to open its doors. Modules take up the work that an earlier process left.
pub struct Opening;

impl Notice for Opening {
    const NAME: &'static str = "opening";
}

/// An account is about to be erased; its rows are still there. Rooms tell the account's contacts.
pub struct AccountRemoved {
    /// The account.
    pub account: BareJid,
}

impl Notice for AccountRemoved {
    const NAME: &'static str = "account-removed";
}

/// An account has been erased, with all its rows, in one transaction. Modules forget what they hold of it in memory.
pub struct AccountErased {
    /// The account.
    pub account: BareJid,
}

impl Notice for AccountErased {
    const NAME: &'static str = "account-erased";
}
