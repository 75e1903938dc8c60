//! The service: what differs from accounts' nodes, who may what, and what subscribers hear; and both databases.

mod databases;
mod service;
