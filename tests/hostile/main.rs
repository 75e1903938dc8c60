//! What attackers do, over real sockets, to the built server as a process of its own: it gives the right error, its memory
//! stays bounded, its log is clean, and bystanders chat on (docs/security.md; the rows are of its tables).

#[path = "../whole/mod.rs"]
mod whole;

mod bystanders;
mod crowds;
mod endless;
mod garbage;
mod slow;
mod stanzas;
mod xml;
