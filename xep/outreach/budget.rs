//! The budget: what leaves an account for somebody who does not know it.

use std::sync::Arc;

use kim_core::accounts::Enrolment;
use kim_core::clock::Timestamp;
use kim_core::config::LimitsInForce;
use kim_core::cx::Cx;
use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::events::Departure;
use kim_core::hook::{Flow, On};
use kim_core::jid::BareJid;
use kim_core::router::Router;
use kim_core::session::Session;

use super::OutreachConfig;
use super::addressed::{self, Person};
use super::api::OutreachTally;
use super::people::{People, in_words};

const HOUR: Allowed = Allowed {
    seconds: 3_600,
    name: "hour",
    people: 0,
};
const DAY: Allowed = Allowed {
    seconds: 86_400,
    name: "24 hours",
    people: 0,
};

/// So many new people in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allowed {
    seconds: u32,
    name: &'static str,
    people: u32,
}

impl Allowed {
    fn window(self) -> i64 {
        i64::from(self.seconds) * 1_000_000
    }

    /// When there is room for one more, if there is none now. `met` are the moments at which people were written to, the
    /// latest first; nothing is allowed at all where that is `None`.
    fn full_until(self, met: &[i64], now: Timestamp) -> Option<Option<Timestamp>> {
        let Some(decisive) = (self.people as usize).checked_sub(1) else {
            return Some(None);
        };
        let until = met.get(decisive)? + self.window();
        (until > now.0).then_some(Some(Timestamp(until)))
    }
}

/// Refuses what is beyond the budget.
pub(super) struct Budget {
    people: Arc<People>,
    config: OutreachConfig,
    limits: LimitsInForce,
    tally: Arc<OutreachTally>,
}

impl Budget {
    pub fn new(
        people: Arc<People>,
        config: OutreachConfig,
        limits: LimitsInForce,
        tally: Arc<OutreachTally>,
    ) -> Budget {
        Budget {
            people,
            config,
            limits,
            tally,
        }
    }

    /// What an account may do, the shorter time first.
    async fn allowed(
        &self,
        router: &Router,
        account: &BareJid,
        now: Timestamp,
    ) -> Result<Vec<Allowed>, Fault> {
        let config = &self.config;
        let day = |people| Allowed { people, ..DAY };
        let vouched_for = router.config().server.admins.contains(account);
        let enrolled = router.accounts().enrolled(account).await?;
        let is_young = !vouched_for
            && enrolled.is_some_and(|enrolled| {
                let is_nobodys = matches!(enrolled.by, Enrolment::Unknown | Enrolment::Registered);
                let age = now.seconds_since(Timestamp(enrolled.at));
                is_nobodys && age < u64::from(config.young_days) * 86_400
            });
        Ok(match is_young {
            true => vec![
                Allowed {
                    people: config.young_per_hour,
                    ..HOUR
                },
                day(config.young_per_day),
            ],
            false => vec![day(config.per_day)],
        })
    }

    /// Takes one of the account's new people for somebody whom memory does not know.
    async fn spend(&self, session: &Session, person: &Person, cx: &Cx) -> Result<(), Fault> {
        let (router, account, now) = (cx.router(), &session.account, cx.received);
        let _held = self.people.hold(account).await;
        if !self.people.knows(router, account, person).await? {
            let allowed = self.allowed(router, account, now).await?;
            let longest = allowed.iter().map(|allowed| allowed.window()).max().unwrap_or(0);
            let most = allowed.iter().map(|allowed| allowed.people).max().unwrap_or(0);
            let met = self
                .people
                .store
                .met_since(account, now.0 - longest, most)
                .await?;
            for one in allowed {
                if let Some(until) = one.full_until(&met, now) {
                    return Err(self.refuse(explanation(one, until, now)));
                }
            }
            let peer = self.people.tag(account, person.key()).await?;
            self.people.store.meet(account, peer, now).await?;
            self.tally.count_met();
        }
        self.people.remember(account, person.key());
        Ok(())
    }

    fn refuse(&self, text: String) -> Fault {
        self.tally.count_refused();
        StanzaError::new(Condition::PolicyViolation)
            .kind(ErrorType::Wait)
            .text(text)
            .into()
    }
}

fn explanation(allowed: Allowed, until: Option<Timestamp>, now: Timestamp) -> String {
    let (people, name) = (allowed.people, allowed.name);
    let Some(until) = until else {
        return "accounts as young as yours cannot write to new people yet; ask them to write first"
            .to_owned();
    };
    let stamp = until.to_string();
    let time = stamp.get(..16).unwrap_or_default().replace('T', " ");
    let people = if people == 1 {
        "1 new person".to_owned()
    } else {
        format!("{people} new people")
    };
    format!(
        "you have written to {people} within the last {name}, which is as many as this server allows; the next is possible {}, \
         at {time} UTC",
        in_words(now, until)
    )
}

impl On<Departure> for Budget {
    async fn on(&self, event: &mut Departure, cx: &mut Cx) -> Result<Flow, Fault> {
        let session = &event.session;
        // What guests may do is decided in rooms, and by XEP-0175.
        if session.guest || !self.limits.now().enabled {
            return Ok(Flow::Next);
        }
        for person in addressed::people(&event.stanza, session, cx.router()) {
            if !self.people.is_remembered(&session.account, person.key()) {
                self.spend(session, &person, cx).await?;
            }
        }
        Ok(Flow::Next)
    }
}
