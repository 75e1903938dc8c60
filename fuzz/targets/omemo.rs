//! Published keys of OMEMO (XEP-0384 §5.3): bundles and lists of devices, as the house judges them and as the REST API reads
//! them.

use kim::http::rest::keys::format::{Format, Version};
use kim_core::wire::{Element, Writer};
use kim_xep::xep0384_omemo::bundle::Bundle;
use kim_xep::xep0384_omemo::devices;
use kim_xep::xep0384_omemo::nodes::Protocol;

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// Less than by default, so that the limits are within the fuzzer's reach.
const PREKEYS_MAX: usize = 8;
const DEVICES_MAX: usize = 8;

pub fn check(data: &[u8]) {
    let Some(payload) = super::element(data) else {
        return;
    };
    let mut writer = Writer::new();
    let item = writer
        .start("item", PUBSUB)
        .el(payload.el())
        .finish_element()
        .unwrap();
    for (protocol, version) in [(Protocol::Legacy, Version::Legacy), (Protocol::Two, Version::Two)] {
        let format = version.format();
        if let Ok(bundle) = Bundle::check(protocol, payload.el(), PREKEYS_MAX) {
            assert!((1..=PREKEYS_MAX).contains(&bundle.prekeys));
            assert_eq!(bundle.fingerprint.to_string().len(), 8 * 8 + 7);
            let read = format
                .bundle(item.el())
                .expect("a good bundle can be read by programs");
            let written = written(|xml| format.write_bundle(&read, xml));
            let again = Bundle::check(protocol, written.el(), PREKEYS_MAX);
            assert_eq!(again, Ok(bundle), "programs see the keys that were judged");
        }
        if let Ok(listed) = devices::check(protocol, payload.el(), DEVICES_MAX) {
            assert!(listed.len() <= DEVICES_MAX);
            assert_eq!(format.devices(item.el()), listed);
            devices_again(format, protocol, &listed);
        }
    }
}

fn devices_again(format: &Format, protocol: Protocol, listed: &std::collections::BTreeSet<u32>) {
    let written = written(|xml| format.write_devices(listed, xml));
    assert_eq!(
        devices::check(protocol, written.el(), DEVICES_MAX).as_ref(),
        Ok(listed)
    );
}

fn written(write: impl Fn(&mut Writer)) -> Element {
    let mut xml = Writer::new();
    write(&mut xml);
    Element::parse(&xml.finish_string()).unwrap()
}
