//! Where the servers of a domain are: SRV records by priority and weight (RFC 6120 §3.2, XEP-0368), else the domain's own
//! addresses; and what DANE says about their certificates (RFC 7673). The resolver keeps answers, also those that there is
//! nothing, for as long as DNS says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use kim_core::config::{Domain, S2s};
use kim_core::db::BoxFuture;
use kim_core::random;

use super::dane::{Association, Match, Usage};

/// The port of servers that no SRV record names.
const PORT: u16 = 5269;
/// Servers of one domain that are tried.
const TARGETS_MAX: usize = 8;
/// Addresses of one server that are tried.
const ADDRESSES_MAX: usize = 8;
/// Answers that are kept.
const CACHE_ENTRIES: u64 = 4_096;
/// How long one question may take, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(4);
const ATTEMPTS: usize = 2;
/// How long TLSA records may take: where nothing is signed, some DNS servers do not answer at all.
const DANE_PATIENCE: Duration = Duration::from_secs(3);

/// A server of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name, or its address as text.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS from the first byte (XEP-0368), otherwise STARTTLS.
    pub direct_tls: bool,
    /// Through the SOCKS proxy: DNS does not know this name.
    pub by_proxy: bool,
}

/// Why there is no way to a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// DNS says that there is no such domain, or that it has no server for this.
    #[error("{0}")]
    NoServer(String),
    /// DNS did not answer.
    #[error("DNS: {0}")]
    Unanswered(String),
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower ones are tried first.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host, without the dot at the end; empty for `.`, which refuses the service (RFC 2782).
    pub host: String,
}

/// What DNS is asked. The real one is [`Dns`]; tests have their own.
pub trait DnsLookup: Send + Sync + 'static {
    /// The SRV records of a name; empty if there are none.
    fn srv<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Srv>, NoWay>>;
    /// The addresses of a host; empty if there are none.
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NoWay>>;
    /// The TLSA records of a service whose signatures, and those of the SRV record that led there, are right. Empty where
    /// DNS is not signed, or does not say.
    fn associations<'a>(&'a self, domain: &'a str, target: &'a Target) -> BoxFuture<'a, Vec<Association>>;
}

/// The servers of a domain, in the order in which they are to be tried.
pub async fn targets(lookup: &dyn DnsLookup, domain: &str, settings: &S2s) -> Result<Vec<Target>, NoWay> {
    let one = |host: &str, by_proxy| {
        vec![Target {
            host: host.to_owned(),
            port: PORT,
            direct_tls: false,
            by_proxy,
        }]
    };
    if is_hidden(domain) {
        return match settings.socks {
            Some(_) => Ok(one(domain, true)),
            None => Err(NoWay::NoServer("[s2s] socks is not set".to_owned())),
        };
    }
    if let Some(address) = literal(domain) {
        return Ok(one(&address.to_string(), false));
    }
    let Some(ascii) = Domain::ascii_of(domain) else {
        return Err(NoWay::NoServer("the domain cannot stand in DNS".to_owned()));
    };
    let names = [
        format!("_xmpp-server._tcp.{ascii}."),
        format!("_xmpps-server._tcp.{ascii}."),
    ];
    let (plain, direct) = tokio::join!(lookup.srv(&names[0]), lookup.srv(&names[1]));
    let (plain, direct) = match (plain, direct) {
        // Without an answer about Direct TLS the usual records are enough.
        (Ok(plain), direct) => (plain, direct.unwrap_or_default()),
        (Err(error), Ok(direct)) if direct.is_empty() => return Err(error),
        (Err(_), Ok(direct)) => (Vec::new(), direct),
        (Err(error), Err(_)) => return Err(error),
    };
    if plain.is_empty() && direct.is_empty() {
        return Ok(one(&ascii, false));
    }
    let offers = plain
        .into_iter()
        .map(|srv| (srv, false))
        .chain(direct.into_iter().map(|srv| (srv, true)));
    let offers: Vec<(Srv, bool)> = offers.filter(|(srv, _)| !srv.host.is_empty()).collect();
    if offers.is_empty() {
        return Err(NoWay::NoServer(
            "its SRV record says that it has no server".to_owned(),
        ));
    }
    let mut targets: Vec<Target> = in_order(offers, |sum| u32::from_le_bytes(random::bytes()) % (sum + 1))
        .into_iter()
        .map(|(srv, direct_tls)| Target {
            host: srv.host,
            port: srv.port,
            direct_tls,
            by_proxy: false,
        })
        .collect();
    targets.truncate(TARGETS_MAX);
    Ok(targets)
}

