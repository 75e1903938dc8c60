//! Presence subscriptions as a table: what an event does to the state between an account and a contact, and what
//! follows from it (RFC 6121 §3 and appendix A). Nothing here knows of a database, a session or a stanza.
//!
//! The nine states of appendix A.1 are two halves with three values each: what the account gets from the contact, and what
//! the contact gets from the account. Beside them stands the pre-approval (§3.4).

/// One direction of a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Half {
    /// Nobody is subscribed, nobody has asked.
    #[default]
    No,
    /// Asked for, and not answered.
    Asked,
    /// Subscribed.
    Yes,
}

impl Half {
    /// Every value.
    pub const ALL: [Half; 3] = [Half::No, Half::Asked, Half::Yes];
}

/// The subscription between an account and a contact, seen from the account (RFC 6121 appendix A.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContactState {
    /// Whether the account sees the contact's presence ("to"), or has asked for it ("pending out").
    pub outgoing: Half,
    /// Whether the contact sees the account's presence ("from"), or has asked for it ("pending in").
    pub incoming: Half,
    /// The account has said yes before it was asked (§3.4).
    pub approved: bool,
}

impl ContactState {
    /// The value of the `subscription` attribute of a roster item (§2.1.2.5).
    pub fn subscription(self) -> &'static str {
        match (self.outgoing == Half::Yes, self.incoming == Half::Yes) {
            (false, false) => "none",
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        }
    }

    /// Whether the roster item says `ask='subscribe'` (§2.1.2.2).
    pub fn is_asking(self) -> bool {
        self.outgoing == Half::Asked
    }

    /// Whether the account gets the contact's presence.
    pub fn is_to(self) -> bool {
        self.outgoing == Half::Yes
    }

    /// Whether the contact gets the account's presence.
    pub fn is_from(self) -> bool {
        self.incoming == Half::Yes
    }
}

/// A subscription stanza: the four presence types that change a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Please let me see your presence.
    Subscribe,
    /// You may see my presence.
    Subscribed,
    /// I no longer want your presence.
    Unsubscribe,
    /// You may not, or no longer, see my presence.
    Unsubscribed,
}

/// What the contact is told about the account's presence because of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// Nothing.
    Nothing,
    /// The current presence of each available resource (§3.1.5).
    Current,
    /// That each available resource is unavailable (§3.2.2, §3.3.3).
    Gone,
}

/// What an outbound stanza does: one that a client of the account sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// The state afterwards.
    pub state: ContactState,
    /// Whether the stanza goes on to the contact.
    pub route: bool,
    /// What the contact learns about presence.
    pub tell: Tell,
}

/// What an inbound stanza does: one that the contact sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The state afterwards.
    pub state: ContactState,
    /// Whether the account's clients get the stanza.
    pub deliver: bool,
    /// What the server answers in the account's name.
    pub answer: Option<Act>,
    /// What the contact learns about presence.
    pub tell: Tell,
}

/// A stanza of the account on its way to the contact (RFC 6121 appendix A.2).
pub fn outbound(mut state: ContactState, act: Act) -> Outbound {
    let (mut route, mut tell) = (true, Tell::Nothing);
    match (act, state.outgoing, state.incoming) {
        // A.2.1: always routed, so that a lost request can be repeated.
        (Act::Subscribe, Half::No, _) => state.outgoing = Half::Asked,
        (Act::Subscribe, Half::Asked | Half::Yes, _) => {}
        // A.2.2: always routed.
        (Act::Unsubscribe, _, _) => state.outgoing = Half::No,
        // A.2.3: an answer, or else a pre-approval that stays here (§3.4.2).
        (Act::Subscribed, _, Half::Asked) => {
            state.incoming = Half::Yes;
            tell = Tell::Current;
        }
        (Act::Subscribed, _, Half::No) => (state.approved, route) = (true, false),
        (Act::Subscribed, _, Half::Yes) => route = false,
        // A.2.4: a refusal, a cancellation, or the end of a pre-approval (§3.4.3), which stays here.
        (Act::Unsubscribed, _, incoming) => {
            (state.incoming, state.approved) = (Half::No, false);
            route = incoming != Half::No;
            if incoming == Half::Yes {
                tell = Tell::Gone;
            }
        }
    }
    Outbound { state, route, tell }
}

/// A stanza of the contact that arrives for the account (RFC 6121 appendix A.3).
pub fn inbound(mut state: ContactState, act: Act) -> Inbound {
    let (mut deliver, mut answer, mut tell) = (true, None, Tell::Nothing);
    match (act, state.outgoing, state.incoming) {
        // A.3.1: answered by the server where the answer is known.
        (Act::Subscribe, _, Half::No) if !state.approved => state.incoming = Half::Asked,
        (Act::Subscribe, _, Half::Asked) => deliver = false,
        (Act::Subscribe, _, Half::No | Half::Yes) => {
            state.incoming = Half::Yes;
            (deliver, answer, tell) = (false, Some(Act::Subscribed), Tell::Current);
        }
        // A.3.2
        (Act::Unsubscribe, _, Half::No) => deliver = false,
        (Act::Unsubscribe, _, Half::Asked) => state.incoming = Half::No,
        (Act::Unsubscribe, _, Half::Yes) => (state.incoming, tell) = (Half::No, Tell::Gone),
        // A.3.3
        (Act::Subscribed, Half::Asked, _) => state.outgoing = Half::Yes,
        (Act::Subscribed, Half::No | Half::Yes, _) => deliver = false,
        // A.3.4
        (Act::Unsubscribed, Half::No, _) => deliver = false,
        (Act::Unsubscribed, Half::Asked | Half::Yes, _) => state.outgoing = Half::No,
    }
    Inbound {
        state,
        deliver,
        answer,
        tell,
    }
}
