//! What becomes of rooms when a session ends, when an account goes, and when nobody looks for a while.

use std::sync::{Arc, Weak};
use std::time::Duration;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::events::{AccountRemoved, SessionEnded, SessionStarted};
use kim_core::hook::Hear;
use kim_core::jid::BareJid;
use kim_core::router::Router;

use super::destroy::{self, DestroyNotice};
use super::news::News;
use super::privileges::Affiliation;
use super::room::RoomState;
use super::rooms::Registry;
use super::turn::RoomTurn;
use super::{affiliations, leave, rows};

/// Rooms out of use for so long are put out of memory, in seconds.
const IDLE_SECONDS: u64 = 600;
/// So often it is looked for them, in seconds.
const EVERY_SECONDS: u64 = 60;
/// Those who were in a room when the server stopped have so long to come back, in seconds.
const RETURN_SECONDS: u64 = 300;
/// Rooms that are looked at together.
const PAGE_ROOMS: usize = 100;

/// The server stops: its sessions end, but nobody leaves.
struct Stopping;

/// A session leaves the rooms it is in when it ends. If the server stops it keeps its seats, as after a crash: it comes back,
/// and finds itself there. So no temporary room is destroyed because everybody was sent away. Guests come back as others; the
/// sweep after the next start closes what they leave empty.
pub struct EndOfSession(pub Arc<Registry>);

impl Hear<SessionEnded> for EndOfSession {
    async fn hear(&self, event: &mut SessionEnded, cx: &mut Cx) -> Result<(), Fault> {
        if cx.router().is_stopping() {
            cx.learn(Stopping);
            return Ok(());
        }
        let jid = &event.session.jid;
        for room in self.0.rooms_with(jid) {
            let left = leave::leave(&self.0, &room, jid, None, News::default(), cx).await;
            if let Err(fault) = left {
                tracing::error!(event = "room_not_left", ?fault);
            }
        }
        Ok(())
    }
}

/// Whether what arrives was caused by the end of a session with the server.
pub fn is_stopping(cx: &Cx) -> bool {
    cx.fact::<Stopping>().is_some()
}

/// An account goes: so do its affiliations. A room must have an owner (§10): where it was the last one, the admin of longest
/// standing takes over, or the member of longest standing; where there is neither, the room goes too.
pub struct EndOfAccount(pub Arc<Registry>);

impl Hear<AccountRemoved> for EndOfAccount {
    async fn hear(&self, event: &mut AccountRemoved, cx: &mut Cx) -> Result<(), Fault> {
        for (room, _) in self.0.store.rooms_of(&event.account).await? {
            match self.remove(&room, &event.account, cx).await {
                // Its rows go with the account's all the same.
                Err(fault) if rows::is_damage(&fault) => {
                    tracing::warn!(event = "account_not_removed_from_room", %room, ?fault);
                }
                removed => removed?,
            }
        }
        Ok(())
    }
}

impl EndOfAccount {
    async fn remove(&self, room: &BareJid, account: &BareJid, cx: &mut Cx) -> Result<(), Fault> {
        let Some(held) = self.0.hold(room, cx.router()).await? else {
            return Ok(());
        };
        let mut turn = RoomTurn::new(&self.0, held, cx);
        let is_last = turn.held.affiliation(account) == Affiliation::Owner && turn.held.owners() == 1;
        if is_last {
            match heir(&turn.held, account) {
                Some(heir) => {
                    affiliations::change_affiliation(&mut turn, decided(heir, Affiliation::Owner), |_| ())
                        .await?;
                }
                None => {
                    destroy::put_out(&mut turn, &DestroyNotice::default()).await?;
                    turn.close(cx);
                    return Ok(());
                }
            }
        }
        affiliations::change_affiliation(&mut turn, decided(account.clone(), Affiliation::None), |_| ())
            .await?;
        turn.close(cx);
        Ok(())
    }
}

fn decided(jid: BareJid, to: Affiliation) -> affiliations::Decided<'static> {
    affiliations::Decided {
        jid,
        to,
        nick: None,
        actor: "",
        reason: "",
    }
}

fn heir(room: &RoomState, account: &BareJid) -> Option<BareJid> {
    let of = |affiliation| {
        let candidates = room.members.iter().filter(|(jid, _)| *jid != account);
        candidates
            .filter(|(_, member)| member.affiliation == affiliation)
            .min_by_key(|(_, member)| member.since)
            .map(|(jid, _)| jid.clone())
    };
    of(Affiliation::Admin).or_else(|| of(Affiliation::Member))
}

/// Removes from all rooms those who have not come back, and temporary rooms in which nobody is.
pub async fn sweep(registry: &Arc<Registry>, router: &Arc<Router>) -> Result<(), Fault> {
    let mut after = String::new();
    loop {
        let page = registry.store.left_behind(&after, PAGE_ROOMS).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.as_str().to_owned();
        for room in page {
            let Some(mut cx) = router.cx() else { return Ok(()) };
            if let Err(fault) = leave::sweep(registry, &room, &mut cx).await {
                // One room that cannot be read keeps no other from being looked at.
                tracing::warn!(event = "room_not_swept", %room, ?fault);
            }
            router.finish(cx).await;
        }
    }
}

/// Begins with the first session: before that there is no house to work in.
pub struct Begin {
    registry: Arc<Registry>,
    begun: std::sync::Once,
}

impl Begin {
    /// Nothing has begun yet.
    pub fn new(registry: Arc<Registry>) -> Begin {
        let begun = std::sync::Once::new();
        Begin { registry, begun }
    }
}

impl Hear<SessionStarted> for Begin {
    async fn hear(&self, _: &mut SessionStarted, cx: &mut Cx) -> Result<(), Fault> {
        self.begun.call_once(|| {
            let router = Arc::downgrade(cx.router());
            tokio::spawn(go_on(Arc::downgrade(&self.registry), router));
        });
        Ok(())
    }
}

async fn go_on(registry: Weak<Registry>, router: Weak<Router>) {
    let mut seconds = 0;
    let mut swept = false;
    loop {
        tokio::time::sleep(Duration::from_secs(EVERY_SECONDS)).await;
        seconds += EVERY_SECONDS;
        let (Some(registry), Some(router)) = (registry.upgrade(), router.upgrade()) else {
            return;
        };
        if !swept && seconds >= RETURN_SECONDS {
            swept = true;
            if let Err(fault) = sweep(&registry, &router).await {
                tracing::error!(event = "rooms_not_swept", ?fault);
            }
        }
        registry.put_away(router.clock().now(), IDLE_SECONDS);
    }
}
