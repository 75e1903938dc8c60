//! The configuration: one TOML file, the environment and a few flags, as one struct per section.
//!
//! Each section is declared once with [`section!`](crate::section): keys, types, defaults, bounds, documentation. From
//! that come the checks, the hints in messages and the sample file. Nothing that is not read is accepted. A module of
//! kim-xep declares its own section the same way and hands a [`Schema`] of it to [`Config::load`].

mod changes;
mod components;
mod error;
mod federation;
mod in_force;
mod later;
mod limits;
mod modules;
mod push;
mod raw;
mod sample;
mod section;
mod sections;
mod sources;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod web;

use std::path::PathBuf;

pub use components::{ComponentSection, ComponentSettings, Secret};
pub use error::{ConfigError, ConfigErrors, SettingOrigin, nearest};
pub use federation::{Proof, S2s};
pub use in_force::LimitsInForce;
pub use limits::Limits;
pub use modules::ModuleSections;
pub use push::{Apns, Fcm, WebPush};
pub use raw::{Located, Raw};
pub use sample::sample;
pub use section::{Field, NoSettings, Schema, Section, SectionReader};
pub use sections::{C2s, Contact, Http, Listen, Registration, Rooms, Server, Storage, Tls};
pub use sources::{DEFAULT_FILE, Sources, variable};
pub use types::{Domain, RoomName, StorageUrl, Uri};
pub use value::{Choice, Value, Wrong, read_text, toml_text, written};
pub use web::{Network, ProxyHeader, UploadsUrl, WebOrigin};

use raw::{RawConfig, RawSection};

/// The whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[listen]`
    pub listen: Listen,
    /// `[tls]`
    pub tls: Tls,
    /// `[storage]`
    pub storage: Storage,
    /// `[registration]`
    pub registration: Registration,
    /// `[rooms]`
    pub rooms: Rooms,
    /// `[c2s]`
    pub c2s: C2s,
    /// `[s2s]`
    pub s2s: S2s,
    /// `[push.webpush]`
    pub webpush: WebPush,
    /// `[push.fcm]`
    pub fcm: Fcm,
    /// `[push.apns]`
    pub apns: Apns,
    /// `[http]`
    pub http: Http,
    /// `[contact]`
    pub contact: Contact,
    /// Each `[[component]]`.
    pub components: Vec<ComponentSettings>,
    /// `[limits]`, as written; go by [`Limits::effective`].
    pub limits: Limits,
    /// The sections of the modules.
    pub modules: ModuleSections,
    /// The file it was read from, if there was one.
    pub file: Option<PathBuf>,
    settings: changes::Settings,
}

/// The sections every server has, in the order of the sample.
fn core_schemas() -> Vec<Schema> {
    vec![
        Schema::core::<Server>("server"),
        Schema::core::<Listen>("listen"),
        Schema::core::<Tls>("tls"),
        Schema::core::<Storage>("storage"),
        Schema::core::<Registration>("registration"),
        Schema::core::<Rooms>("rooms"),
        Schema::core::<C2s>("c2s"),
        Schema::core::<S2s>("s2s"),
        Schema::core::<WebPush>("push.webpush"),
        Schema::core::<Fcm>("push.fcm"),
        Schema::core::<Apns>("push.apns"),
        Schema::core::<Http>("http"),
        Schema::core::<Contact>("contact"),
        Schema::repeated::<ComponentSection>("component"),
        Schema::core::<Limits>("limits"),
    ]
}

/// The sections there can be.
fn schemas(modules: &[Schema]) -> Vec<Schema> {
    let mut schemas = core_schemas();
    schemas.extend(modules.iter().cloned());
    schemas
}

impl Config {
    /// Reads the sources and checks everything, the modules' sections included. All mistakes are told at once.
    pub fn load(sources: &Sources, modules: &[Schema]) -> Result<Config, ConfigErrors> {
        let mut errors = Vec::new();
        let mut raw = sources.read(&mut errors);
        if !errors.is_empty() {
            return Err(ConfigErrors(errors)); // what follows a wrong bracket would only confuse
        }
        check(&raw, modules, &mut errors);
        let empty = RawSection::default();
        let mut config = Config {
            server: take(&raw, "server", &empty),
            listen: take(&raw, "listen", &empty),
            tls: take(&raw, "tls", &empty),
            storage: take(&raw, "storage", &empty),
            registration: take(&raw, "registration", &empty),
            rooms: take(&raw, "rooms", &empty),
            c2s: take(&raw, "c2s", &empty),
            s2s: take(&raw, "s2s", &empty),
            webpush: take(&raw, "push.webpush", &empty),
            fcm: take(&raw, "push.fcm", &empty),
            apns: take(&raw, "push.apns", &empty),
            http: take(&raw, "http", &empty),
            contact: take(&raw, "contact", &empty),
            components: raw
                .repeated
                .get("component")
                .into_iter()
                .flatten()
                .filter_map(|section| ComponentSettings::read(section, &mut errors))
                .collect(),
            limits: take(&raw, "limits", &empty),
            modules: ModuleSections::default(),
            file: sources.path().map(PathBuf::from),
            settings: changes::Settings::of(&raw, &schemas(modules)),
        };
        config.check_together(&raw, &mut errors);
        if !errors.is_empty() {
            errors.sort_by_key(|error| match &error.origin {
                SettingOrigin::File { line, .. } => *line,
                _ => usize::MAX,
            });
            return Err(ConfigErrors(errors));
        }
        if !is_set(&raw, "server", "admins") {
            config.server.admins = config
                .server
                .domains
                .first()
                .map(Domain::administrator)
                .unwrap_or_default();
        }
        config.modules = ModuleSections::new(modules, &mut raw);
        Ok(config)
    }

