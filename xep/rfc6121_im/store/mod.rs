//! Every statement of this module: rosters with their requests and versions ([`roster`], [`roster_change`]), and
//! messages that wait for their recipient ([`offline`]).

pub mod offline;
pub mod roster;
pub mod roster_change;
