//! Rooms that an operator has made for an owner who is not in them.

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::jid::BareJid;

use super::privileges::Affiliation;
use super::room::Member;
use super::rooms::Registry;
use super::turn::RoomTurn;
use super::{life, opening, saved};

/// Makes a persistent public room with this owner; `false` if the room exists already. When this returns, it is stored.
pub async fn found(
    registry: &Arc<Registry>,
    room: &BareJid,
    owner: &BareJid,
    cx: &mut Cx,
) -> Result<bool, Fault> {
    let router = cx.router().clone();
    if registry.hold(room, &router).await?.is_some() {
        return Ok(false);
    }
    let now = router.clock().now();
    let Some(held) = registry.make(room, owner, now).await? else {
        return Ok(false);
    };
    let mut turn = RoomTurn::new(registry, held, cx);
    // Should anything fail from here on, the room in memory is dropped.
    turn.is_change = true;
    let member = Member {
        affiliation: Affiliation::Owner,
        since: turn.cx.received.0,
        nick: None,
        reason: None,
    };
    turn.held.set_member(owner, Some(member));
    let mut config = (*turn.held.config).clone();
    config.set(&life::PERSISTENT, vec!["1".into()]);
    turn.held.config = config.into();
    opening::open(&mut turn).await?;
    saved::member(&mut turn, owner).await?;
    turn.close(cx);
    cx.committed().await?;
    tracing::info!(event = "room_created", %room, %owner, by = "operator");
    Ok(true)
}
