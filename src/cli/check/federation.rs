//! Checks of what other servers need: DNS records that lead here, and a certificate that they trust.

use std::time::Duration;

use kim_core::config::{Config, Domain};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::{CheckContext, Finding};
use crate::s2s::dns::{Dns, DnsLookup, NoWay, Srv};
use crate::s2s::identity;

/// How long DNS may take for one domain.
const PATIENCE: Duration = Duration::from_secs(5);
/// The services whose names other servers look for.
const SERVICES: [&str; 2] = ["conference", "pubsub"];

/// Whether other servers can find this one and believe it.
pub(super) async fn federation(context: &CheckContext) -> Vec<Finding> {
    let config = &context.config;
    if !config.s2s.enabled {
        return vec![Finding::skip("federation", "[s2s] enabled is false")];
    }
    let domains = config
        .server
        .domains
        .iter()
        .filter(|domain| ***domain != *"localhost");
    let domains: Vec<String> = domains.map(ToString::to_string).collect();
    if domains.is_empty() {
        let text = "other servers cannot reach localhost";
        return vec![Finding::skip("federation", text)];
    }
    let mut findings = certificate(config, &domains);
    let dns = match Dns::open(&config.s2s) {
        Ok(dns) => dns,
        Err(problem) => {
            findings.push(Finding::fail("federation", format!("DNS: {problem}")));
            return findings;
        }
    };
    for domain in &domains {
        findings.extend(records(&dns, config, domain).await);
    }
    findings
}

/// Whether the certificate names the domains and the services below them.
fn certificate(config: &Config, domains: &[String]) -> Vec<Finding> {
    let Some(path) = &config.tls.cert else {
        let text = "the self-signed certificate proves nothing to other servers: get one from an authority ([tls] cert)";
        return vec![Finding::warn("federation", text)];
    };
    // What cannot be read is told by the check of the certificates.
    let Ok(leaf) = CertificateDer::from_pem_file(path) else {
        return Vec::new();
    };
    let mut missing = Vec::new();
    for domain in domains {
        let services = SERVICES.iter().map(|service| format!("{service}.{domain}"));
        missing.extend(
            std::iter::once(domain.clone())
                .chain(services)
                .filter(|name| !identity::is_for(&leaf, name)),
        );
    }
    match missing.is_empty() {
        true => vec![Finding::ok(
            "federation",
            "the certificate names all domains and services",
        )],
        false => {
            let text = format!(
                "{} does not name {}: other servers may refuse them",
                path.display(),
                missing.join(", ")
            );
            vec![Finding::warn("federation", text)]
        }
    }
}

/// Where the SRV records of a domain lead.
async fn records(dns: &dyn DnsLookup, config: &Config, domain: &str) -> Vec<Finding> {
    let ascii = Domain::ascii_of(domain).unwrap_or_else(|| domain.to_owned());
    let kinds = [
        ("_xmpp-server", "s2s", &config.listen.s2s),
        ("_xmpps-server", "s2s_tls", &config.listen.s2s_tls),
    ];
    let mut findings = Vec::new();
    for (service, key, addresses) in kinds {
        let name = format!("{service}._tcp.{ascii}.");
        let asked = tokio::time::timeout(PATIENCE, dns.srv(&name)).await;
        let found = asked.unwrap_or(Err(NoWay::Unanswered("no answer in time".to_owned())));
        let ports: Vec<u16> = addresses.iter().map(|address| address.port()).collect();
        findings.push(match found {
            Err(no_way) => Finding::warn("federation", format!("{name} {no_way}")),
            Ok(found) => judged(&name, key, &found, &ports),
        });
    }
    findings
}

/// Whether the records of one service fit the ports that are listened on.
fn judged(name: &str, key: &str, found: &[Srv], ports: &[u16]) -> Finding {
    let is_main = key == "s2s";
    if found.is_empty() {
        return match (is_main, ports.contains(&5269)) {
            (true, true) => Finding::ok(
                "federation",
                format!("{name} no SRV record; others try port 5269 of the domain itself"),
            ),
            (true, false) => {
                let text = format!(
                    "{name} no SRV record, and nothing listens on 5269 ([listen] s2s): nobody finds this server"
                );
                Finding::warn("federation", text)
            }
            (false, _) => Finding::ok("federation", format!("{name} no SRV record; others use STARTTLS")),
        };
    }
    let places: Vec<String> = found
        .iter()
        .map(|srv| format!("{}:{}", srv.host, srv.port))
        .collect();
    let places = places.join(", ");
    match found
        .iter()
        .any(|srv| !srv.host.is_empty() && ports.contains(&srv.port))
    {
        true => Finding::ok("federation", format!("{name} {places}")),
        false => Finding::warn(
            "federation",
            format!("{name} {places}: no address in [listen] {key} has such a port"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    fn srv(port: u16, host: &str) -> Srv {
        Srv {
            priority: 0,
            weight: 0,
            port,
            host: host.to_owned(),
        }
    }

    #[test]
    fn records_must_lead_to_a_port_that_is_open() {
        let outcome = |key, found: &[Srv], ports: &[u16]| judged("name", key, found, ports).outcome;
        assert_eq!(outcome("s2s", &[srv(5269, "a.example")], &[5269]), Outcome::Ok);
        assert_eq!(outcome("s2s", &[srv(5268, "a.example")], &[5269]), Outcome::Warn);
        assert_eq!(outcome("s2s", &[srv(0, "")], &[5269]), Outcome::Warn);
        assert_eq!(outcome("s2s", &[], &[5269]), Outcome::Ok);
        assert_eq!(outcome("s2s", &[], &[5270]), Outcome::Warn);
        assert_eq!(outcome("s2s_tls", &[], &[]), Outcome::Ok);
        assert_eq!(
            outcome("s2s_tls", &[srv(443, "a.example")], &[5270]),
            Outcome::Warn
        );
    }
}
