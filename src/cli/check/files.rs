//! Checks of what lies on the disk: the data directory, the certificate and its key.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kim_core::config::Config;
use kim_core::db::now_us;

use super::super::certificate::{CertificateFacts, inspect};
use super::super::serve::try_writing;
use super::super::user::utc;
use super::Finding;

/// Days before its end from which on a certificate is warned about. Those of today are renewed 30 days before.
const EXPIRY_WARN_DAYS: i64 = 14;

const DAY_SECONDS: i64 = 86_400;

/// Whether the data directory can be written to, and by whom it can be read. Changes nothing.
pub(super) fn data_dir(config: &Config) -> Vec<Finding> {
    let path = &config.server.data_dir;
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
            Ok(()) => Finding::ok("data", format!("{shown} will be made at the first start")),
            Err(error) => Finding::fail(
                "data",
                format!(
                    "{shown} cannot be made: {} cannot be written to: {error}",
                    parent.display()
                ),
            ),
        }];
    }
    if let Err(error) = try_writing(path) {
        return vec![Finding::fail(
            "data",
            format!("{shown} cannot be written to: {error}"),
        )];
    }
    let mut findings = vec![Finding::ok("data", format!("{shown} can be written to"))];
    if open_to_others(path) {
        let text = format!("{shown} can be read by other users of this machine; chmod 700 {shown} ends that");
        findings.push(Finding::warn("data", text));
    }
    findings
}

/// Whether the certificate can be used, for which names and until when.
pub(super) fn certificate(config: &Config) -> Vec<Finding> {
    let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) else {
        let text = "none is set: the server makes a self-signed one, which clients refuse until they are told to trust it ([tls])";
        return vec![Finding::warn("certificate", text)];
    };
    let facts = match inspect(cert, key) {
        Ok(facts) => facts,
        Err(failure) => return vec![Finding::fail("certificate", failure.to_string())],
    };
    let mut findings = judge(&facts, config, now_us() / 1_000_000);
    if open_to_others(key) {
        let key = key.display();
        let text =
            format!("the key {key} can be read by other users of this machine; chmod 600 {key} ends that");
        findings.push(Finding::warn("certificate", text));
    }
    findings
}

fn judge(facts: &CertificateFacts, config: &Config, now: i64) -> Vec<Finding> {
    let end = utc(facts.not_after.saturating_mul(1_000_000));
    let mut findings = Vec::new();
    let days = (facts.not_after - now).div_euclid(DAY_SECONDS);
    if now > facts.not_after {
        findings.push(Finding::fail(
            "certificate",
            format!("expired on {end}; clients refuse it"),
        ));
    } else if now < facts.not_before {
        let start = utc(facts.not_before.saturating_mul(1_000_000));
        findings.push(Finding::fail(
            "certificate",
            format!("does not hold before {start}; is the clock right?"),
        ));
    } else if days < EXPIRY_WARN_DAYS {
        findings.push(Finding::warn(
            "certificate",
            format!("expires in {days} days, on {end}"),
        ));
    } else {
        findings.push(Finding::ok(
            "certificate",
            format!("for {} until {end}", facts.names.join(", ")),
        ));
    }
    for domain in &config.server.domains {
        if !facts.covers(domain) {
            let names = facts.names.join(", ");
            findings.push(Finding::fail(
                "certificate",
                format!("is not for {domain}, only for {names}; clients refuse it"),
            ));
        }
    }
    if facts.self_signed {
        findings.push(Finding::warn(
            "certificate",
            "self-signed: clients refuse it until they are told to trust it",
        ));
    }
    findings
}

fn open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;
    use kim_core::config::{Domain, Sources};

    fn outcomes(facts: &CertificateFacts, now: i64) -> Vec<Outcome> {
        let config = Config::load(&Sources::none(), &[]).unwrap();
        judge(facts, &config, now)
            .into_iter()
            .map(|finding| finding.outcome)
            .collect()
    }

    #[test]
    fn a_certificate_is_judged_by_its_dates_and_names() {
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
        let other = CertificateFacts {
            names: vec!["example.org".to_owned()],
            ..good.clone()
        };
        assert_eq!(
            outcomes(&other, DAY_SECONDS),
            [Outcome::Ok, Outcome::Fail],
            "it is for another domain"
        );
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