/// Sorts by priority, and those of one priority by chance according to their weights (RFC 2782). `draw` gives a number from
/// nothing to the sum, both included.
pub(super) fn in_order(mut offers: Vec<(Srv, bool)>, mut draw: impl FnMut(u32) -> u32) -> Vec<(Srv, bool)> {
    // Those without weight come first among their like, as RFC 2782 wants it.
    offers.sort_by_key(|(srv, _)| (srv.priority, srv.weight));
    let mut ordered = Vec::with_capacity(offers.len());
    while let Some(priority) = offers.first().map(|(srv, _)| srv.priority) {
        let peers = offers.iter().filter(|(srv, _)| srv.priority == priority);
        let sum = peers.map(|(srv, _)| u32::from(srv.weight)).sum();
        let drawn = draw(sum);
        let mut running = 0;
        let chosen = offers.iter().position(|(srv, _)| {
            running += u32::from(srv.weight);
            running >= drawn
        });
        ordered.push(offers.remove(chosen.unwrap_or(0)));
    }
    ordered
}

/// The addresses of a server that may be connected to.
pub async fn addresses(
    lookup: &dyn DnsLookup,
    target: &Target,
    settings: &S2s,
) -> Result<Vec<SocketAddr>, NoWay> {
    let found = match literal(&target.host) {
        Some(address) => vec![address],
        None => lookup.addresses(&target.host).await?,
    };
    if found.is_empty() {
        return Err(NoWay::NoServer(format!("{} has no address", target.host)));
    }
    let allowed = found
        .into_iter()
        .filter(|address| settings.private_addresses || is_public(*address));
    let mut allowed = alternating(allowed.collect());
    if allowed.is_empty() {
        let problem = format!(
            "{} has private addresses only ([s2s] private_addresses)",
            target.host
        );
        return Err(NoWay::NoServer(problem));
    }
    allowed.truncate(ADDRESSES_MAX);
    Ok(allowed
        .into_iter()
        .map(|address| SocketAddr::new(address, target.port))
        .collect())
}

/// IPv6 and IPv4 in turns, IPv6 first (RFC 8305 §4).
fn alternating(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut mixed = Vec::new();
    loop {
        let pair = [v6.next(), v4.next()];
        if pair.iter().all(Option::is_none) {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

/// A domain that is an address itself.
fn literal(domain: &str) -> Option<IpAddr> {
    domain.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether only the proxy knows a domain.
pub fn is_hidden(domain: &str) -> bool {
    domain.ends_with(".onion") || domain.ends_with(".i2p")
}

/// Whether an address is one of the whole internet. Everything that is for special use is not (RFC 6890).
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let benchmark = a == 198 && (b == 18 || b == 19);
            let protocol = a == 192 && b == 0 && c == 0;
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || shared
                || benchmark
                || protocol)
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            let is_global = first & 0xe000 == 0x2000;
            let documentation = first == 0x2001 && second == 0x0db8;
            // 6to4 and Teredo carry an IPv4 address, which may be a private one.
            let tunnel = first == 0x2002 || (first == 0x2001 && second == 0);
            is_global && !documentation && !tunnel
        }
    }
}

/// The resolver of the system, or the one that the configuration names.
pub struct Dns {
    resolver: TokioResolver,
    /// Checks signatures. Apart from the other, because some DNS servers lose the signatures, and then it finds nothing.
    signed: TokioResolver,
}

impl Dns {
    /// Opens it; nothing is asked yet. Reads the file of `[s2s] trust_anchor`.
    pub fn open(settings: &S2s) -> Result<Dns, String> {
        let anchors = match &settings.trust_anchor {
            Some(file) => trusted(file)?,
            None => TrustAnchors::default(),
        };
        Ok(Dns {
            resolver: build(settings, None).map_err(|error| error.to_string())?,
            signed: build(settings, Some(anchors)).map_err(|error| error.to_string())?,
        })
    }
}

/// The keys in the file of `[s2s] trust_anchor`.
fn trusted(file: &Path) -> Result<TrustAnchors, String> {
    let read = std::fs::read_to_string(file).map_err(|error| error.to_string());
    let anchors = read.and_then(|text| anchors_in(&text));
    anchors.map_err(|problem| format!("trust_anchor {}: {problem}", file.display()))
}

/// The keys in the text of a trust anchor file.
pub(super) fn anchors_in(text: &str) -> Result<TrustAnchors, String> {
    const REQUIRED: &str = "DNSKEY records are required, one on a line: `. IN DNSKEY 257 3 8 AwEAAa…`";
    // A file without a key would silently switch DANE off.
    let has_key = |line: &str| !line.trim_start().starts_with(';') && !line.trim().is_empty();
    if !text.lines().any(has_key) {
        return Err(format!("there is no key in it; {REQUIRED}"));
    }
    text.parse().map_err(|error| format!("{error}; {REQUIRED}"))
}

