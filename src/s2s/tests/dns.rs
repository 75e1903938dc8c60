//! Where a domain's servers are, by a DNS in memory (RFC 2782, XEP-0368).

use std::net::IpAddr;

use kim_core::config::S2s;
use kim_core::db::BoxFuture;

use crate::s2s::dane::Association;
use crate::s2s::dns::{DnsLookup, NoWay, Srv, Target, addresses, anchors_in, in_order, is_public, targets};

fn srv(priority: u16, weight: u16, host: &str) -> (Srv, bool) {
    let srv = Srv {
        priority,
        weight,
        port: 5269,
        host: host.to_owned(),
    };
    (srv, false)
}

fn hosts(ordered: &[(Srv, bool)]) -> Vec<&str> {
    ordered.iter().map(|(srv, _)| srv.host.as_str()).collect()
}

#[test]
fn priority_comes_first_and_weight_is_a_share() {
    let offers = vec![
        srv(20, 0, "late"),
        srv(10, 30, "b"),
        srv(10, 0, "none"),
        srv(10, 10, "a"),
    ];
    assert_eq!(
        hosts(&in_order(offers.clone(), |_| 0)),
        ["none", "a", "b", "late"]
    );
    assert_eq!(
        hosts(&in_order(offers.clone(), |sum| sum)),
        ["b", "a", "none", "late"]
    );
    let mut first = 0;
    let mut chance = (0..41).cycle();
    for _ in 0..410 {
        let ordered = in_order(offers.clone(), |sum| chance.next().unwrap_or(0) % (sum + 1));
        first += usize::from(hosts(&ordered).first() == Some(&"b"));
    }
    assert!((150..=400).contains(&first), "{first} of 410");
}

#[test]
fn addresses_for_special_use_are_not_public() {
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "192.0.2.1",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
    ] {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
    for address in ["1.1.1.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

/// A DNS in memory.
#[derive(Default)]
pub struct Zone {
    pub srv: Vec<(&'static str, Srv)>,
    pub addresses: Vec<(&'static str, IpAddr)>,
    pub silent: bool,
}

impl DnsLookup for Zone {
    fn srv<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Srv>, NoWay>> {
        let found = self.srv.iter().filter(|(owner, _)| *owner == name);
        let found = match self.silent {
            true => Err(NoWay::Unanswered("silence".into())),
            false => Ok(found.map(|(_, srv)| srv.clone()).collect()),
        };
        Box::pin(async { found })
    }

    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, NoWay>> {
        let found = self.addresses.iter().filter(|(owner, _)| *owner == host);
        let found = found.map(|(_, address)| *address).collect();
        Box::pin(async { Ok(found) })
    }

    fn associations<'a>(&'a self, _: &'a str, _: &'a Target) -> BoxFuture<'a, Vec<Association>> {
        Box::pin(async { Vec::new() })
    }
}

fn at(priority: u16, port: u16, host: &str) -> Srv {
    Srv {
        priority,
        weight: 0,
        port,
        host: host.to_owned(),
    }
}

#[tokio::test]
async fn both_kinds_of_records_are_one_list() {
    let zone = Zone {
        srv: vec![
            (
                "_xmpp-server._tcp.xn--bse-sna.example.",
                at(10, 5269, "a.example"),
            ),
            ("_xmpps-server._tcp.xn--bse-sna.example.", at(5, 443, "b.example")),
        ],
        ..Zone::default()
    };
    let found = targets(&zone, "böse.example", &S2s::default())
        .await
        .expect("targets");
    let found: Vec<_> = found
        .iter()
        .map(|t| (t.host.as_str(), t.port, t.direct_tls))
        .collect();
    assert_eq!(found, [("b.example", 443, true), ("a.example", 5269, false)]);
}

#[tokio::test]
async fn without_records_the_domain_itself_is_tried_and_a_dot_refuses() {
    let settings = S2s::default();
    let found = targets(&Zone::default(), "a.example", &settings)
        .await
        .expect("targets");
    assert_eq!((found[0].host.as_str(), found[0].port), ("a.example", 5269));
    let refusing = Zone {
        srv: vec![("_xmpp-server._tcp.a.example.", at(0, 0, ""))],
        ..Zone::default()
    };
    let refused = targets(&refusing, "a.example", &settings).await;
    assert!(matches!(refused, Err(NoWay::NoServer(_))), "{refused:?}");
    let silent = Zone {
        silent: true,
        ..Zone::default()
    };
    let unanswered = targets(&silent, "a.example", &settings).await;
    assert!(matches!(unanswered, Err(NoWay::Unanswered(_))), "{unanswered:?}");
    for hidden in ["abc.onion", "abc.i2p"] {
        assert!(targets(&Zone::default(), hidden, &settings).await.is_err());
    }
}

#[tokio::test]
async fn private_addresses_are_for_those_who_want_them() {
    let zone = Zone {
        addresses: vec![
            ("a.example", "10.0.0.1".parse().unwrap()),
            ("a.example", "8.8.8.8".parse().unwrap()),
            ("a.example", "2606:4700::1".parse().unwrap()),
            ("b.example", "127.0.0.1".parse().unwrap()),
        ],
        ..Zone::default()
    };
    let target = |host: &str| Target {
        host: host.to_owned(),
        port: 5269,
        direct_tls: false,
        by_proxy: false,
    };
    let strict = S2s::default();
    let found = addresses(&zone, &target("a.example"), &strict)
        .await
        .expect("addresses");
    assert_eq!(
        found,
        [
            "[2606:4700::1]:5269".parse().unwrap(),
            "8.8.8.8:5269".parse().unwrap()
        ]
    );
    assert!(addresses(&zone, &target("b.example"), &strict).await.is_err());
    assert!(addresses(&zone, &target("127.0.0.1"), &strict).await.is_err());
    let open = S2s {
        private_addresses: true,
        ..S2s::default()
    };
    assert_eq!(
        addresses(&zone, &target("b.example"), &open)
            .await
            .map(|all| all.len()),
        Ok(1)
    );
}

/// Comments, a TTL and tabs are fine; what other programs accept and this one does not is refused.
#[test]
fn a_trust_anchor_file_has_dnskey_records() {
    let key = "mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==";
    let good = format!("; the keys of the root\n.\t172800\tIN\tDNSKEY\t257 3 13 {key} ;{{id = 1}}\n");
    assert_eq!(anchors_in(&good).map(|anchors| anchors.len()).ok(), Some(1));

    let digest = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n";
    for bad in ["", "\n; nothing but a comment\n", digest, "Not a record.\n"] {
        let problem = anchors_in(bad).err().unwrap_or_default();
        assert!(
            problem.contains("DNSKEY records are required"),
            "{bad:?}: {problem:?}"
        );
    }
}