    /// The settings that are others than in `self`, the configuration a server was started with, and that it takes up only when
    /// it is started again: `[listen] https`. All of `[limits]` is taken up at once, but for `enabled`, by which modules go
    /// when they start, and so are `allow` and `deny` of `[s2s]`.
    pub fn needs_restart(&self, newer: &Config) -> Vec<String> {
        let is_live = |section: &str, key: &str| match section {
            "limits" => key != "enabled",
            "s2s" => matches!(key, "allow" | "deny"),
            _ => false,
        };
        self.settings.changed(&newer.settings, is_live)
    }

    /// The domains of guests, whether they are let in at present or not.
    pub fn guest_domains(&self) -> Vec<String> {
        let domains = self.server.domains.iter().map(|domain| domain.to_string());
        let guests = domains.map(|domain| format!("guest.{domain}"));
        guests
            .filter(|guest| {
                !self
                    .server
                    .domains
                    .iter()
                    .any(|domain| **domain == *guest.as_str())
            })
            .collect()
    }

    /// The first domain.
    pub fn main_domain(&self) -> &str {
        self.server.domains.first().map_or("localhost", |domain| domain)
    }

    /// The database to use.
    pub fn storage_url(&self) -> StorageUrl {
        self.storage
            .url
            .clone()
            .unwrap_or_else(|| StorageUrl::sqlite_in(&self.server.data_dir))
    }

    /// Where uploads are kept.
    pub fn uploads(&self) -> UploadsUrl {
        let set = self.storage.uploads.clone();
        set.unwrap_or_else(|| UploadsUrl::folder_in(&self.server.data_dir))
    }

    /// Where the web part is reached, as far as the configuration says; `None` if nothing of it is.
    pub fn public_url(&self) -> Option<WebOrigin> {
        if self.listen.public_url.is_some() {
            return self.listen.public_url.clone();
        }
        let port = self.listen.https.first()?.port();
        let host = self.server.domains.first()?.to_ascii()?;
        WebOrigin::parse(&match port {
            443 => format!("https://{host}"),
            port => format!("https://{host}:{port}"),
        })
    }

    /// The file with the sealing key.
    pub fn sealing_key(&self) -> PathBuf {
        let set = self.storage.sealing_key.clone();
        set.unwrap_or_else(|| self.server.data_dir.join("sealing.key"))
    }

    /// The control socket of a running server.
    pub fn control_socket(&self) -> PathBuf {
        self.server.data_dir.join("kim.sock")
    }