/// A resolver; with anchors, one that checks signatures.
fn build(settings: &S2s, anchors: Option<TrustAnchors>) -> Result<TokioResolver, NetError> {
    let by_server = |server: SocketAddr| {
        let mut name_server = NameServerConfig::udp_and_tcp(server.ip());
        for connection in &mut name_server.connections {
            connection.port = server.port();
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![name_server]);
        Resolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let mut builder = match settings.resolver {
        Some(server) => by_server(server),
        None => Resolver::builder(TokioRuntimeProvider::default()).unwrap_or_else(|error| {
            // As the C library does where nothing is configured (resolv.conf(5)).
            tracing::warn!(event = "dns_unconfigured", %error, "asking the DNS server on this machine");
            by_server(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)))
        }),
    };
    let options: &mut ResolverOpts = builder.options_mut();
    options.cache_size = CACHE_ENTRIES;
    options.timeout = PATIENCE;
    options.attempts = ATTEMPTS;
    options.edns0 = true;
    // The option `trust_anchor` only switches validation on: the resolver never reads the file that it names.
    if let Some(anchors) = anchors {
        builder = builder.with_trust_anchor(Arc::new(anchors));
    }
    builder.build()
}

impl DnsLookup for Dns {
    fn srv<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Srv>, NoWay>> {
        Box::pin(async move {
            let found = match self.resolver.lookup(name, RecordType::SRV).await {
                Ok(found) => found,
                Err(error) => return nothing(&error),
            };
            let records = found.answers().iter().filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(Srv {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    host: srv.target.to_ascii().trim_end_matches('.').to_ascii_lowercase(),
                }),
                _ => None,
            });
            Ok(records.collect())
        })
    }

    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NoWay>> {
        Box::pin(async move {
            let name = format!("{host}.");
            let (v6, v4) = tokio::join!(
                self.resolver.lookup(name.as_str(), RecordType::AAAA),
                self.resolver.lookup(name.as_str(), RecordType::A)
            );
            let mut found = Vec::new();
            let mut problem = None;
            for answer in [v6, v4] {
                match answer {
                    Ok(answer) => {
                        found.extend(answer.answers().iter().filter_map(|record| match &record.data {
                            RData::AAAA(v6) => Some(IpAddr::V6(v6.0)),
                            RData::A(v4) => Some(IpAddr::V4(v4.0)),
                            _ => None,
                        }))
                    }
                    Err(error) => problem = nothing::<IpAddr>(&error).err().or(problem),
                }
            }
            match problem {
                Some(problem) if found.is_empty() => Err(problem),
                _ => Ok(found),
            }
        })
    }

    fn associations<'a>(&'a self, domain: &'a str, target: &'a Target) -> BoxFuture<'a, Vec<Association>> {
        Box::pin(async move {
            let asked = async {
                let is_named = literal(&target.host).is_none() && !target.by_proxy;
                let ascii = Domain::ascii_of(domain)?;
                if !is_named || !(target.host == ascii || self.leads_to(&ascii, target).await) {
                    return None;
                }
                let name = format!("_{}._tcp.{}.", target.port, target.host);
                let found = self.signed.lookup(name.as_str(), RecordType::TLSA).await.ok()?;
                let records = found.answers().iter();
                let secure = records.filter(|record| record.proof == Proof::Secure);
                Some(secure.filter_map(|record| association(&record.data)).collect())
            };
            let found = tokio::time::timeout(DANE_PATIENCE, asked).await;
            found.ok().flatten().unwrap_or_default()
        })
    }
}

impl Dns {
    /// Whether a signed SRV record of the domain names the server.
    async fn leads_to(&self, ascii: &str, target: &Target) -> bool {
        let service = if target.direct_tls {
            "_xmpps-server"
        } else {
            "_xmpp-server"
        };
        let name = format!("{service}._tcp.{ascii}.");
        let Ok(found) = self.signed.lookup(name.as_str(), RecordType::SRV).await else {
            return false;
        };
        found.answers().iter().any(|record| match &record.data {
            RData::SRV(srv) => {
                let host = srv.target.to_ascii();
                let is_it = host.trim_end_matches('.').eq_ignore_ascii_case(&target.host);
                record.proof == Proof::Secure && srv.port == target.port && is_it
            }
            _ => false,
        })
    }
}

/// That there is nothing is an answer; everything else is none.
fn nothing<T>(error: &NetError) -> Result<Vec<T>, NoWay> {
    if error.is_no_records_found() {
        return Ok(Vec::new());
    }
    Err(NoWay::Unanswered(error.to_string()))
}

fn association(data: &RData) -> Option<Association> {
    let RData::TLSA(tlsa) = data else { return None };
    Some(Association {
        usage: match tlsa.cert_usage {
            CertUsage::PkixTa => Usage::PkixAuthority,
            CertUsage::PkixEe => Usage::PkixServer,
            CertUsage::DaneTa => Usage::Authority,
            CertUsage::DaneEe => Usage::Server,
            _ => return None,
        },
        key_only: match tlsa.selector {
            Selector::Full => false,
            Selector::Spki => true,
            _ => return None,
        },
        matching: match tlsa.matching {
            Matching::Raw => Match::Whole,
            Matching::Sha256 => Match::Sha256,
            Matching::Sha512 => Match::Sha512,
            _ => return None,
        },
        data: tlsa.cert_data.clone(),
    })
}

/// What a whole server needs of DNS, shared.
pub type SharedLookup = Arc<dyn DnsLookup>;
