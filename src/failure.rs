//! Why a command failed: one clear line for the operator, and an exit code for scripts.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kim_core::config::ConfigErrors;
use kim_core::jid::BareJid;

use crate::control::{ControlError, SocketError};
use crate::exposed::unreadable;

/// Why a command failed. Each kind has its own exit code, which does not change; 0 is success, and 2 is a command
/// line that is not understood.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something else.
    #[error("{0}")]
    Other(String),
    /// The configuration is wrong; a line for each mistake.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// A port cannot be listened on.
    #[error("cannot listen on {address} ([listen] {key}): {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The key that names it.
        key: &'static str,
        /// Why, and what to do.
        cause: String,
    },
    /// The certificate or its key cannot be used.
    #[error("{path}{}: {cause}", named(*setting))]
    Certificate {
        /// The setting that names the file, if one does.
        setting: Option<&'static str>,
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        cause: String,
    },
    /// The database cannot be used. The text holds no password.
    #[error("{0}")]
    Database(String),
    /// The data directory cannot be used.
    #[error("the data directory {path} {cause}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why, and what to do.
        cause: String,
    },
    /// Another server runs with this data directory, or the control socket cannot be made.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// Nobody has this address.
    #[error("there is no account {0}")]
    NoSuchAccount(BareJid),
    /// Somebody has, or had, this address.
    #[error("{account}: {cause}")]
    NameTaken {
        /// The address.
        account: BareJid,
        /// Which of the two, and what to do.
        cause: ControlError,
    },
    /// The sealing key is missing, unreadable or that of another database.
    #[error("{0}")]
    SealingKey(String),
    /// `kim check` found something that does not work; it has told what.
    #[error("{count} {checks} failed", count = .0, checks = if *.0 == 1 { "check" } else { "checks" })]
    Check(usize),
}

impl Failure {
    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Other(_) | Failure::Check(_) => 1,
            Failure::Config(_) => 3,
            Failure::Listen { .. } => 4,
            Failure::Certificate { .. } => 5,
            Failure::Database(_) => 6,
            Failure::DataDir { .. } => 7,
            Failure::Socket(_) => 8,
            Failure::NoSuchAccount(_) => 9,
            Failure::NameTaken { .. } => 10,
            Failure::SealingKey(_) => 11,
        }
    }

    /// A port that cannot be listened on; `key` is its key in `[listen]`.
    pub fn listen(key: &'static str, address: SocketAddr, error: &io::Error) -> Failure {
        let cause = match error.kind() {
            io::ErrorKind::AddrInUse => "the port is in use; is kIM already running?".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "permission denied; ports below 1024 need the capability CAP_NET_BIND_SERVICE".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => "this machine does not have this address".to_owned(),
            _ => error.to_string(),
        };
        Failure::Listen { address, key, cause }
    }

    /// A file of the certificate that cannot be read.
    pub fn certificate_file(path: &Path, error: &io::Error) -> Failure {
        Failure::Certificate {
            setting: None,
            path: path.to_owned(),
            cause: unreadable(error),
        }
    }

    /// The same of a file that a setting names: `[tls] cert`.
    pub fn set_by(self, name: Option<&'static str>) -> Failure {
        match self {
            Failure::Certificate { path, cause, .. } => Failure::Certificate {
                setting: name,
                path,
                cause,
            },
            other => other,
        }
    }

    /// What went wrong with an account.
    pub fn account(account: &BareJid, error: ControlError) -> Failure {
        match error {
            ControlError::NoSuchAccount => Failure::NoSuchAccount(account.clone()),
            ControlError::AccountExists | ControlError::NameHeldBack => Failure::NameTaken {
                account: account.clone(),
                cause: error,
            },
            other => Failure::Other(other.to_string()),
        }
    }
}

/// A setting behind the file that it names.
fn named(setting: Option<&'static str>) -> String {
    setting.map(|setting| format!(" ({setting})")).unwrap_or_default()
}
