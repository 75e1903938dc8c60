//! The tables that no XEP owns.

use super::Migration;

/// To be given to [`super::Db::migrate`] before the sets of the modules.
pub const CORE_MIGRATIONS: &[Migration] = &[
    Migration {
        module: "core",
        name: "0001_accounts",
        sql: include_str!("../../../migrations/0001_accounts.sql"),
    },
    Migration {
        module: "core",
        name: "0002_secrets",
        sql: include_str!("../../../migrations/0002_secrets.sql"),
    },
    Migration {
        module: "core",
        name: "0003_seals",
        sql: include_str!("../../../migrations/0003_seals.sql"),
    },
    Migration {
        module: "core",
        name: "0004_tokens",
        sql: include_str!("../../../migrations/0004_tokens.sql"),
    },
    Migration {
        module: "core",
        name: "0005_epochs",
        sql: include_str!("../../../migrations/0005_epochs.sql"),
    },
    Migration {
        module: "core",
        name: "0006_s2s_queue",
        sql: include_str!("../../../migrations/0006_s2s_queue.sql"),
    },
    Migration {
        module: "core",
        name: "0007_enrolment",
        sql: include_str!("../../../migrations/0007_enrolment.sql"),
    },
    Migration {
        module: "core",
        name: "0008_s2s_processes",
        sql: include_str!("../../../migrations/0008_s2s_processes.sql"),
    },
];
