//! Checks of the ports: free for the server, or held by it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

use super::{CheckContext, Finding};
use crate::failure::Failure;

/// Whether each address of `[listen]` can be listened on.
pub(super) fn ports(context: &CheckContext) -> Vec<Finding> {
    let addresses = addresses(context);
    if addresses.is_empty() {
        let text = "[listen] has no address, so nobody can connect";
        return vec![Finding::warn("ports", text)];
    }
    let mut findings = Vec::new();
    let mut in_use = Vec::new();
    for (key, address) in addresses {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && !context.running => {
                in_use.push((key, address))
            }
            bound => findings.push(port(key, address, bound, context.running)),
        }
    }
    // One cause is told once: usually another kIM has them all.
    taken(&in_use, context.barred)
        .into_iter()
        .chain(findings)
        .collect()
}

fn addresses(context: &CheckContext) -> Vec<(&'static str, SocketAddr)> {
    let listen = &context.config.listen;
    let federates = context.config.s2s.enabled;
    let lists = [
        ("c2s", &listen.c2s, true),
        ("c2s_tls", &listen.c2s_tls, true),
        ("s2s", &listen.s2s, federates),
        ("s2s_tls", &listen.s2s_tls, federates),
        ("https", &listen.https, true),
        ("http", &listen.http, true),
    ];
    let open = lists.into_iter().filter(|(.., is_open)| *is_open);
    let each = open.flat_map(|(key, list, _)| list.iter().map(move |address| (key, *address)));
    // One port can serve browsers and apps.
    each.filter(|(key, address)| *key != "https" || !listen.c2s_tls.contains(address))
        .collect()
}

fn port(key: &'static str, address: SocketAddr, bound: io::Result<TcpListener>, running: bool) -> Finding {
    match bound {
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

/// What is said of ports that are in use although no server runs with this data directory.
fn taken(in_use: &[(&'static str, SocketAddr)], barred: Option<&'static str>) -> Option<Finding> {
    let (key, first) = *in_use.first()?;
    let each = in_use.iter().map(|(key, address)| format!("{address} ({key})"));
    let each = each.collect::<Vec<_>>().join(", ");
    Some(match (barred, in_use.len()) {
        (Some(barred), _) => Finding::skip(
            "ports",
            format!("{each}: in use, perhaps by the server; {barred}"),
        ),
        (None, 1) => {
            let failure = Failure::listen(key, first, &ErrorKind::AddrInUse.into());
            Finding::fail("ports", failure.to_string())
        }
        (None, _) => {
            let text =
                format!("in use: {each}; does kIM run already, with another data directory (--data-dir)?");
            Finding::fail("ports", text)
        }
    })
}
