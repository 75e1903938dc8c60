//! Accounts as pubsub services: who sees what, who hears what, and what clients really send.

mod access;
pub mod cast;
mod clients;
mod hostile;
mod presence;
