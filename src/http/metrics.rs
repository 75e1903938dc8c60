//! `/metrics` in the format of OpenMetrics, written by prometheus-client from figures that the house keeps anyway: nothing is
//! counted for this page alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kim_xep::outreach::api::OutreachTally;
use kim_xep::strangers::api::Counters;
use kim_xep::xep0158_captcha::api::RegistrationGate;
use kim_xep::xep0191_server::api::ServerBlocks;
use kim_xep::xep0357_push::api::Figures as PushFigures;
use kim_xep::xep0377_reports::api::Reports;
use kim_xep::xep0380_eme::api::Tally;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
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
    fn encode(&self, to: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut page = Page(to);
        self.sessions(&mut page)?;
        self.stanzas(&mut page)?;
        self.database(&mut page)?;
        self.federation(&mut page)?;
        self.pushes(&mut page)?;
        self.abuse(&mut page)?;
        self.newcomers(&mut page)?;
        self.uploads(&mut page)?;
        page.counter("kim_panics", "Tasks that panicked", crate::panics::count() as f64)
    }
}

impl Figures {
    fn sessions(&self, page: &mut Page<'_>) -> std::fmt::Result {
        let (web, door) = (&self.0, &self.0.door);
        let sessions = web.router().sessions().all();
        let guests = sessions.iter().filter(|session| session.guest).count();
        let http = web.connections.load(Ordering::Relaxed);
        let counters = &door.counters;
        let refused = counters.refused_connections() as f64;
        page.gauge("kim_sessions", "Sessions there are", sessions.len())?;
        page.gauge("kim_sessions_guests", "Sessions of guests among them", guests)?;
        page.gauge(
            "kim_sessions_waiting",
            "Sessions that wait for a connection",
            door.waiting(),
        )?;
        page.gauge("kim_streams", "XMPP connections", door.connections())?;
        page.gauge("kim_http_connections", "HTTP connections", http)?;
        page.counter("kim_logins", "Logins that succeeded", counters.logins() as f64)?;
        page.counter(
            "kim_login_failures",
            "Logins that failed",
            counters.failed_logins() as f64,
        )?;
        let help = "Connections closed because their address had too many";
        page.counter("kim_connections_refused", help, refused)
    }

    fn stanzas(&self, page: &mut Page<'_>) -> std::fmt::Result {
        let router = self.0.router();
        let sent = router.departed();
        page.counter("kim_messages", "Messages that clients sent", sent.messages as f64)?;
        page.counter(
            "kim_presences",
            "Presences that clients sent",
            sent.presences as f64,
        )?;
        page.counter(
            "kim_iqs",
            "Requests and answers that clients sent",
            sent.iqs as f64,
        )?;
        let Some(tally) = router.fact::<Tally>() else {
            return Ok(());
        };
        let help = "Messages whose text only their recipients can read";
        page.counter("kim_messages_encrypted", help, tally.encrypted() as f64)?;
        let help = "Messages that the server could read";
        page.counter("kim_messages_readable", help, tally.readable() as f64)?;
        let help = "Readable messages that the policy sent back";
        page.counter("kim_messages_readable_refused", help, tally.refused() as f64)
    }

    fn database(&self, page: &mut Page<'_>) -> std::fmt::Result {
        let db = self.0.db.stats();
        let reachable = usize::from(db.reachable);
        page.gauge(
            "kim_db_queued_rows",
            "Rows that wait for their commit",
            db.queued_rows,
        )?;
        page.gauge("kim_db_queued_bytes", "Bytes of them", db.queued_bytes)?;
        page.gauge("kim_db_reachable", "1 while the database answers", reachable)?;
        page.counter("kim_db_commits", "Transactions committed", db.commits as f64)?;
        page.counter("kim_db_rows", "Rows and jobs committed", db.committed_rows as f64)?;
        page.counter(
            "kim_db_failed_rows",
            "Rows and jobs refused or failed",
            db.failed_rows as f64,
        )?;
        let seconds = db.commit_us as f64 / 1e6;
        page.counter(
            "kim_db_commit_seconds",
            "Time that commits took, all together",
            seconds,
        )
    }

    fn federation(&self, page: &mut Page<'_>) -> std::fmt::Result {
        let router = self.0.router();
        let oldest = router.outbound().oldest_seconds(router.clock().now());
        let help = "For how long the oldest message has waited for another server, as of the last 10 seconds";
        let oldest = usize::try_from(oldest).unwrap_or(usize::MAX);
        page.gauge("kim_s2s_oldest_message_seconds", help, oldest)?;
        let Some(federation) = &self.0.parts.federation else {
            return Ok(());
        };
        let streams = federation.streams();
        let incoming = streams.iter().filter(|life| life.is_incoming).count();
        let outgoing = streams.len() - incoming;
        let (stanzas, bytes) = federation.waiting();
        page.gauge(
            "kim_s2s_streams_incoming",
            "Streams that other servers opened",
            incoming,
        )?;
        page.gauge("kim_s2s_streams_outgoing", "Streams to other servers", outgoing)?;
        page.gauge(
            "kim_s2s_queued_stanzas",
            "Stanzas that wait for other servers",
            stanzas,
        )?;
        page.gauge("kim_s2s_queued_bytes", "Bytes of them", bytes)?;
        let help = "Failed attempts to reach a server, by what the senders were told";
        let failures = federation.failures().into_iter();
        page.counters(
            "kim_s2s_failures",
            help,
            failures.map(|(reason, count)| ([("reason", reason)], count)),
        )?;
        let counters = &federation.counters;
        let help = "Stanzas from other servers";
        page.counter("kim_s2s_stanzas_received", help, read(&counters.received))?;
        page.counter(
            "kim_s2s_stanzas_sent",
            "Stanzas to other servers",
            read(&counters.sent),
        )?;
        let help = "Stanzas for other servers that came back to their senders";
        page.counter("kim_s2s_stanzas_returned", help, read(&counters.returned))?;
        let help = "Connections of other servers closed because there were too many";
        page.counter("kim_s2s_connections_refused", help, read(&counters.refused))
    }

