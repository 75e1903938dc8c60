//! For whom a request is made: the address and whether nobody can listen in, as the connection shows it, or as a trusted proxy
//! says it. Nobody else is believed: anybody can send these headers. Of the two kinds of headers that proxies use only the
//! configured one counts: a proxy that sets the one passes on what a client wrote in the other.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use kim_core::config::{Http, Network, ProxyHeader};

use super::host::Authority;
use super::listener::Speaks;
use super::{Web, answer, body, origin, rest};
use crate::c2s::Origin;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// A year, for this host alone (RFC 6797 §6.1): what runs on its subdomains is not known here.
const HSTS: &str = "max-age=31536000";

/// What is known of a connection before it says anything.
#[derive(Clone)]
pub(super) struct Peer {
    /// Where it comes from; with the PROXY protocol, what that says.
    pub address: IpAddr,
    /// Both ends are on this machine.
    pub is_loopback: bool,
    /// It ends in our own TLS.
    pub is_tls: bool,
    /// Its certificate is one that the operator has got, not one that we made for a trial.
    pub is_certified: bool,
    /// It comes from a proxy that is trusted, which says in headers for whom it asks.
    pub is_proxy: bool,
    /// A proxy said by the PROXY protocol for whom it asks.
    pub is_relayed: bool,
    /// The listener it came to.
    pub speaks: Speaks,
}

/// The client of one request.
#[derive(Clone)]
pub(super) struct Client {
    /// The address that limits go by.
    pub address: IpAddr,
    /// The host that is asked.
    pub host: Option<Authority>,
    /// Nobody can listen in, from the client to here.
    pub is_secure: bool,
    /// Both ends are on this machine, and nobody is in between.
    pub is_loopback: bool,
    /// The operator's monitoring.
    pub is_operator: bool,
}

/// Identifies the client for the handlers. Requests for other hosts and from pages that are not welcome end here.
pub(super) async fn tell(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        // Only if the listener forgot to say.
        return answer::not_found().await;
    };
    let config = web.router().config();
    let path = request.uri().path();
    let host = match web.hosts.judge(&request, peer.speaks == Speaks::Monitoring) {
        Ok(host) => host,
        Err((status, text)) => return refuse(path, status, text),
    };
    let mut client = Client::of(&peer, request.headers(), &config.http, host);
    // What has a listener of its own is nowhere else.
    client.is_operator &= peer.speaks == Speaks::Monitoring || config.listen.metrics.is_empty();
    if !origin::is_welcome(config, &client, path, request.headers()) {
        tracing::info!(event = "origin_refused", origin = ?request.headers().get(header::ORIGIN));
        let text = "this page may not connect here: its origin must be listed in origins in [http]";
        return refuse(path, StatusCode::FORBIDDEN, text);
    }
    // A proxy's connections are not counted, so its clients' requests are.
    let mut place = None;
    if peer.is_proxy && client.address != peer.address {
        place = web.places.take(Origin::of(client.address));
        if place.is_none() {
            web.door.counters.refused();
            let text = "too many requests at once from this address; try again";
            return refuse(path, StatusCode::TOO_MANY_REQUESTS, text);
        }
    }
    let stall = Duration::from_secs(web.router().limits().http_stall_seconds_max);
    let (mut parts, content) = request.into_parts();
    parts.extensions.insert(client);
    request = Request::from_parts(parts, body::without_stalls(content, stall));
    let mut response = next.run(request).await;
    if peer.is_tls && peer.is_certified {
        let hsts = HeaderValue::from_static(HSTS);
        response
            .headers_mut()
            .insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    match place {
        Some(place) => response.map(|content| body::in_place(content, place)),
        None => response,
    }
}

/// A refusal in the form that the path's other answers have.
fn refuse(path: &str, status: StatusCode, text: &'static str) -> Response {
    match path.starts_with("/api/") {
        true => rest::refused(status, text),
        false if status == StatusCode::TOO_MANY_REQUESTS => answer::too_many(text),
        false => answer::text(status, text),
    }
}

/// Shows pages on which people type passwords only over HTTPS, or on the machine itself; other browsers are redirected.
pub(super) async fn in_private(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let Some(client) = request.extensions().get::<Client>() else {
        return answer::not_found().await;
    };
    let is_here = client.is_loopback && client.host.as_ref().is_none_or(Authority::is_loopback);
    if client.is_secure || is_here {
        return next.run(request).await;
    }
    let secure = web.router().config().public_url().filter(|url| url.is_secure());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    match secure {
        Some(url) => Redirect::temporary(&format!("{url}{path}")).into_response(),
        None => super::websocket::unencrypted(),
    }
}

