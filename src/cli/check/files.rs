//! Checks of files: the data directory, the certificates and their keys.

use std::path::{Path, PathBuf};

use kim_core::config::Config;
use kim_core::db::now_us;

use super::super::certificate::{CertificateFacts, inspect};
use super::super::serve::try_writing;
use super::super::utc::utc;
use super::{CheckContext, Finding};
use crate::exposed::open_to_others;
use crate::failure::Failure;

/// What findings about the data directory are about.
pub(super) const DATA: &str = "data";

/// Warn about a certificate this many days before it expires. Let's Encrypt renews 30 days before.
const EXPIRY_WARN_DAYS: i64 = 14;

const DAY_SECONDS: i64 = 86_400;

/// Whether the data directory is writable, and who can read it. Changes nothing.
pub(super) fn data_dir(context: &CheckContext) -> Vec<Finding> {
    let path = &context.config.server.data_dir;
    let shown = path.display();
    if !path.exists() {
        // The nearest directory that is there decides whether it can be made.
        let parent = path
            .ancestors()
            .skip(1)
            .find(|parent| parent.exists() || parent.as_os_str().is_empty());
        let parent = parent
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        return vec![match try_writing(parent) {
            Ok(()) => Finding::ok(DATA, format!("{shown} will be created at the first start")),
            Err(error) => Finding::fail(
                DATA,
                format!(
                    "{shown} cannot be created: {} is not writable: {error}",
                    parent.display()
                ),
            ),
        }];
    }
    if let Err(error) = try_writing(path) {
        return vec![Finding::fail(DATA, format!("{shown} is not writable: {error}"))];
    }
    let mut findings = vec![Finding::ok(DATA, format!("{shown} is writable"))];
    if open_to_others(path) {
        let text = format!("other users of this machine can read {shown}; fix: chmod 700 {shown}");
        findings.push(Finding::warn(DATA, text));
    }
    findings
}

/// Whether each certificate can be used, and whether each domain has one: the configured pair, and every `NAME.crt` with
/// a `NAME.key` in `DATA_DIR/certs/`.
pub(super) fn certificates(context: &CheckContext) -> Vec<Finding> {
    let config = &context.config;
    let configured = config.tls.cert.clone().zip(config.tls.key.clone());
    if let (Some(barred), None) = (context.barred, &configured) {
        return vec![Finding::skip("certificate", barred)];
    }
    let mut findings = Vec::new();
    let mut good = Vec::new();
    let mut is_broken = false;
    for (cert, key) in configured.into_iter().chain(in_folder(config)) {
        let is_set = |path: &Path, set: &Option<PathBuf>| set.as_deref() == Some(path);
        let setting = |path: &Path| match (is_set(path, &config.tls.cert), is_set(path, &config.tls.key)) {
            (true, _) => Some("[tls] cert"),
            (_, true) => Some("[tls] key"),
            _ => None,
        };
        match inspect(&cert, &key) {
            Ok(facts) => {
                findings.extend(judge(&cert, &facts, now_us() / 1_000_000));
                good.push(facts);
            }
            Err(failure) => {
                is_broken = true;
                let named = match &failure {
                    Failure::Certificate { path, .. } => setting(path),
                    _ => None,
                };
                findings.push(Finding::fail("certificate", failure.set_by(named).to_string()));
            }
        }
        if open_to_others(&key) {
            let key = key.display();
            let text = format!("other users of this machine can read {key}; fix: chmod 600 {key}");
            findings.push(Finding::warn("certificate", text));
        }
    }
    for domain in &config.server.domains {
        if good.iter().any(|facts| facts.covers(domain)) {
            continue;
        }
        findings.push(if is_broken && config.tls.cert.is_some() {
            Finding::skip("certificate", format!("whether one covers {domain}, while a file is wrong"))
        } else if config.tls.cert.is_some() {
            Finding::fail(
                "certificate",
                format!("no certificate covers {domain}; clients refuse to connect"),
            )
        } else {
            let text = format!(
                "no certificate covers {domain}: the server creates a self-signed one, which clients do not trust"
            );
            Finding::warn("certificate", text)
        });
    }
    findings
}