    /// What is wrong only together.
    fn check_together(&self, raw: &RawConfig, errors: &mut Vec<ConfigError>) {
        for (at, component) in self.components.iter().enumerate() {
            let twin = self
                .components
                .iter()
                .take(at)
                .any(|other| other.jid == component.jid);
            let raw = raw.repeated.get("component").and_then(|all| all.get(at));
            if let (true, Some(origin)) = (twin, raw.and_then(|section| section.origin.clone())) {
                let problem = format!("there is another [[component]] with jid \"{}\"", component.jid);
                errors.push(ConfigError::new(origin, problem));
            }
        }
        push::check_together(&self.fcm, &self.apns, raw, errors);
        let mut wrong = |section: &str, key: &str, problem: &str| {
            if let Some(located) = raw
                .sections
                .get(section)
                .and_then(|section| section.keys.get(key))
            {
                let problem = format!("\"{key}\" in [{section}] {problem}");
                errors.push(ConfigError::new(located.origin.clone(), problem));
            }
        };
        let domains = &self.server.domains;
        if domains.is_empty() {
            wrong(
                "server",
                "domains",
                "is empty; a server needs at least one domain",
            );
        }
        if let Some((_, twice)) = domains
            .iter()
            .enumerate()
            .find(|(at, domain)| domains.iter().take(*at).any(|d| d == *domain))
        {
            wrong("server", "domains", &format!("has {twice} twice"));
        }
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => wrong("tls", "cert", "needs \"key\" beside it"),
            (None, Some(_)) => wrong("tls", "key", "needs \"cert\" beside it"),
            _ => {}
        }
        // Port 0 is any free one, so two of them do not meet.
        let mut fixed = self.listen.c2s_tls.iter().filter(|address| address.port() != 0);
        let twice = fixed.find(|address| self.listen.c2s.contains(address));
        if let Some(address) = twice {
            wrong("listen", "c2s_tls", &format!("has {address}, and so has \"c2s\""));
            if !is_set(raw, "listen", "c2s_tls") {
                wrong(
                    "listen",
                    "c2s",
                    &format!("has {address}, and so has \"c2s_tls\" by default"),
                );
            }
        }
        if self.limits.stanza_bytes_before_login_max > self.limits.stanza_bytes_max {
            wrong(
                "limits",
                "stanza_bytes_before_login_max",
                "is more than \"stanza_bytes_max\"",
            );
        }
        let stanza_bytes_max = self.limits.stanza_bytes_max;
        for (key, bytes) in [
            ("bytes_burst", self.limits.bytes_burst as usize),
            ("outbox_bytes_max", self.limits.outbox_bytes_max),
        ] {
            if bytes < stanza_bytes_max {
                let set = if is_set(raw, "limits", key) {
                    key
                } else {
                    "stanza_bytes_max"
                };
                wrong(
                    "limits",
                    set,
                    &format!(
                        "would leave no room for one stanza: {key} is {bytes}, stanza_bytes_max {stanza_bytes_max}"
                    ),
                );
            }
        }
    }
}

fn is_set(raw: &RawConfig, section: &str, key: &str) -> bool {
    raw.sections
        .get(section)
        .is_some_and(|section| section.keys.contains_key(key))
}

/// A section's struct. Its mistakes were already told by [`check`].
fn take<T: Section>(raw: &RawConfig, name: &str, empty: &RawSection) -> T {
    T::read(&mut SectionReader::new(
        name,
        raw.sections.get(name).unwrap_or(empty),
    ))
}

/// Every mistake that concerns one section alone, and sections that do not exist.
fn check(raw: &RawConfig, modules: &[Schema], errors: &mut Vec<ConfigError>) {
    let schemas = schemas(modules);
    for (name, located) in &raw.loose {
        let problem = match schemas
            .iter()
            .find(|schema| schema.fields().iter().any(|field| field.name == name))
        {
            _ if schemas.iter().any(|schema| schema.name == name) => {
                format!("\"{name}\" is a section; write [{name}] and its keys below it")
            }
            Some(schema) => format!(
                "unknown key \"{name}\" outside any section; it belongs in [{}]",
                schema.name
            ),
            None => format!("unknown key \"{name}\" outside any section"),
        };
        errors.push(ConfigError::new(located.origin.clone(), problem));
    }
    for (name, section) in raw
        .repeated
        .iter()
        .flat_map(|(name, all)| all.iter().map(move |one| (name, one)))
    {
        match schemas.iter().find(|schema| schema.name == name) {
            Some(schema) if schema.is_repeated => errors.extend(schema.check(section, &schemas)),
            known => {
                let problem = match known {
                    Some(_) => format!("[{name}] may stand once only; write [{name}] instead of [[{name}]]"),
                    None => format!("unknown section [[{name}]]"),
                };
                errors.extend(
                    section
                        .origin
                        .clone()
                        .map(|origin| ConfigError::new(origin, problem)),
                );
            }
        }
    }
    for (name, section) in &raw.sections {
        if let Some(schema) = schemas.iter().find(|schema| schema.name == name) {
            if schema.is_repeated {
                let problem = format!("[{name}] may stand several times in the file; write [[{name}]]");
                errors.extend(
                    section
                        .origin
                        .clone()
                        .map(|origin| ConfigError::new(origin, problem)),
                );
            } else {
                errors.extend(schema.check(section, &schemas));
            }
            continue;
        }
        let hint = if later::is_planned_section(name) {
            "this version does not have it yet".to_owned()
        } else {
            match nearest(name, schemas.iter().map(|schema| schema.name)) {
                Some(near) => format!("did you mean [{near}]?"),
                None => {
                    let names = schemas.iter().map(|schema| schema.name).collect::<Vec<_>>();
                    format!("known sections are {}", names.join(", "))
                }
            }
        };
        if let Some(origin) = &section.origin {
            errors.push(ConfigError::new(
                origin.clone(),
                format!("unknown section [{name}]; {hint}"),
            ));
        }
    }
}
