//! Addresses (RFC 7622) and nicknames (RFC 8266): what is prepared stays as it is, so that no address has two forms.

use kim_core::jid::{BareJid, Jid, PART_BYTES_MAX, nickname_key, prepare_username};
use kim_core::wire::is_text;

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Jid::parse(text) {
        Ok(jid) => address(text, &jid),
        Err(error) => assert_eq!(BareJid::parse(text), Err(error)),
    }
    if let Ok(name) = prepare_username(text) {
        assert_eq!(prepare_username(&name).as_ref(), Ok(&name));
        let jid = BareJid::new(Some(text), "example.org").expect("a name makes an address");
        assert_eq!(jid.local(), Some(&*name));
    }
}

fn address(text: &str, jid: &Jid) {
    let (local, domain, resource) = (jid.local(), jid.domain(), jid.resource());
    assert_eq!(Jid::parse(jid.as_str()).as_ref(), Ok(jid), "prepared for good");
    assert_eq!(Jid::new(local, domain, resource).as_ref(), Ok(jid));
    for part in [local, Some(domain), resource].into_iter().flatten() {
        assert!((1..=PART_BYTES_MAX).contains(&part.len()));
    }
    assert!(is_text(jid.as_str()), "every address can stand in a stanza");
    assert!(!domain.contains(['@', '/']));

    let before = local.map(|local| format!("{local}@")).unwrap_or_default();
    let behind = resource
        .map(|resource| format!("/{resource}"))
        .unwrap_or_default();
    assert_eq!(jid.as_str(), format!("{before}{domain}{behind}"));
    assert_eq!(jid.bare_str(), format!("{before}{domain}"));

    let bare = jid.bare();
    assert_eq!(BareJid::parse(bare.as_str()).as_ref(), Ok(&bare));
    assert_eq!(BareJid::parse(text).is_ok(), jid.is_bare());
    assert_eq!(jid.to_domain().as_str(), domain);
    if let Some(local) = local {
        assert!(!local.contains(['@', '/']));
        assert_eq!(prepare_username(local).as_deref(), Ok(local));
    }
    if let Some(nick) = resource {
        assert_eq!(bare.with_resource(nick).as_ref(), Ok(jid));
        if let Some(key) = nickname_key(nick) {
            assert_eq!(nickname_key(&key).as_ref(), Some(&key), "a key is its own key");
        }
    }
}