impl Client {
    fn of(peer: &Peer, headers: &HeaderMap, http: &Http, host: Option<Authority>) -> Client {
        let is_forwarded = [header::FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, header::VIA]
            .iter()
            .any(|name| headers.contains_key(name));
        let words = match peer.is_proxy {
            true => Words::read(headers, http.proxy_header, &http.trusted_proxies),
            false => Words::default(),
        };
        let is_direct = !peer.is_proxy && !peer.is_relayed && !is_forwarded;
        let is_operator = match peer.speaks {
            Speaks::Monitoring => true,
            Speaks::Http => {
                is_direct
                    && host.as_ref().is_none_or(Authority::is_local_or_literal)
                    && http
                        .metrics_from
                        .iter()
                        .any(|network| network.contains(peer.address))
            }
            Speaks::Https | Speaks::Both => false,
        };
        Client {
            address: words.address.unwrap_or(peer.address),
            host,
            is_secure: peer.is_tls || words.is_secure,
            is_loopback: peer.is_loopback && is_direct,
            is_operator,
        }
    }
}

/// What a trusted proxy says about its client.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    address: Option<IpAddr>,
    is_secure: bool,
}

impl Words {
    /// The configured header, the other one unread. Each proxy adds to the right, so what a client wrote itself stands left.
    fn read(headers: &HeaderMap, which: ProxyHeader, trusted: &[Network]) -> Words {
        // A client can put any bytes before what the proxy adds; they must not hide that.
        let all = |name: HeaderName| -> Vec<String> {
            let lines = headers.get_all(name).iter();
            let lines = lines.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            let items = lines.flat_map(|line| {
                line.split(',')
                    .map(|item| item.trim().to_owned())
                    .collect::<Vec<_>>()
            });
            items.filter(|item| !item.is_empty()).collect()
        };
        match which {
            ProxyHeader::XForwardedFor => {
                let addresses: Vec<_> = all(X_FORWARDED_FOR).iter().map(|text| node(text)).collect();
                Words {
                    address: asker(&addresses, trusted).and_then(|at| addresses.get(at).copied().flatten()),
                    // Not every proxy adds an item, so only the nearest one's word is certain.
                    is_secure: all(X_FORWARDED_PROTO)
                        .last()
                        .is_some_and(|protocol| is_secure(protocol)),
                }
            }
            ProxyHeader::Forwarded => {
                let hops = all(header::FORWARDED);
                let addresses: Vec<_> = hops.iter().map(|hop| node(&parameter(hop, "for")?)).collect();
                let asker = asker(&addresses, trusted);
                // Who the client is and how it came was said by the same proxy.
                let protocol = hops.get(asker.unwrap_or(hops.len().saturating_sub(1)));
                Words {
                    address: asker.and_then(|at| addresses.get(at).copied().flatten()),
                    is_secure: protocol
                        .and_then(|hop| parameter(hop, "proto"))
                        .is_some_and(|protocol| is_secure(&protocol)),
                }
            }
        }
    }
}

fn is_secure(protocol: &str) -> bool {
    ["https", "wss"]
        .iter()
        .any(|secure| secure.eq_ignore_ascii_case(protocol))
}

