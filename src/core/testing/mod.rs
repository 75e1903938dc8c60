//! What tests share: a whole house in memory ([`House`]), people who talk in it ([`Client`]), a way to say what
//! XML one expects ([`pattern`]), dialogue files ([`dialogue`]), and fresh databases of every kind at hand.

pub mod db;
pub mod dialogue;
mod house;
mod neighbour;
pub mod pattern;

pub use db::{TestDb, databases, migrated_databases};
pub use house::{Client, House, Program};
pub use neighbour::Neighbour;
