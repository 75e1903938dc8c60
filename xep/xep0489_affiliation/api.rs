//! What is known about the account that sent something: for rules on people whom nobody knows yet.

use kim_core::accounts::Enrolment;
use kim_core::clock::Timestamp;
use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::BareJid;
use kim_core::router::{Destination, Router};
use kim_core::stanza::Stanza;
use kim_core::wire::El;

use super::NS;

/// An account counts as new for so long. Servers round the day of its making down (§7.1), so one of yesterday may be a few
/// hours old.
const NEW_SECONDS: u64 = 2 * 86_400;

/// What an account is to its server (§3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AffiliationKind {
    /// A guest, gone with its session.
    Anonymous,
    /// Made by its owner; nobody vouches for it.
    Registered,
    /// Of somebody whom the server's people know.
    Member,
    /// An administrator's.
    Admin,
}

impl AffiliationKind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            AffiliationKind::Anonymous => "anonymous",
            AffiliationKind::Registered => "registered",
            AffiliationKind::Member => "member",
            AffiliationKind::Admin => "admin",
        }
    }

    fn parse(text: &str) -> Option<AffiliationKind> {
        let all = [
            AffiliationKind::Anonymous,
            AffiliationKind::Registered,
            AffiliationKind::Member,
            AffiliationKind::Admin,
        ];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What the server of an account says about it (§4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAffiliation {
    /// What the account is to its server.
    pub kind: AffiliationKind,
    /// When it was made, about.
    pub since: Option<Timestamp>,
    /// How far the server trusts it, from 0 to 100; comparable only among accounts of one server and kind (§5).
    pub trust: Option<u8>,
}

impl PeerAffiliation {
    /// Reads an `<info/>`. A `since` or `trust` that cannot be read is as one that is not there.
    pub(super) fn read(info: El<'_>) -> Option<PeerAffiliation> {
        let trust = info.attr("trust").and_then(|trust| trust.parse().ok());
        Some(PeerAffiliation {
            kind: AffiliationKind::parse(&info.attr("affiliation")?)?,
            since: info.attr("since").and_then(|since| Timestamp::parse(&since)),
            trust: trust.filter(|trust: &u8| *trust <= 100),
        })
    }

    /// Whether not even the account's own server knows it: a guest's, or one that was made a moment ago by its owner.
    pub fn is_hardly_known(&self, now: Timestamp) -> bool {
        match self.kind {
            AffiliationKind::Anonymous => true,
            AffiliationKind::Registered => self
                .since
                .is_some_and(|since| now.seconds_since(since) < NEW_SECONDS),
            AffiliationKind::Member | AffiliationKind::Admin => false,
        }
    }
}

/// What a stanza says of its sender, if it is to be believed. Left as a fact on the context; the sender is named because a
/// context travels with stanzas of others too.
pub(super) struct SaidOfSender {
    pub sender: BareJid,
    pub said: PeerAffiliation,
}

/// Looks up senders.
pub struct Affiliations;

impl Affiliations {
    /// What is known about the sender of a stanza, to be asked from the stage `Filter` of its arrival on: for an account of this
    /// server what it is, for anybody else what their server says in this stanza, if it is to be believed: because the server
    /// has announced that nobody else can say it, or because it speaks against the sender.
    pub async fn of_sender(&self, stanza: &Stanza, cx: &Cx) -> Result<Option<PeerAffiliation>, Fault> {
        let Some(from) = &stanza.from else { return Ok(None) };
        let sender = from.bare();
        match cx.router().destination(sender.domain()) {
            Destination::Users | Destination::Guests => of_account(cx.router(), &sender).await,
            Destination::Service(_) => Ok(None),
            Destination::Component | Destination::Remote => {
                let told = cx.fact::<SaidOfSender>().filter(|told| told.sender == sender);
                Ok(told.map(|told| told.said))
            }
        }
    }
}

/// What an account of this server is; `None` if it does not exist. Comes from memory for everybody who sends something.
pub(super) async fn of_account(router: &Router, account: &BareJid) -> Result<Option<PeerAffiliation>, Fault> {
    let of = |kind, since| PeerAffiliation {
        kind,
        since,
        trust: None,
    };
    if router.destination(account.domain()) == Destination::Guests {
        return Ok(Some(of(AffiliationKind::Anonymous, None)));
    }
    let Some(enrolled) = router.accounts().enrolled(account).await? else {
        return Ok(None);
    };
    if router.config().server.admins.contains(account) {
        return Ok(Some(of(AffiliationKind::Admin, None)));
    }
    let kind = match enrolled.by {
        // Of old accounts nobody knows who vouches for them.
        Enrolment::Unknown | Enrolment::Registered => AffiliationKind::Registered,
        Enrolment::Invited | Enrolment::Provisioned => AffiliationKind::Member,
    };
    Ok(Some(of(kind, Some(Timestamp(enrolled.at)))))
}

/// The element that says it (§4.1). `public` is for strangers: it does not tell who administers the server (§5), and since
/// when only of those whom nobody vouches for, to the day in the first month and to the month afterwards (§5, §7.1).
pub(super) fn write(what: &PeerAffiliation, public: bool, now: Timestamp) -> String {
    let kind = match what.kind {
        AffiliationKind::Admin if public => AffiliationKind::Member,
        kind => kind,
    };
    let mut xml = kim_core::wire::Writer::new();
    xml.start("info", NS).attr("affiliation", kind.as_str());
    if let Some(since) = what.since.filter(|_| kind == AffiliationKind::Registered) {
        xml.attr("since", &rounded(since, now));
    }
    xml.end();
    xml.finish_string()
}

fn rounded(since: Timestamp, now: Timestamp) -> String {
    const EXACT_SECONDS: u64 = 30 * 86_400;
    let text = since.to_string();
    let (kept, rest) = match now.seconds_since(since) <= EXACT_SECONDS {
        true => ("2026-01-31".len(), "T00:00:00Z"),
        false => ("2026-01".len(), "-01T00:00:00Z"),
    };
    format!("{}{rest}", text.get(..kept).unwrap_or("1970-01-01"))
}
