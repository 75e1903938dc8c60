//! The ports that the configuration names. All are bound before anything else begins, so that a port that is taken ends the
//! start with nothing to undo.

use std::net::SocketAddr;

use kim_core::config::Config;

use super::is_shared;
use crate::c2s::Security;
use crate::c2s::listener::Listener;
use crate::component::ComponentListener;
use crate::failure::Failure;
use crate::http::listener::{HttpListener, Speaks};
use crate::s2s::S2sListener;

/// Bound ports on which nobody is served yet.
pub(super) struct Listeners {
    pub c2s: Vec<Listener>,
    pub web: Vec<HttpListener>,
    pub s2s: Vec<S2sListener>,
    pub component: Vec<ComponentListener>,
}

impl Listeners {
    /// Binds what the configuration names. Ports of what is switched off are left alone.
    pub fn bind(config: &Config) -> Result<Listeners, Failure> {
        let mut c2s = Vec::new();
        for (key, addresses, security) in [
            ("c2s", &config.listen.c2s, Security::StartTls),
            ("c2s_tls", &config.listen.c2s_tls, Security::DirectTls),
        ] {
            for address in addresses.iter().filter(|address| !is_shared(config, address)) {
                let bound = Listener::bind(*address, addresses, security);
                c2s.push(bound.map_err(|error| Failure::listen(key, *address, &error))?);
            }
        }
        let mut web = Vec::new();
        for (key, addresses, speaks) in [
            ("https", &config.listen.https, Speaks::Https),
            ("http", &config.listen.http, Speaks::Http),
            ("metrics", &config.listen.metrics, Speaks::Monitoring),
        ] {
            for address in addresses {
                let shared = speaks == Speaks::Https && is_shared(config, address);
                let speaks = if shared { Speaks::Both } else { speaks };
                let bound = HttpListener::bind(*address, addresses, speaks);
                web.push(bound.map_err(|error| Failure::listen(key, *address, &error))?);
            }
        }
        let mut s2s = Vec::new();
        for (key, addresses, security) in [
            ("s2s", &config.listen.s2s, Security::StartTls),
            ("s2s_tls", &config.listen.s2s_tls, Security::DirectTls),
        ] {
            for address in addresses.iter().filter(|_| config.s2s.enabled) {
                let bound = S2sListener::bind(*address, addresses, security);
                s2s.push(bound.map_err(|error| Failure::listen(key, *address, &error))?);
            }
        }
        let mut component = Vec::new();
        if !config.components.is_empty() {
            let addresses = &config.listen.component;
            for address in addresses {
                let bound = ComponentListener::bind(*address, addresses);
                component.push(bound.map_err(|error| Failure::listen("component", *address, &error))?);
            }
        }
        Ok(Listeners {
            c2s,
            web,
            s2s,
            component,
        })
    }
    /// Where all of them are. Port 0 in the configuration has become a real one.
    pub fn addresses(&self) -> OpenPorts {
        let c2s = self.c2s.iter();
        let web = self.web.iter();
        let s2s = self.s2s.iter();
        OpenPorts {
            c2s: c2s.map(|one| (one.security(), one.address())).collect(),
            web: web.map(|one| (one.speaks(), one.address())).collect(),
            s2s: s2s.map(|one| (one.security(), one.address())).collect(),
            component: self.component.iter().map(ComponentListener::address).collect(),
        }
    }
}

/// Where a server can be reached.
pub(super) struct OpenPorts {
    /// For clients.
    pub c2s: Vec<(Security, SocketAddr)>,
    /// For browsers and programs.
    pub web: Vec<(Speaks, SocketAddr)>,
    /// For other servers.
    pub s2s: Vec<(Security, SocketAddr)>,
    /// For external components.
    pub component: Vec<SocketAddr>,
}
