//! The web's door: HTTP with the same certificates and limits as the others. WebSocket (RFC 7395) and BOSH (XEP-0124) lead to
//! the same sessions as TCP does; uploads (XEP-0363), the REST API and what operators look at are here too.
//!
//! HTTP/1.1 alone: WebSocket needs it, browsers are content with it, and what it can make a server keep is easy to bound.

mod answer;
mod body;
pub mod bosh;
mod client;
mod health;
mod host;
mod host_meta;
mod io;
pub mod listener;
mod metrics;
mod origin;
pub mod pages;
pub mod proxy;
mod push;
pub mod rest;
pub mod upload;
mod websocket;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::Router as Routes;
use axum::middleware;
use axum::routing::{any, get};
use kim_core::config::{Limits, Network};
use kim_core::db::Db;
use kim_core::router::Router;

use self::host::Hosts;
use self::upload::Upload;
use crate::c2s::{Door, Place, Places, bosh as link};
use crate::s2s::Federation;

/// What the web shows of parts of the server that may be switched off.
#[derive(Default)]
pub struct Parts {
    /// Files.
    pub upload: Option<Arc<Upload>>,
    /// Other servers.
    pub federation: Option<Arc<Federation>>,
}

/// What all HTTP connections share.
pub struct Web {
    door: Arc<Door>,
    db: Db,
    /// The names of this server.
    hosts: Hosts,
    /// HTTP connections by the addresses they come from, and requests that proxies make for others.
    places: Arc<Places>,
    bosh: Arc<link::Sessions>,
    /// What may be switched off.
    parts: Parts,
    /// How fast accounts ask the API.
    paces: rest::Paces,
    /// HTTP connections there are.
    connections: AtomicUsize,
}

impl Web {
    /// The web's door to the house that `door` leads to.
    pub fn new(door: Arc<Door>, db: Db, parts: Parts) -> Arc<Web> {
        let connections_max = door.router().limits().http_connections_per_address_max;
        Arc::new(Web {
            hosts: Hosts::of(door.router()),
            places: Places::new(connections_max, connections_max),
            bosh: Arc::default(),
            paces: rest::Paces::new(door.router().limits_in_force().clone()),
            connections: AtomicUsize::new(0),
            parts,
            door,
            db,
        })
    }

    /// Goes by other limits from now on.
    pub(crate) fn go_by(&self, limits: &Limits) {
        let connections_max = limits.http_connections_per_address_max;
        self.places.resize(connections_max, connections_max);
    }

    /// The house.
    pub fn router(&self) -> &Arc<Router> {
        self.door.router()
    }

    fn trusted_proxies(&self) -> &[Network] {
        &self.router().config().http.trusted_proxies
    }

    /// Everything there is, by path.
    fn routes(self: &Arc<Web>) -> Routes {
        let pages = pages::Pages::of(self.router());
        let nowhere = pages.clone();
        watched()
            .route(websocket::PATH, any(websocket::upgrade))
            .route(bosh::PATH, any(bosh::serve))
            .route("/.well-known/host-meta", get(host_meta::xrd))
            .route("/.well-known/host-meta.json", get(host_meta::jrd))
            .route(upload::PATH, any(upload::serve))
            .route(push::PATH, any(push::serve))
            .merge(rest::routes())
            .merge(
                pages
                    .routes()
                    .layer(middleware::from_fn_with_state(self.clone(), client::in_private)),
            )
            .fallback(move |method, visit| nowhere.clone().nowhere(method, visit))
            .layer(middleware::from_fn_with_state(self.clone(), client::tell))
            .with_state(self.clone())
    }

    /// What monitoring may see, where nothing else is.
    fn monitoring(self: &Arc<Web>) -> Routes {
        watched()
            .fallback(answer::not_found)
            .layer(middleware::from_fn_with_state(self.clone(), client::tell))
            .with_state(self.clone())
    }
}

/// What is for operators alone; each looks who asks.
fn watched() -> Routes<Arc<Web>> {
    Routes::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::page))
}
