//! XEP-0377 Blocking Command Reports 0.4.1: whoever blocks somebody can say why, and name messages. The administrators read
//! the reports by a command in their client or with `kim report`, with the abuse contact of the other server (XEP-0157), and
//! act in one step.
//!
//! Nothing is forwarded (§5): the reporter's consent is shown to the administrator, who may write to the contact.

pub mod api;
mod commands;
mod listen;
mod report;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::hook::Stage;
use kim_core::module::{At, Coverage, Module, Registrar, Spec};
use kim_core::section;

use crate::xep0050_commands::api::{Commands, MayUse};
use crate::xep0191_blocking::api::Blocked;
use crate::xep0313_mam::api::MessageArchives;

const DAY_MICROSECONDS: i64 = 86_400_000_000;

section! {
    /// Reports of spam and abuse (XEP-0377). Administrators see them with `kim report` or a command in their client.
    pub struct ReportsConfig {
        /// Days until a report is deleted.
        pub keep_days: u32 = 90, in 1..=3_650;
        /// Reports to keep; with more the oldest are deleted.
        pub reports_max: usize = 10_000, in 10..=1_000_000;
        /// Reports of one account in an hour. Above that the block is done and the report is dropped.
        pub per_hour: u32 = 20, in 1..=10_000;
    }
}

/// The module.
pub struct BlockingReports;

impl Module for BlockingReports {
    type Config = ReportsConfig;
    const NAME: &'static str = "xep0377_reports";
    const SPECS: &'static [Spec] = &[Spec {
        id: "XEP-0377",
        title: "Blocking Command Reports",
        version: "0.4.1",
        coverage: Coverage::Partial("reports are not forwarded to other servers or third parties"),
    }];
    const NEEDS: &'static [&'static str] = &[
        "xep0004_forms",
        "xep0030_disco",
        "xep0050_commands",
        "xep0191_blocking",
        "xep0191_server",
    ];
    const USES: &'static [&'static str] = &["xep0313_mam"];
    const MIGRATIONS: &'static [Migration] = store::MIGRATIONS;
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: ReportsConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        let store = store::ReportStore {
            db: house.db.clone(),
            seals: house.seals.clone(),
        };
        let reports = Arc::new(api::Reports::new(store, house.clock.clone(), house.needed()?));
        house.feature(&[At::Server], report::NS);
        let archives = house.wanted::<MessageArchives>();
        let (per_hour, reports_max) = (config.per_hour, config.reports_max);
        let take = listen::TakeReports::new(reports.clone(), archives, per_hour, reports_max);
        house.hear::<Blocked>(Stage::Store, take);
        let (kept, clock) = (reports.clone(), house.clock.clone());
        let keep = i64::from(config.keep_days) * DAY_MICROSECONDS;
        house.tidies(move || {
            let (kept, before) = (kept.clone(), clock.now().0 - keep);
            async move { kept.store.expire(before).await }
        });
        let offered: Arc<Commands> = house.needed()?;
        let see = commands::SeeReports(reports.clone());
        offered.add(
            At::Server,
            "urn:kim:reports:0#see",
            "Abuse Reports",
            MayUse::Admins,
            see,
        );
        house.provide(reports);
        Ok(())
    }
}
