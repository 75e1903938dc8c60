//! `/metrics` in the format of OpenMetrics, written by prometheus-client from figures that the house keeps anyway: nothing is
//! counted for this page alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_xep::outreach::api::OutreachTally;
use kim_xep::xep0158_captcha::api::RegistrationGate;
use kim_xep::xep0380_eme::api::Tally;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::client::Client;
use super::{Web, answer};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The page, for operators.
pub(super) async fn page(State(web): State<Arc<Web>>, Extension(client): Extension<Client>) -> Response {
    if !client.is_operator {
        return answer::not_found().await;
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Figures(web)));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => answer::with_type(StatusCode::OK, CONTENT_TYPE, text),
        Err(_) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, "cannot be written"),
    }
}

struct Figures(Arc<Web>);

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> std::fmt::Result {
        let web = &self.0;
        let (router, door) = (web.router(), &web.door);
        let sessions = router.sessions().all();
        let guests = sessions.iter().filter(|session| session.guest).count();
        let db = web.db.stats();
        let stanzas = router.departed();
        let mut gauge = |name: &str, help: &str, value: usize| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = to.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)
        };
        gauge("kim_sessions", "Sessions there are", sessions.len())?;
        gauge("kim_sessions_guests", "Sessions of guests among them", guests)?;
        gauge(
            "kim_sessions_waiting",
            "Sessions that wait for a connection",
            door.waiting(),
        )?;
        gauge("kim_streams", "XMPP connections", door.connections())?;
        gauge(
            "kim_http_connections",
            "HTTP connections",
            web.connections.load(Ordering::Relaxed),
        )?;
        gauge(
            "kim_db_queued_rows",
            "Rows that wait for their commit",
            db.queued_rows,
        )?;
        gauge("kim_db_queued_bytes", "Bytes of them", db.queued_bytes)?;
        gauge(
            "kim_db_reachable",
            "1 while the database answers",
            usize::from(db.reachable),
        )?;
        let gate = router.fact::<RegistrationGate>();
        if let Some(gate) = &gate {
            gauge(
                "kim_registration_bits",
                "Bits of the challenge in front of open registration",
                gate.bits(router.clock().now()) as usize,
            )?;
        }
        if let Some(federation) = &web.federation {
            let streams = federation.streams();
            let incoming = streams.iter().filter(|life| life.is_incoming).count();
            let (stanzas, bytes) = federation.waiting();
            gauge(
                "kim_s2s_streams_incoming",
                "Streams that other servers opened",
                incoming,
            )?;
            gauge(
                "kim_s2s_streams_outgoing",
                "Streams to other servers",
                streams.len() - incoming,
            )?;
            gauge(
                "kim_s2s_queued_stanzas",
                "Stanzas that wait for other servers",
                stanzas,
            )?;
            gauge("kim_s2s_queued_bytes", "Bytes of them", bytes)?;
            let mut failures = to.encode_descriptor(
                "kim_s2s_failures",
                "Failed attempts to reach a server, by what the senders were told",
                None,
                MetricType::Counter,
            )?;
            for (reason, count) in federation.failures() {
                let labels = [("reason", reason)];
                ConstCounter::new(count as f64).encode(failures.encode_family(&labels)?)?;
            }
        }
        let mut counter = |name: &str, help: &str, value: f64| {
            let counter = ConstCounter::new(value);
            let metric = to.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)
        };
        counter(
            "kim_messages",
            "Messages that clients sent",
            stanzas.messages as f64,
        )?;
        counter(
            "kim_presences",
            "Presences that clients sent",
            stanzas.presences as f64,
        )?;
        counter(
            "kim_iqs",
            "Requests and answers that clients sent",
            stanzas.iqs as f64,
        )?;
        counter(
            "kim_logins",
            "Logins that succeeded",
            door.counters.logins() as f64,
        )?;
        counter(
            "kim_login_failures",
            "Logins that failed",
            door.counters.failed_logins() as f64,
        )?;
        counter(
            "kim_connections_refused",
            "Connections closed because their address had too many",
            door.counters.refused_connections() as f64,
        )?;
        counter("kim_db_commits", "Transactions committed", db.commits as f64)?;
        counter("kim_db_rows", "Rows and jobs committed", db.committed_rows as f64)?;
        counter(
            "kim_db_failed_rows",
            "Rows and jobs refused or failed",
            db.failed_rows as f64,
        )?;
        counter(
            "kim_db_commit_seconds",
            "Time that commits took, all together",
            db.commit_us as f64 / 1e6,
        )?;
        if let Some(gate) = &gate {
            counter(
                "kim_registration_challenges_passed",
                "Accounts made with a challenge solved",
                gate.passed() as f64,
            )?;
            counter(
                "kim_registration_challenges_refused",
                "Attempts to register without a good answer to a challenge",
                gate.refused() as f64,
            )?;
        }
        if let Some(outreach) = router.fact::<OutreachTally>() {
            counter(
                "kim_outreach_people",
                "New people whom accounts wrote to or asked for a subscription",
                outreach.met() as f64,
            )?;
            counter(
                "kim_outreach_refused",
                "Messages and requests to new people that were over an account's budget",
                outreach.refused() as f64,
            )?;
        }
        if let Some(tally) = router.fact::<Tally>() {
            counter(
                "kim_messages_encrypted",
                "Messages whose text only their recipients can read",
                tally.encrypted() as f64,
            )?;
            counter(
                "kim_messages_readable",
                "Messages that the server could read",
                tally.readable() as f64,
            )?;
            counter(
                "kim_messages_readable_refused",
                "Readable messages that the policy sent back",
                tally.refused() as f64,
            )?;
        }
        if let Some(federation) = &web.federation {
            let read = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed) as f64;
            let counters = &federation.counters;
            counter(
                "kim_s2s_stanzas_received",
                "Stanzas from other servers",
                read(&counters.received),
            )?;
            counter(
                "kim_s2s_stanzas_sent",
                "Stanzas to other servers",
                read(&counters.sent),
            )?;
            counter(
                "kim_s2s_stanzas_returned",
                "Stanzas for other servers that came back to their senders",
                read(&counters.returned),
            )?;
            counter(
                "kim_s2s_connections_refused",
                "Connections of other servers closed because there were too many",
                read(&counters.refused),
            )?;
        }
        if let Some(upload) = &web.upload {
            let read = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed) as f64;
            counter("kim_uploads", "Files uploaded", read(&upload.files))?;
            counter("kim_upload_bytes", "Bytes of them", read(&upload.bytes))?;
        }
        counter("kim_panics", "Tasks that panicked", crate::panics::count() as f64)
    }
}
