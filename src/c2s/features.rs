//! What a stream offers, state by state (RFC 6120 §4.3.2). One place writes all of it; modules add theirs through
//! [`Router::stream_features`].

use kim_core::module::Offer as Moment;
use kim_core::ns;
use kim_core::router::Router;
use kim_core::wire::Writer;

use super::sasl;

/// Which channel bindings there are (XEP-0440).
const CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// How much the server takes (XEP-0478).
const LIMITS: &str = "urn:xmpp:stream-limits:0";

/// Before TLS: nothing else, and nothing without it (RFC 6120 §5.3.1).
pub(super) fn starttls(required: bool) -> String {
    let mut xml = Writer::new();
    xml.start("starttls", ns::TLS);
    if required {
        xml.start("required", ns::TLS).end();
    }
    xml.end();
    xml.finish_string()
}

/// Before login.
pub(super) fn before_login(router: &Router, domain: &str, offer: &sasl::Offer) -> String {
    let mut xml = Writer::new();
    xml.start("mechanisms", ns::SASL);
    for mechanism in offer.mechanisms() {
        xml.start("mechanism", ns::SASL).text(mechanism.name()).end();
    }
    xml.end();
    let mut features = xml.finish_string();
    let bindings = offer.channel_binding_types();
    if !bindings.is_empty() {
        let mut xml = Writer::new();
        xml.start("sasl-channel-binding", CHANNEL_BINDING);
        for binding in bindings {
            xml.start("channel-binding", CHANNEL_BINDING)
                .attr("type", binding.name())
                .end();
        }
        xml.end();
        features.push_str(&xml.finish_string());
    }
    features.push_str(&router.stream_features(Moment::BeforeLogin, domain));
    features.push_str(&limits(router.limits().stanza_bytes_before_login_max));
    features
}

/// After login: binding is what remains (RFC 6120 §7.1). The session request of RFC 3921 is offered as optional, for
/// clients that cannot do without.
pub(super) fn after_login(router: &Router, domain: &str) -> String {
    let mut xml = Writer::new();
    xml.start("bind", ns::BIND)
        .start("required", ns::BIND)
        .end()
        .end();
    let mut features = xml.finish_string();
    let mut xml = Writer::new();
    xml.start("session", ns::SESSION)
        .start("optional", ns::SESSION)
        .end()
        .end();
    features.push_str(&xml.finish_string());
    features.push_str(&router.stream_features(Moment::AfterLogin, domain));
    features.push_str(&limits(router.limits().stanza_bytes_max));
    features
}

/// XEP-0478 §2. No `idle-seconds`: a silent client is not sent away.
fn limits(stanza_bytes_max: usize) -> String {
    let mut xml = Writer::new();
    xml.start("limits", LIMITS);
    xml.start("max-bytes", LIMITS)
        .text(&stanza_bytes_max.to_string())
        .end();
    xml.end();
    xml.finish_string()
}
