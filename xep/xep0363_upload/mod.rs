//! XEP-0363 HTTP File Upload 1.2.0: slots for files. This is the XMPP side: who may upload what, where to, and for how long;
//! what is stored is known here too ([`api`]). The content passes through the web's door, which asks here for everything.
//!
//! A slot is stateless: its token holds the terms it was given under, sealed, and nothing is kept until a file is there.

use std::sync::Arc;

use kim_core::accounts::Eraser;
use kim_core::config::WebOrigin;
use kim_core::db::Migration;
use kim_core::error::Fault;
use kim_core::hook::Stage;
use kim_core::module::{At, Module, Registrar, Spec};
use kim_core::section;

use crate::xep0004_forms::api::{FormKind, Sheet};
use crate::xep0030_disco::api::{InfoAsked, ItemsAsked};

pub mod api;
mod guests;
mod names;
mod pace;
mod request;
mod slot;
mod store;
#[cfg(test)]
mod tests;

const NS: &str = "urn:xmpp:http:upload:0";
/// The service, in front of the domain.
const SERVICE: &str = "upload";
const PURPOSES: &str = "urn:xmpp:http:upload:purpose:0";

section! {
    /// File uploads (XEP-0363).
    pub struct UploadConfig {
        /// Bytes in one file.
        pub file_bytes_max: u64 = 104_857_600, in 1_024..=1_099_511_627_776;
        /// Bytes in one profile file, such as a picture. Profile files are kept until they are deleted.
        pub profile_bytes_max: u64 = 2_097_152, in 1_024..=1_099_511_627_776;
        /// Bytes of all files of one account. (row 24)
        pub account_bytes_max: u64 = 1_073_741_824, in 0..=1_125_899_906_842_624;
        /// Bytes that one account can upload per day (UTC). (row 24)
        pub day_bytes_max: u64 = 536_870_912, in 0..=1_125_899_906_842_624;
        /// Days after which a file is deleted. 0 keeps it until its owner deletes it.
        pub days_kept: u32 = 30, in 0..=36_500;
        /// Files can be kept without a time limit if their owner asks for it (purpose "permanent").
        pub permanent: bool = false;
        /// Upload slots that one account can request per minute. (row 24)
        pub slots_per_minute: u32 = 60, in 1..=1_000_000;
        /// Seconds for which an upload slot is valid.
        pub slot_seconds: u32 = 300, in 10..=86_400;
        /// Guests can upload too; their files are kept for one day. If false, guests do not see the upload service.
        /// (row 31)
        pub guests: bool = false;
        /// Accept only files that are already encrypted, as OMEMO clients send them (XEP-0454). Files that are
        /// recognisably not encrypted are refused.
        pub ciphertext_only: bool = false;
        /// Also encrypt files that already look encrypted. false saves a little CPU time, but a file that only looks
        /// encrypted is then stored as it came.
        pub seal_encrypted: bool = true;
        /// Address for uploads and downloads, if it differs from public_url in [listen]. A separate origin keeps
        /// files further away from the pages of this server.
        pub public_url: Option<WebOrigin> = None, example r#""https://upload.example.org""#;
    }
}

/// The module.
pub struct Upload;

impl Module for Upload {
    type Config = UploadConfig;
    const NAME: &'static str = "xep0363_upload";
    const SPECS: &'static [Spec] = &[Spec::complete("XEP-0363", "HTTP File Upload", "1.2.0")];
    const USES: &'static [&'static str] = &["xep0004_forms", "xep0030_disco"];
    const MIGRATIONS: &'static [Migration] = &[Migration {
        module: "xep0363_upload",
        name: "0001_upload",
        sql: include_str!("migrations/0001_upload.sql"),
    }];
    const ERASERS: &'static [Eraser] = &[store::erase];

    fn register(config: UploadConfig, house: &mut Registrar<'_>) -> Result<(), Fault> {
        // Without a door for the web there is nowhere to upload to.
        let Some(origin) = config.public_url.clone().or_else(|| house.config.public_url()) else {
            return Ok(());
        };
        let config = if house.config.limits.enabled {
            config
        } else {
            config.lifted()
        };
        let (is_permanent, has_guests) = (config.permanent, config.guests);
        let form = Sheet::new(FormKind::Result, NS)
            .field(
                "max-file-size",
                "text-single",
                "",
                &[&config.file_bytes_max.to_string()],
            )
            .xml();
        let uploads = Arc::new(api::Uploads::new(config, origin, house));

        house.service(SERVICE);
        house.form(At::Service(SERVICE), form);
        house
            .at(&[At::Service(SERVICE)])
            .identity("store", "file", "HTTP File Upload")
            .get("request", NS, request::UploadRequests(uploads.clone()))
            .feature(purpose_feature("message"))
            .feature(purpose_feature("profile"))
            .feature(purpose_feature("ephemeral"));
        if is_permanent {
            house.feature(&[At::Service(SERVICE)], purpose_feature("permanent"));
        }
        if !has_guests {
            house.on::<ItemsAsked>(Stage::Filter, guests::Hide);
            house.on::<InfoAsked>(Stage::Admit, guests::Hide);
        }
        house.provide(uploads);
        Ok(())
    }
}

impl UploadConfig {
    /// Without limits on how much there is, for load tests.
    fn lifted(self) -> UploadConfig {
        const MANY: u64 = 1 << 50;
        UploadConfig {
            slots_per_minute: 1_000_000,
            account_bytes_max: MANY,
            day_bytes_max: MANY,
            ..self
        }
    }
}

fn purpose_feature(purpose: &str) -> &'static str {
    match purpose {
        "profile" => "urn:xmpp:http:upload:purpose:0#profile",
        "ephemeral" => "urn:xmpp:http:upload:purpose:0#ephemeral",
        "permanent" => "urn:xmpp:http:upload:purpose:0#permanent",
        _ => "urn:xmpp:http:upload:purpose:0#message",
    }
}
