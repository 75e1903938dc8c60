//! Where settings come from: a file, the environment, flags. Later ones win: defaults < file < environment < flags.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigError, SettingOrigin};
use super::raw::{Located, RawConfig};

/// Environment variables with this beginning are settings: `KIM__STORAGE__URL`.
const PREFIX: &str = "KIM__";

/// The file that is read from the working directory when none is named, if it is there.
pub const DEFAULT_FILE: &str = "kim.toml";

/// A file larger than this is not a configuration.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What to read. Kept by the server, so that a reload (SIGHUP) reads the same again.
#[derive(Clone, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    /// The file may be missing; then every default holds.
    may_be_missing: bool,
    text: Option<(Arc<str>, String)>,
    environment: Vec<(String, String)>,
    flags: Vec<Flag>,
}

/// A flag that stands for a key.
#[derive(Clone)]
struct Flag {
    name: &'static str,
    section: &'static str,
    key: &'static str,
    value: String,
}

impl Sources {
    /// Nothing at all: every default. For tests, and to build upon.
    pub fn none() -> Sources {
        Sources::default()
    }

    /// What the running program was given: the named file, which must exist, or `kim.toml` in the working directory, which
    /// need not and may come later; and the environment.
    pub fn of_process(file: Option<PathBuf>) -> Sources {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        let sources = match file {
            Some(file) => Sources::none().file(file),
            None => Sources::none().optional_file(DEFAULT_FILE),
        };
        sources.environment(environment)
    }

    /// Reads this file.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Sources {
        self.file = Some(path.into());
        self
    }

    /// Reads this file if it exists when the sources are read.
    pub fn optional_file(mut self, path: impl Into<PathBuf>) -> Sources {
        self.file = Some(path.into());
        self.may_be_missing = true;
        self
    }

    /// Reads this text as if it were a file of that name.
    pub fn text(mut self, name: &str, text: impl Into<String>) -> Sources {
        self.text = Some((Arc::from(name), text.into()));
        self
    }

    /// Takes the settings among these environment variables.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Sources {
        self.environment
            .extend(variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)));
        self.environment.sort();
        self
    }

    /// A flag of the command line that stands for a key: `flag("--data-dir", "server", "data_dir", value)`.
    pub fn flag(
        mut self,
        name: &'static str,
        section: &'static str,
        key: &'static str,
        value: impl Into<String>,
    ) -> Sources {
        self.flags.push(Flag {
            name,
            section,
            key,
            value: value.into(),
        });
        self
    }

    /// The file that will be read, if any.
    pub fn path(&self) -> Option<&Path> {
        self.file
            .as_deref()
            .filter(|path| !self.may_be_missing || path.exists())
    }

    /// Whether the environment or a flag sets a key.
    pub fn sets(&self, section: &str, key: &str) -> bool {
        let name = variable(section, key);
        let in_environment = self.environment.iter().any(|(set, _)| *set == name);
        in_environment
            || self
                .flags
                .iter()
                .any(|flag| (flag.section, flag.key) == (section, key))
    }

    /// Reads everything, later sources over earlier ones.
    pub(super) fn read(&self, errors: &mut Vec<ConfigError>) -> RawConfig {
        let mut config = RawConfig::default();
        if let Some(path) = self.path() {
            let shown: Arc<str> = Arc::from(path.to_string_lossy());
            match read_file(path) {
                Ok(text) => config = RawConfig::parse(&text, &shown, errors),
                Err(problem) => errors.push(ConfigError::new(SettingOrigin::WholeFile(shown), problem)),
            }
        }
        if let Some((name, text)) = &self.text {
            config = RawConfig::parse(text, name, errors);
        }
        for (name, value) in &self.environment {
            let origin = SettingOrigin::Environment(Arc::from(name.as_str()));
            let path = name.get(PREFIX.len()..).unwrap_or_default().to_lowercase();
            match path.rsplit_once("__") {
                Some((section, key)) if !section.is_empty() && !key.is_empty() => {
                    config.set(&section.replace("__", "."), key, Located::untyped(value, origin));
                }
                _ => errors.push(ConfigError::new(
                    origin,
                    "names no setting; write KIM__SECTION__KEY",
                )),
            }
        }
        for flag in &self.flags {
            config.set(
                flag.section,
                flag.key,
                Located::untyped(&flag.value, SettingOrigin::Flag(flag.name)),
            );
        }
        config
    }
}

/// The environment variable that stands for a key.
pub fn variable(section: &str, key: &str) -> String {
    let section = section.replace('.', "__");
    format!("{PREFIX}{}__{}", section.to_uppercase(), key.to_uppercase())
}

fn read_file(path: &Path) -> Result<String, String> {
    let too_large = || format!("larger than {FILE_BYTES_MAX} bytes; this is no configuration file");
    let metadata = std::fs::metadata(path).map_err(|error| cannot_read(&error))?;
    if metadata.is_file() && metadata.len() > FILE_BYTES_MAX {
        return Err(too_large());
    }
    let bytes = std::fs::read(path).map_err(|error| cannot_read(&error))?;
    String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())
}

fn cannot_read(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such configuration file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "cannot be read: permission denied".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
