//! `[s2s]`: other servers, and how they must prove who they are.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::types::Domain;
use super::value::Choice;
use crate::section;

section! {
    /// Federation: people on other servers. Needs DNS records and a certificate that other servers trust.
    pub struct S2s {
        /// false makes this server an island: it connects to no other server and lets none in.
        pub enabled: bool = true;
        /// What another server must show to prove its domain. "certificate": one for that domain from an authority that is
        /// trusted here (or one that DANE names). "dialback": the word of the server that DNS names for the domain is enough
        /// (XEP-0220); TLS is still required.
        pub require: Proof = Proof::Certificate;
        /// Domains that may use dialback although "require" asks for a certificate.
        pub dialback_domains: Vec<Domain> = Vec::new();
        /// Domains that must show a certificate although "require" allows dialback.
        pub certificate_domains: Vec<Domain> = Vec::new();
        /// Only these domains, and those below them. Empty: every domain.
        pub allow: Vec<Domain> = Vec::new();
        /// Never these domains, nor those below them.
        pub deny: Vec<Domain> = Vec::new();
        /// File with authorities to trust beside those of the system, PEM.
        pub ca: Option<PathBuf> = None, example r#""/etc/kim/extra-roots.pem""#;
        /// The DNS server to ask. Not set: those of the system.
        pub resolver: Option<SocketAddr> = None, example r#""127.0.0.53:53""#;
        /// File with the keys of the zones whose DNSSEC signatures are believed. Not set: those of the root.
        pub trust_anchor: Option<PathBuf> = None, example r#""/etc/kim/trusted-zones.key""#;
        /// Connect to loopback and private addresses too, for other servers on this machine or network. Otherwise anybody who
        /// controls a domain could make this server connect to its own network.
        pub private_addresses: bool = false;
        /// The SOCKS5 proxy for domains in .onion and .i2p. Not set: these domains cannot be reached.
        pub socks: Option<SocketAddr> = None, example r#""127.0.0.1:9050""#;
        /// Hours for which messages wait for a server that cannot be reached, before they return to their senders, also while
        /// "enabled" is false. 0 returns them after the first failed attempt.
        pub keep_hours: u64 = 48, in 0..=720;
        /// Minutes after which a stream without stanzas is closed.
        pub idle_minutes: u64 = 10, in 1..=1_440;
    }
}

/// How another server proves that it is the one of its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// By a certificate for the domain.
    Certificate,
    /// By a certificate, or by dialback (XEP-0220).
    Dialback,
}

impl Choice for Proof {
    const ALL: &'static [Proof] = &[Proof::Certificate, Proof::Dialback];

    fn as_str(self) -> &'static str {
        match self {
            Proof::Certificate => "certificate",
            Proof::Dialback => "dialback",
        }
    }
}

impl S2s {
    /// What a domain has to show.
    pub fn proof_of(&self, domain: &str) -> Proof {
        let is_among = |domains: &[Domain]| domains.iter().any(|listed| **listed == *domain);
        if is_among(&self.certificate_domains) {
            Proof::Certificate
        } else if is_among(&self.dialback_domains) {
            Proof::Dialback
        } else {
            self.require
        }
    }

    /// Whether the operator lets a domain in and out.
    pub fn permits(&self, domain: &str) -> bool {
        let covers = |domains: &[Domain]| domains.iter().any(|listed| is_at_or_below(domain, listed));
        !covers(&self.deny) && (self.allow.is_empty() || covers(&self.allow))
    }
}

fn is_at_or_below(domain: &str, above: &str) -> bool {
    domain
        .strip_suffix(above)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