/// The position of the client's address: read from the right, the first that is not a trusted proxy's. Everything left of it
/// is the client's own claim. If all are trusted, it is the leftmost. A malformed address hides everything left of it.
fn asker(addresses: &[Option<IpAddr>], trusted: &[Network]) -> Option<usize> {
    let mut asker = None;
    for (at, address) in addresses.iter().enumerate().rev() {
        let Some(address) = address else { break };
        asker = Some(at);
        if !trusted.iter().any(|network| network.contains(*address)) {
            break;
        }
    }
    asker
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

    const CLIENT: &str = "192.0.2.1";

    fn words(which: ProxyHeader, headers: &[(&'static str, &'static str)]) -> (Option<String>, bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let trusted = [Network::parse("10.0.0.0/8").unwrap()];
        let words = Words::read(&map, which, &trusted);
        (words.address.map(|address| address.to_string()), words.is_secure)
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_asks() {
        for (value, address) in [
            ("192.0.2.1", Some(CLIENT)),
            ("198.51.100.1, 192.0.2.1, 10.1.1.1", Some(CLIENT)), // the left is forged
            ("10.9.9.9, 192.0.2.1, 10.1.1.1, 10.1.1.2", Some(CLIENT)),
            ("10.1.1.1", Some("10.1.1.1")),
            ("192.0.2.1, unknown", None),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("192.0.2.1:4711", Some(CLIENT)),
            ("\u{e4}, 192.0.2.1", Some(CLIENT)),
            ("192.0.2.1,", Some(CLIENT)),
            ("", None),
        ] {
            let (told, _) = words(ProxyHeader::XForwardedFor, &[("x-forwarded-for", value)]);
            assert_eq!(told.as_deref(), address, "{value}");
        }
        let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", CLIENT)];
        assert_eq!(
            words(ProxyHeader::XForwardedFor, &lines).0.as_deref(),
            Some(CLIENT),
            "HAProxy adds a line"
        );
    }

    #[test]
    fn the_header_that_is_not_configured_means_nothing() {
        let forged = "for=203.0.113.9;proto=https";
        for (which, headers, told) in [
            // What nginx and HAProxy set, and what a client wrote beside it.
            (
                ProxyHeader::XForwardedFor,
                vec![
                    ("forwarded", forged),
                    ("x-forwarded-for", CLIENT),
                    ("x-forwarded-proto", "http"),
                ],
                (Some(CLIENT), false),
            ),
            (
                ProxyHeader::XForwardedFor,
                vec![("forwarded", forged)],
                (None, false),
            ),
            (
                ProxyHeader::XForwardedFor,
                vec![("x-forwarded-for", CLIENT), ("x-forwarded-proto", "HTTPS")],
                (Some(CLIENT), true),
            ),
            (
                ProxyHeader::XForwardedFor,
                vec![("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")],
                (None, false),
            ),
            (
                ProxyHeader::Forwarded,
                vec![
                    ("forwarded", "for=192.0.2.1;proto=http"),
                    ("x-forwarded-for", "203.0.113.9"),
                    ("x-forwarded-proto", "https"),
                ],
                (Some(CLIENT), false),
            ),
            (
                ProxyHeader::Forwarded,
                vec![("x-forwarded-for", "203.0.113.9")],
                (None, false),
            ),
        ] {
            let (address, is_secure) = words(which, &headers);
            assert_eq!((address.as_deref(), is_secure), told, "{which:?} {headers:?}");
        }
    }

    #[test]
    fn forwarded_tells_of_the_hop_that_the_client_made() {
        for (value, told) in [
            (
                "for=198.51.100.9;proto=https, For=\"[2001:db8::1]:99\";Proto=HTTPS;by=10.0.0.1",
                (Some("2001:db8::1"), true),
            ),
            (
                "for=192.0.2.1;proto=https, for=10.1.1.1;proto=http",
                (Some(CLIENT), true),
            ),
            (
                "for=198.51.100.9;proto=https, for=192.0.2.1;proto=http",
                (Some(CLIENT), false),
            ),
            // An open quote does not hide what the proxy adds.
            ("for=\"x, for=192.0.2.1;proto=http", (Some(CLIENT), false)),
            ("for=_hidden;proto=http", (None, false)),
            ("for=192.0.2.1;proto=https, for=_hidden;proto=http", (None, false)),
            ("proto=https", (None, true)),
        ] {
            let (address, is_secure) = words(ProxyHeader::Forwarded, &[("forwarded", value)]);
            assert_eq!((address.as_deref(), is_secure), told, "{value}");
        }
    }

    fn peer(speaks: Speaks) -> Peer {
        Peer {
            address: "127.0.0.1".parse().unwrap(),
            is_loopback: true,
            is_tls: false,
            is_certified: false,
            is_proxy: false,
            is_relayed: false,
            speaks,
        }
    }

    fn client(peer: &Peer, headers: &HeaderMap, host: &str) -> Client {
        Client::of(peer, headers, &Http::default(), Authority::parse(host))
    }

    #[test]
    fn nobody_else_is_believed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", CLIENT.parse().unwrap());
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let stranger = client(&peer(Speaks::Http), &headers, "localhost");
        assert_eq!(stranger.address.to_string(), "127.0.0.1");
        assert!(!stranger.is_secure && !stranger.is_operator && !stranger.is_loopback);
        let proxy = Peer {
            is_proxy: true,
            ..peer(Speaks::Http)
        };
        let behind = client(&proxy, &headers, "localhost");
        assert_eq!(behind.address.to_string(), CLIENT);
        assert!(behind.is_secure && !behind.is_operator && !behind.is_loopback);
    }

    #[test]
    fn operators_come_directly_from_where_they_may() {
        let none = HeaderMap::new();
        let here = peer(Speaks::Http);
        assert!(client(&here, &none, "localhost").is_operator);
        assert!(client(&here, &none, "127.0.0.1:5280").is_operator);
        assert!(
            !client(&here, &none, "chat.example.org").is_operator,
            "a proxy that adds no header"
        );
        assert!(!client(&peer(Speaks::Https), &none, "localhost").is_operator);
        assert!(client(&peer(Speaks::Monitoring), &none, "kim").is_operator);
        for not_direct in [
            Peer {
                is_proxy: true,
                ..here.clone()
            },
            Peer {
                is_relayed: true,
                ..here.clone()
            },
            Peer {
                address: CLIENT.parse().unwrap(),
                ..here.clone()
            },
        ] {
            assert!(!client(&not_direct, &none, "localhost").is_operator);
        }
        let relayed = Peer {
            is_relayed: true,
            ..here
        };
        assert!(
            !client(&relayed, &none, "localhost").is_loopback,
            "its client is elsewhere"
        );
    }
}
