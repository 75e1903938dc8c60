//! For whom a request is made: the address and whether nobody can listen in, as the connection shows it, or as a trusted proxy
//! says it. Nobody else is believed: the headers are open to everybody.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use kim_core::config::Network;

use super::Web;
use crate::c2s::sasl::ChannelBindings;

/// What is known of a connection before it says anything.
#[derive(Clone)]
pub(super) struct Peer {
    /// Where it comes from; with the PROXY protocol, what that says.
    pub address: IpAddr,
    /// Both ends are on this machine.
    pub is_loopback: bool,
    /// It ends in our own TLS.
    pub bindings: Option<Arc<ChannelBindings>>,
    /// It comes from a proxy that is trusted.
    pub is_proxy: bool,
    /// It came to the listener without TLS.
    pub is_inner: bool,
}

/// Who asks.
#[derive(Clone)]
pub(super) struct Client {
    /// The address that limits go by.
    pub address: IpAddr,
    /// Nobody can listen in, from the client to here.
    pub is_secure: bool,
    /// Both ends are on this machine, and nobody is in between.
    pub is_loopback: bool,
    /// What a login can be bound to.
    pub bindings: Option<Arc<ChannelBindings>>,
    /// It came to the listener without TLS, and no proxy is in between: an operator's own request.
    pub is_operator: bool,
}

/// Finds out who asks, and lets the page know.
pub(super) async fn tell(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        // Only if the listener forgot to say.
        return super::answer::not_found().await;
    };
    let client = Client::of(&peer, request.headers(), web.trusted_proxies());
    request.extensions_mut().insert(client);
    next.run(request).await
}

impl Client {
    fn of(peer: &Peer, headers: &HeaderMap, trusted: &[Network]) -> Client {
        let is_forwarded = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "via"]
            .iter()
            .any(|name| headers.contains_key(*name));
        let words = if peer.is_proxy {
            Words::read(headers, trusted)
        } else {
            Words::default()
        };
        Client {
            address: words.address.unwrap_or(peer.address),
            is_secure: peer.bindings.is_some() || words.is_secure,
            is_loopback: peer.is_loopback && !is_forwarded,
            bindings: peer.bindings.clone(),
            is_operator: peer.is_inner && !is_forwarded,
        }
    }
}

/// What a proxy says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    address: Option<IpAddr>,
    is_secure: bool,
}

impl Words {
    /// `Forwarded` (RFC 7239) if it is there, else the older `X-Forwarded-…`.
    fn read(headers: &HeaderMap, trusted: &[Network]) -> Words {
        let all = |name: header::HeaderName| -> Vec<String> {
            let values = headers.get_all(name).iter();
            values
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(|value| value.trim().to_owned())
                .collect()
        };
        let forwarded = all(header::FORWARDED);
        let (addresses, protocol): (Vec<_>, _) = if forwarded.is_empty() {
            let addresses = all(header::HeaderName::from_static("x-forwarded-for"));
            let protocol = all(header::HeaderName::from_static("x-forwarded-proto")).pop();
            (addresses.iter().map(|text| node(text)).collect(), protocol)
        } else {
            let addresses = forwarded
                .iter()
                .map(|hop| node(&parameter(hop, "for")?))
                .collect();
            (
                addresses,
                forwarded.last().and_then(|hop| parameter(hop, "proto")),
            )
        };
        // From the right, past the proxies that are trusted: the first other one is who asks, and what stands left of
        // it was said by that one.
        let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(*address));
        let mut address = None;
        for hop in addresses.into_iter().rev() {
            let Some(hop) = hop else { break };
            address = Some(hop);
            if !is_trusted(&hop) {
                break;
            }
        }
        Words {
            address,
            is_secure: protocol.is_some_and(|protocol| ["https", "wss"].contains(&protocol.as_str())),
        }
    }
}

/// A parameter of one hop in `Forwarded`: `for=192.0.2.43;proto=https`.
fn parameter(hop: &str, name: &str) -> Option<String> {
    let mut parameters = hop.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
    Some(value.trim().trim_matches('"').to_ascii_lowercase())
}

/// An address as proxies write it: alone, in brackets, with a port.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some((address, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse().ok();
    }
    let (address, _) = text.rsplit_once(':')?;
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(headers: &[(&'static str, &'static str)]) -> (Option<String>, bool) {
        let map = headers.iter().map(|(name, value)| {
            (
                header::HeaderName::from_static(name),
                header::HeaderValue::from_static(value),
            )
        });
        let trusted = [Network::parse("10.0.0.0/8").unwrap()];
        let words = Words::read(&map.collect(), &trusted);
        (words.address.map(|address| address.to_string()), words.is_secure)
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_asks() {
        let of = |value| words(&[("x-forwarded-for", value)]).0;
        assert_eq!(of("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(
            of("198.51.100.1, 192.0.2.1, 10.1.1.1").as_deref(),
            Some("192.0.2.1"),
            "the left is forged"
        );
        assert_eq!(of("10.1.1.1").as_deref(), Some("10.1.1.1"));
        assert_eq!(of("192.0.2.1, unknown"), None);
        assert_eq!(of("[2001:db8::1]:80").as_deref(), Some("2001:db8::1"));
        assert_eq!(of("192.0.2.1:4711").as_deref(), Some("192.0.2.1"));
        assert_eq!(of(""), None);
    }

    #[test]
    fn forwarded_goes_before_the_older_ones() {
        assert_eq!(
            words(&[
                (
                    "forwarded",
                    "for=192.0.2.1;proto=https, For=\"[2001:db8::1]:99\";Proto=HTTPS;by=10.0.0.1"
                ),
                ("x-forwarded-for", "203.0.113.9"),
            ]),
            (Some("2001:db8::1".to_owned()), true)
        );
        assert_eq!(words(&[("forwarded", "for=_hidden;proto=http")]), (None, false));
        assert_eq!(
            words(&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")]),
            (Some("192.0.2.1".to_owned()), true)
        );
    }

    #[test]
    fn nobody_else_is_believed() {
        let peer = |is_proxy, is_inner| Peer {
            address: "203.0.113.5".parse().unwrap(),
            is_loopback: true,
            bindings: None,
            is_proxy,
            is_inner,
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let stranger = Client::of(&peer(false, true), &headers, &[]);
        assert_eq!(stranger.address.to_string(), "203.0.113.5");
        assert!(!stranger.is_secure && !stranger.is_operator && !stranger.is_loopback);
        let proxy = Client::of(&peer(true, true), &headers, &[]);
        assert_eq!(proxy.address.to_string(), "192.0.2.1");
        assert!(
            proxy.is_secure && !proxy.is_operator,
            "the world behind a proxy is no operator"
        );
        assert!(Client::of(&peer(false, true), &HeaderMap::new(), &[]).is_operator);
    }
}
