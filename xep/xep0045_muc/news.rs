//! What a presence tells beside who it is from: status codes, who did something and why.

use kim_core::jid::Jid;
use kim_core::stanza::Stanza;
use smallvec::SmallVec;

/// What a presence tells beside who it is from.
#[derive(Clone, Default)]
pub struct News<'a> {
    /// Status codes.
    pub codes: SmallVec<[u16; 4]>,
    /// The nickname from now on (§7.6).
    pub new_nick: Option<&'a str>,
    /// Who did it, by nickname.
    pub actor: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
    /// Canonical XML beside the item for those who may see the lists.
    pub listed: &'a str,
    /// The session whose request this answers, and the id of the request: clients wait for it ("for tracking purposes",
    /// §7.2.2).
    pub asked: Option<(&'a Jid, &'a str)>,
}

impl<'a> News<'a> {
    /// Only codes.
    pub fn codes(codes: &[u16]) -> News<'static> {
        News {
            codes: codes.iter().copied().collect(),
            ..News::default()
        }
    }

    /// The same as the answer to a session's presence.
    pub fn answers(self, session: &'a Jid, stanza: &'a Stanza) -> News<'a> {
        News {
            asked: stanza.id.as_deref().map(|id| (session, id)),
            ..self
        }
    }

    /// The same with more codes.
    pub fn and(&self, codes: &[u16]) -> Self {
        let mut news = self.clone();
        news.codes.extend(codes.iter().copied());
        // 100 behind 170: where a client shows only the last one, it is that addresses are visible.
        news.codes
            .sort_unstable_by_key(|code| if *code == 100 { 175 } else { *code });
        news.codes.dedup();
        news
    }
}
