//! Checks of the ports: free for the server, or held by it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use super::{CheckContext, Finding};
use crate::failure::Failure;

/// Whether each address of `[listen]` can be listened on.
pub(super) fn ports(context: &CheckContext) -> Vec<Finding> {
    let listen = &context.config.listen;
    let c2s = listen
        .c2s
        .iter()
        .map(|address| port("c2s", *address, context.running));
    let c2s_tls = listen
        .c2s_tls
        .iter()
        .map(|address| port("c2s_tls", *address, context.running));
    let https = listen
        .https
        .iter()
        .filter(|address| !listen.c2s_tls.contains(address));
    let web = https
        .map(|address| port("https", *address, context.running))
        .chain(
            listen
                .http
                .iter()
                .map(|address| port("http", *address, context.running)),
        );
    let federates = context.config.s2s.enabled;
    let s2s = listen
        .s2s
        .iter()
        .filter(|_| federates)
        .map(|address| port("s2s", *address, context.running));
    let s2s_tls = listen
        .s2s_tls
        .iter()
        .filter(|_| federates)
        .map(|address| port("s2s_tls", *address, context.running));
    let findings: Vec<_> = c2s.chain(c2s_tls).chain(s2s).chain(s2s_tls).chain(web).collect();
    if findings.is_empty() {
        return vec![Finding::warn(
            "ports",
            "[listen] has no address, so nobody can connect",
        )];
    }
    findings
}

fn port(key: &'static str, address: SocketAddr, running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) if running => {
            let text = format!(
                "{address} ({key}) is free although the server is running; restart it to use this setting"
            );
            Finding::warn("ports", text)
        }
        Ok(_) => Finding::ok("ports", format!("{address} ({key}) is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && running => Finding::ok(
            "ports",
            format!("{address} ({key}) is in use, and the server is running"),
        ),
        Err(error) => Finding::fail("ports", Failure::listen(key, address, &error).to_string()),
    }
}
