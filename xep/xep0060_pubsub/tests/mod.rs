//! The service: what differs from accounts' nodes, who may what, and what subscribers hear; both databases; and rows that
//! cannot be read.

mod damage;
mod databases;
mod rules;
mod service;
