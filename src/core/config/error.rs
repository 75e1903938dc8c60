//! What is wrong with a configuration, and where: one clear line for each mistake.

use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingOrigin {
    /// A line of a file, counted from one.
    File {
        /// The file's path, as the operator gave it.
        path: Arc<str>,
        /// The line.
        line: usize,
    },
    /// The file as a whole (it cannot be read, for example).
    WholeFile(Arc<str>),
    /// An environment variable.
    Environment(Arc<str>),
    /// A flag on the command line.
    Flag(&'static str),
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingOrigin::File { path, line } => write!(f, "{path}:{line}"),
            SettingOrigin::WholeFile(path) => f.write_str(path),
            SettingOrigin::Environment(name) => f.write_str(name),
            SettingOrigin::Flag(name) => f.write_str(name),
        }
    }
}

/// One mistake, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct ConfigError {
    /// Where it is.
    pub origin: SettingOrigin,
    /// What it is, and what to write instead.
    pub problem: String,
}

impl ConfigError {
    /// A mistake at a place.
    pub fn new(origin: SettingOrigin, problem: impl Into<String>) -> ConfigError {
        ConfigError {
            origin,
            problem: problem.into(),
        }
    }
}

/// Every mistake found, one a line, in the order of the files' lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> ConfigErrors {
        ConfigErrors(vec![error])
    }
}

/// The known name nearest to what was written, if any is near enough to be meant.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    // A third of the letters may be wrong: "stanza_byte_max" is near, "foo" is near to nothing.
    let far = written.chars().count() / 3 + 1;
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, name), name))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