/// Every `NAME.crt` with a `NAME.key` in the folder of the data directory.
fn in_folder(config: &Config) -> Vec<(PathBuf, PathBuf)> {
    let folder = std::fs::read_dir(config.server.data_dir.join("certs"));
    let files = folder
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    let certs = files.filter(|path| path.extension().is_some_and(|extension| extension == "crt"));
    let found = certs
        .map(|cert| (cert.clone(), cert.with_extension("key")))
        .filter(|(_, key)| key.exists());
    let mut pairs: Vec<_> = found.collect();
    pairs.sort();
    pairs
}

fn judge(cert: &Path, facts: &CertificateFacts, now: i64) -> Vec<Finding> {
    let cert = cert.display();
    let names = facts.names.join(", ");
    let end = utc(facts.not_after.saturating_mul(1_000_000));
    let days = (facts.not_after - now).div_euclid(DAY_SECONDS);
    let mut findings = vec![if now > facts.not_after {
        Finding::fail(
            "certificate",
            format!("{cert} expired on {end}; clients refuse it"),
        )
    } else if now < facts.not_before {
        let start = utc(facts.not_before.saturating_mul(1_000_000));
        Finding::fail(
            "certificate",
            format!("{cert} is not valid before {start}; is the clock right?"),
        )
    } else if days < EXPIRY_WARN_DAYS {
        Finding::warn(
            "certificate",
            format!("{cert} for {names} expires in {days} days, on {end}"),
        )
    } else {
        Finding::ok("certificate", format!("{cert} for {names} until {end}"))
    }];
    if facts.self_signed {
        let text = format!("{cert} is self-signed: clients refuse it until the user trusts it");
        findings.push(Finding::warn("certificate", text));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;
    use kim_core::config::Domain;

    fn outcomes(facts: &CertificateFacts, now: i64) -> Vec<Outcome> {
        judge(Path::new("a.crt"), facts, now)
            .into_iter()
            .map(|finding| finding.outcome)
            .collect()
    }

    #[test]
    fn a_certificate_is_judged_by_its_dates() {
        let good = CertificateFacts {
            names: vec!["localhost".to_owned()],
            not_before: 0,
            not_after: 100 * DAY_SECONDS,
            chain: 2,
            self_signed: false,
        };
        assert_eq!(outcomes(&good, DAY_SECONDS), [Outcome::Ok]);
        assert_eq!(
            outcomes(&good, 90 * DAY_SECONDS),
            [Outcome::Warn],
            "it expires soon"
        );
        assert_eq!(
            outcomes(&good, 101 * DAY_SECONDS),
            [Outcome::Fail],
            "it has expired"
        );
        assert_eq!(outcomes(&good, -1), [Outcome::Fail], "it does not hold yet");
        let own = CertificateFacts {
            self_signed: true,
            ..good
        };
        assert_eq!(outcomes(&own, DAY_SECONDS), [Outcome::Ok, Outcome::Warn]);
    }

    #[test]
    fn a_star_stands_for_one_label() {
        let facts = CertificateFacts {
            names: vec![
                "*.example.org".to_owned(),
                "xn--bcher-kva.example".to_owned(),
                "127.0.0.1".to_owned(),
            ],
            not_before: 0,
            not_after: 0,
            chain: 1,
            self_signed: false,
        };
        let covers = |domain: &str| facts.covers(&Domain::parse(domain).unwrap());
        assert!(covers("chat.example.org"));
        assert!(covers("Chat.Example.Org"));
        assert!(!covers("example.org"));
        assert!(!covers("a.chat.example.org"));
        assert!(covers("bücher.example"));
        assert!(covers("127.0.0.1"));
        assert!(!covers("127.0.0.2"));
    }
}
