//! Hears of blocks with a report in them, keeps the report, and tells the administrators.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kim_core::cx::Cx;
use kim_core::error::Fault;
use kim_core::hook::Hear;
use kim_core::jid::BareJid;
use kim_core::keyed::{Rate, Rates};
use kim_core::ns;
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::Writer;

use super::api::Reports;
use super::report::{self, Reason, ReportContent, ReportedMessage};
use crate::xep0191_blocking::api::Blocked;
use crate::xep0313_mam::api::MessageArchives;

/// Accounts whose reports are counted.
const REPORTERS_MAX: usize = 10_000;
/// The administrators are told no more often than once in an hour.
const TELLING: Rate = Rate {
    per_second: 1.0 / 3_600.0,
    burst: 1.0,
};
/// Namespaces of end-to-end encrypted payloads: what stands in the body beside one is no text of the sender.
const ENCRYPTED: [&str; 2] = ["eu.siacs.conversations.axolotl", "urn:xmpp:omemo:2"];

/// Takes reports.
pub(super) struct TakeReports {
    pub reports: Arc<Reports>,
    pub archives: Option<Arc<MessageArchives>>,
    pub rate: Rate,
    pub reports_max: usize,
    rates: Rates<BareJid>,
    telling: Rates<()>,
}

impl TakeReports {
    pub fn new(
        reports: Arc<Reports>,
        archives: Option<Arc<MessageArchives>>,
        per_hour: u32,
        reports_max: usize,
    ) -> TakeReports {
        TakeReports {
            reports,
            archives,
            rate: Rate {
                per_second: per_hour as f32 / 3_600.0,
                burst: per_hour as f32,
            },
            reports_max,
            rates: Rates::new(REPORTERS_MAX),
            telling: Rates::new(1),
        }
    }

    /// The messages that a report names, as far as the reporter's archive has them and they are from whom it is about (§6).
    async fn messages(
        &self,
        reporter: &BareJid,
        content: &ReportContent,
        ids: &[String],
    ) -> Result<Vec<ReportedMessage>, Fault> {
        let mut messages = Vec::new();
        let Some(archives) = &self.archives else {
            return Ok(messages);
        };
        for id in ids {
            let Some(kept) = archives.find(reporter, id).await? else {
                continue;
            };
            let Some(from) = kept.stanza.from.as_ref() else {
                continue;
            };
            if !content.is_from_reported(from) {
                continue;
            }
            let is_encrypted = ENCRYPTED.iter().any(|ns| kept.stanza.has("encrypted", ns));
            let body = kept.stanza.child("body", ns::CLIENT).filter(|_| !is_encrypted);
            messages.push(ReportedMessage {
                stamp: kept.stamp(),
                from: from.to_string(),
                text: body.map(|body| report::cut(&body.text())),
            });
        }
        Ok(messages)
    }

    /// Tells the administrators that there is something to look at: once, until they have looked.
    fn tell(&self, cx: &mut Cx) {
        let is_told = self.reports.are_told.load(Ordering::Relaxed);
        if is_told || !self.telling.take(&(), TELLING, cx.received) {
            return;
        }
        self.reports.are_told.store(true, Ordering::Relaxed);
        let config = cx.router().clone();
        let config = config.config();
        let Ok(server) = BareJid::parse(config.main_domain()) else {
            return;
        };
        let mut body = Writer::new();
        body.start("body", ns::CLIENT)
            .text(
                "A user has reported spam or abuse. To see the report, choose \"Abuse Reports\" among the commands of this \
                 server, or run: kim report list",
            )
            .end();
        let payload = body.finish_string();
        for admin in &config.server.admins {
            let message = Stanza::new(Kind::Message(MessageType::Normal), &payload);
            cx.send(message.from(server.clone()).to(admin.clone()));
        }
    }
}

impl Hear<Blocked> for TakeReports {
    async fn hear(&self, blocked: &mut Blocked, cx: &mut Cx) -> Result<(), Fault> {
        let counters = &self.reports.counters;
        let Some(request) = blocked.request.payload() else {
            return Ok(());
        };
        for (mut content, ids) in request.children().filter_map(report::read) {
            if !self.rates.take(&blocked.account, self.rate, cx.received) {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::info!(event = "report_refused", reporter = %blocked.account, "too many reports");
                continue;
            }
            content.messages = self.messages(&blocked.account, &content, &ids).await?;
            let id = self.reports.clock.now().0;
            let store = &self.reports.store;
            store
                .add(id, &blocked.account, &content, self.reports_max)
                .await?;
            let counter = match content.reason {
                Reason::Spam => &counters.spam,
                Reason::Abuse | Reason::Other(_) => &counters.abuse,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            tracing::info!(event = "reported", id, reason = content.reason.word());
            self.tell(cx);
        }
        Ok(())
    }
}
