//! Which hosts are served here. The owner of any domain can point it at this server's address, and a page loaded from that domain
//! would then count as ours (DNS rebinding). The browser names the domain in `Host`, so requests for other hosts are refused.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{StatusCode, Version, header};
use kim_core::config::WebOrigin;
use kim_core::router::Router;
use kim_xep::xep0363_upload::api::Uploads;

/// Why a request is refused.
type Refused = (StatusCode, &'static str);

/// Host and port, as a URL or the `Host` header has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    /// In lower case, without brackets and without a dot at the end.
    host: String,
    port: Option<u16>,
}

impl Authority {
    /// Reads one; `None` for anything that is not `host` or `host:port`.
    pub fn parse(text: &str) -> Option<Authority> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                let port = match rest {
                    "" => "",
                    rest => rest.strip_prefix(':')?,
                };
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, port)
            }
            None => {
                let (host, port) = text.split_once(':').unwrap_or((text, ""));
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
                if host.is_empty() || !host.bytes().all(is_plain) {
                    return None;
                }
                (host.strip_suffix('.').unwrap_or(host), port)
            }
        };
        let port = match port {
            "" => None,
            port if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
            _ => return None,
        };
        Some(Authority {
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// An IP address, or a name that means this machine everywhere (RFC 6761 §6.3). Nobody can point such a name elsewhere.
    pub fn is_local_or_literal(&self) -> bool {
        self.is_loopback_name() || self.host.parse::<IpAddr>().is_ok()
    }

    /// This machine itself, by name or address.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.is_loopback_name() || address.is_ok_and(|address| address.to_canonical().is_loopback())
    }

    fn is_loopback_name(&self) -> bool {
        self.host == "localhost" || self.host.ends_with(".localhost")
    }

    /// A name of one label, such as containers have among themselves. The world's DNS has no such names.
    fn is_single_label(&self) -> bool {
        !self.host.contains('.')
    }

    /// Whether both mean the same host and port under this scheme.
    pub fn is_same(&self, other: &Authority, scheme: &str) -> bool {
        let usual = if scheme == "https" { 443 } else { 80 };
        let port = |authority: &Authority| authority.port.unwrap_or(usual);
        self.host == other.host && port(self) == port(other)
    }
}

/// The names of this server.
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// The domains, those of guests and services, and what links lead to.
    pub fn of(router: &Router) -> Hosts {
        let config = router.config();
        let mut names = Vec::new();
        for domain in config
            .server
            .domains
            .iter()
            .filter_map(|domain| domain.to_ascii())
        {
            names.push(format!("guest.{domain}"));
            names.extend(router.services().map(|service| format!("{service}.{domain}")));
            names.push(domain);
        }
        let uploads = router.fact::<Uploads>();
        let links: [Option<WebOrigin>; 2] = [
            config.public_url(),
            uploads.map(|uploads| uploads.origin().clone()),
        ];
        let authorities = links
            .iter()
            .flatten()
            .map(|link| Authority::parse(link.authority()));
        names.extend(authorities.flatten().map(|authority| authority.host));
        Hosts(names)
    }

    /// The host that a request is for, if it is one of ours. Only a request of HTTP/1.0 may leave it out (RFC 9112 §3.2).
    pub fn judge(&self, request: &Request, is_for_operators: bool) -> Result<Option<Authority>, Refused> {
        let bad = |text| (StatusCode::BAD_REQUEST, text);
        let mut named = request.headers().get_all(header::HOST).iter();
        let authority = match (named.next(), named.next()) {
            (None, _) if request.version() < Version::HTTP_11 => return Ok(None),
            (None, _) => return Err(bad("a Host header is required")),
            (Some(_), Some(_)) => return Err(bad("exactly one Host header is required")),
            (Some(host), None) => host.to_str().ok().and_then(Authority::parse),
        };
        // RFC 9112 §3.2.2: an absolute target stands above the header.
        let authority = match request.uri().authority() {
            Some(target) => authority.and_then(|_| Authority::parse(target.as_str())),
            None => authority,
        };
        let authority = authority.ok_or_else(|| bad("the Host header must be host or host:port"))?;
        if authority.is_local_or_literal()
            || self.0.contains(&authority.host)
            || (is_for_operators && authority.is_single_label())
        {
            return Ok(Some(authority));
        }
        tracing::debug!(event = "host_refused", host = authority.host);
        let text = "this host is not served here: a proxy must pass the Host header on, and other names than the \
                    domains go into public_url in [listen]";
        Err((StatusCode::MISDIRECTED_REQUEST, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, Option<u16>)> {
        Authority::parse(text).map(|authority| (authority.host, authority.port))
    }

    #[test]
    fn a_host_may_have_a_port_and_nothing_else() {
        for (text, host, port) in [
            ("Example.ORG", "example.org", None),
            ("example.org.:8443", "example.org", Some(8443)),
            ("example.org:", "example.org", None),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[2001:DB8::1]:443", "2001:db8::1", Some(443)),
            ("[::1]", "::1", None),
        ] {
            assert_eq!(parsed(text), Some((host.to_owned(), port)), "{text}");
        }
        for text in [
            "",
            ":80",
            "a b",
            "user@example.org",
            "example.org/x",
            "a:b",
            "a:80:81",
            "a:+80",
            "a:99999",
            "[a]",
            "[::1",
            "[::1]x",
            "::1",
            "ex\u{e4}mple",
            "a,b",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn only_names_that_nobody_can_point_elsewhere_are_local() {
        let is_local = |text: &str| Authority::parse(text).unwrap().is_local_or_literal();
        for text in ["localhost", "a.LOCALHOST:1", "127.0.0.1", "192.0.2.7:80", "[::1]"] {
            assert!(is_local(text), "{text}");
        }
        for text in [
            "localhost.example",
            "notlocalhost",
            "127.0.0.1.example",
            "127.1.example",
        ] {
            assert!(!is_local(text), "{text}");
        }
        let is_loopback = |text: &str| Authority::parse(text).unwrap().is_loopback();
        assert!(is_loopback("[::ffff:127.0.0.1]") && is_loopback("127.9.9.9") && !is_loopback("192.0.2.7"));
    }

    #[test]
    fn the_usual_port_need_not_be_said() {
        let of = |text: &str| Authority::parse(text).unwrap();
        assert!(of("a.example").is_same(&of("a.example:443"), "https"));
        assert!(!of("a.example").is_same(&of("a.example:443"), "http"));
        assert!(!of("a.example").is_same(&of("b.example"), "https"));
    }
}