    fn pushes(&self, page: &mut Page<'_>) -> std::fmt::Result {
        let Some(pushes) = self.0.router().fact::<PushFigures>() else {
            return Ok(());
        };
        let help = "Push notifications published to app servers, further attempts included";
        page.counter("kim_push_sent", help, pushes.sent() as f64)?;
        let help = "Push notifications that app servers have taken";
        page.counter("kim_push_taken", help, pushes.taken() as f64)?;
        let help =
            "Seconds until app servers answered, of all push notifications that they have taken together";
        page.counter("kim_push_answer_seconds", help, pushes.answer_seconds())?;
        let help = "Push notifications that app servers have not answered yet";
        page.gauge("kim_push_underway", help, pushes.underway() as usize)?;
        let help = "Messages that an earlier push notification stands for";
        page.counter("kim_push_collapsed", help, pushes.collapsed() as f64)?;
        let help = "Push notifications that did not reach their app server at once, by reason";
        let failures = pushes.failed();
        page.counters(
            "kim_push_failures",
            help,
            failures.map(|(reason, count)| ([("reason", reason)], count)),
        )
    }

    /// What strangers sent, what was reported, and what the lists of blocked addresses refused.
    fn abuse(&self, page: &mut Page<'_>) -> std::fmt::Result {
        let router = self.0.router();
        if let Some(counters) = router.fact::<Counters>() {
            let help = "What strangers sent to accounts, by kind and by what became of it";
            let outcomes = counters.all();
            page.counters(
                "kim_strangers_stanzas",
                help,
                outcomes.map(|(kind, outcome, count)| ([("kind", kind), ("outcome", outcome)], count)),
            )?;
        }
        if let Some(reports) = router.fact::<Reports>() {
            let help = "Reports of spam and abuse, by what became of them";
            let figures = &reports.counters;
            let reasons = [
                ("spam", &figures.spam),
                ("abuse", &figures.abuse),
                ("refused", &figures.refused),
            ];
            page.counters(
                "kim_reports",
                help,
                reasons.map(|(reason, figure)| ([("reason", reason)], figure.load(Ordering::Relaxed))),
            )?;
        }
        let Some(blocks) = router.fact::<ServerBlocks>() else {
            return Ok(());
        };
        let figures = blocks.figures();
        let help = "Addresses on each list of server-wide blocks";
        let sizes = figures
            .iter()
            .map(|figure| ([("list", figure.list.as_str())], figure.addresses));
        page.gauges("kim_blocked_addresses", help, sizes)?;
        let help = "Stanzas that a list of server-wide blocks refused";
        let refused = figures.iter().flat_map(|figure| {
            let list = figure.list.as_str();
            let kinds = figure.refused.into_iter();
            kinds.map(move |(kind, count)| ([("list", list), ("kind", kind)], count))
        });
        page.counters("kim_blocked_stanzas", help, refused)
    }

    /// What new accounts cost, and how many new people accounts wrote to.
    fn newcomers(&self, page: &mut Page<'_>) -> std::fmt::Result {
        let router = self.0.router();
        if let Some(gate) = router.fact::<RegistrationGate>() {
            let help = "Bits of the challenge that open registration asks for";
            let bits = gate.bits(router.clock().now()) as usize;
            page.gauge("kim_registration_bits", help, bits)?;
            let help = "Accounts made with a challenge solved";
            page.counter("kim_registration_challenges_passed", help, gate.passed() as f64)?;
            let help = "Attempts to register without a valid answer to a challenge";
            page.counter("kim_registration_challenges_refused", help, gate.refused() as f64)?;
        }
        let Some(outreach) = router.fact::<OutreachTally>() else {
            return Ok(());
        };
        let help = "New people whom accounts wrote to or asked for a subscription";
        page.counter("kim_outreach_people", help, outreach.met() as f64)?;
        let help = "Messages and requests to new people that were over an account's budget";
        page.counter("kim_outreach_refused", help, outreach.refused() as f64)
    }

    fn uploads(&self, page: &mut Page<'_>) -> std::fmt::Result {
        let Some(upload) = &self.0.parts.upload else {
            return Ok(());
        };
        page.counter("kim_uploads", "Files uploaded", read(&upload.files))?;
        page.counter("kim_upload_bytes", "Bytes of them", read(&upload.bytes))
    }
}

fn read(figure: &AtomicU64) -> f64 {
    figure.load(Ordering::Relaxed) as f64
}

/// The page while it is written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: usize) -> std::fmt::Result {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        let metric = self.0.encode_descriptor(name, help, None, gauge.metric_type())?;
        gauge.encode(metric)
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) -> std::fmt::Result {
        let counter = ConstCounter::new(value);
        let metric = self
            .0
            .encode_descriptor(name, help, None, counter.metric_type())?;
        counter.encode(metric)
    }

    /// One gauge for each set of labels.
    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, usize)>,
    ) -> std::fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// One counter for each set of labels.
    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> std::fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in values {
            ConstCounter::new(count as f64).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
