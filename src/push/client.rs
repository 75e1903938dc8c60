//! How all push services are reached: over TLS that this machine's roots vouch for, without redirects, and with answers that are
//! read only so far.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response};
use tokio_rustls::rustls;

use crate::s2s::tls;

/// More of an answer is not read.
const ANSWER_BYTES_MAX: usize = 8_192;
/// How often a connection that is kept is tried out, so that one that is dead is not found by a notification.
const TRIED_EVERY: Duration = Duration::from_secs(30);
/// A connection that is not used that long is closed.
const KEPT_FOR: Duration = Duration::from_secs(3_600);

/// A client that may offer some protocols (ALPN); without any it speaks HTTP/1.1. The error says what is wrong with the system.
pub(super) fn builder(answer_within: Duration, protocols: &[&[u8]]) -> Result<ClientBuilder, String> {
    let mut config = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(tls::roots(None)?)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Client::builder()
        .tls_backend_preconfigured(config)
        .https_only(true)
        .no_proxy()
        .redirect(Policy::none())
        .timeout(answer_within)
        .pool_max_idle_per_host(4)
        .user_agent(concat!("kIM/", env!("CARGO_PKG_VERSION"))))
}

/// A client for a push service that is spoken to all the time.
pub(super) fn steady(answer_within: Duration, protocols: &[&[u8]]) -> Result<ClientBuilder, String> {
    Ok(builder(answer_within, protocols)?
        .pool_idle_timeout(KEPT_FOR)
        .http2_keep_alive_interval(TRIED_EVERY)
        .http2_keep_alive_timeout(answer_within)
        .http2_keep_alive_while_idle(true))
}

/// The beginning of an answer.
pub(super) async fn body(answer: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        let rest = ANSWER_BYTES_MAX.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..rest).unwrap_or(&chunk));
        if rest <= chunk.len() {
            break;
        }
    }
    body
}
