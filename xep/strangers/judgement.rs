//! What may become of something that a stranger sent.

use kim_core::config::Choice;

/// What becomes of something that a stranger sent. The later one is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judgement {
    /// It goes on like what a contact sends.
    Accept,
    /// It waits in the recipient's request box: not delivered, not archived, not told to push services.
    Hold,
    /// A message comes back with an error; a subscription request is dropped.
    Refuse,
}

impl Choice for Judgement {
    const ALL: &'static [Judgement] = &[Judgement::Accept, Judgement::Hold, Judgement::Refuse];

    fn as_str(self) -> &'static str {
        match self {
            Judgement::Accept => "accept",
            Judgement::Hold => "hold",
            Judgement::Refuse => "refuse",
        }
    }
}

impl Judgement {
    /// The judgement of that name.
    pub fn parse(name: &str) -> Option<Judgement> {
        Judgement::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == name)
    }
}
