//! The web's door over real sockets: HTTP itself, streams over WebSocket (by tungstenite, whose frames are not ours) and
//! over BOSH, and uploads.

#[path = "../common/mod.rs"]
mod common;

mod bosh;
mod compliance;
mod doors;
mod files;
mod guesses;
mod http;
mod pages;
mod rest;
mod session;
mod upload;
mod websocket;
