//! A new room is locked until it is configured, or used as it is (§10.1.2).

use kim_core::error::Fault;

use super::events::RoomCreated;
use super::room::Phase;
use super::saved;
use super::turn::RoomTurn;

/// Opens a room that was new (§10.1.2).
pub async fn open(turn: &mut RoomTurn) -> Result<(), Fault> {
    turn.held.phase = Phase::Open;
    saved::room(turn).await?;
    let mut event = RoomCreated {
        room: turn.held.view(),
    };
    let router = turn.cx.router().clone();
    router.tell(&mut event, &mut turn.cx).await?;
    Ok(())
}

/// An owner who speaks in a new room has accepted it as it is: some clients never configure what they make.
pub async fn accept(turn: &mut RoomTurn) -> Result<(), Fault> {
    if matches!(turn.held.phase, Phase::Locked { .. }) {
        open(turn).await?;
    }
    Ok(())
}
