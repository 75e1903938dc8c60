//! `kim serve`: logging, the data directory, then the server.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use kim_core::config::{Config, Sources};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use super::App;
use crate::failure::Failure;

/// Says what to log, as `level` or `target=level,…`.
const LOG_VARIABLE: &str = "KIM_LOG";

/// What is logged unless told otherwise.
const LOG_DEFAULT: &str = "info";

/// `json` writes a JSON object a line.
const LOG_FORMAT_VARIABLE: &str = "KIM_LOG_FORMAT";

/// Runs the server until it ends.
pub(super) fn run(app: &App, config: Config, sources: Sources, runtime: &Runtime) -> Result<(), Failure> {
    prepare_data_dir(&config.server.data_dir)?;
    runtime.block_on((app.serve)(config, sources))
}

/// Logs go to standard error, a line each.
pub(super) fn start_logging() -> Result<(), Failure> {
    let written = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| LOG_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&written)
        .map_err(|error| Failure::Other(format!("{LOG_VARIABLE}: {written:?} is not understood: {error}")))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // An error means that somebody (a test) has set it up already.
    let _ = match std::env::var(LOG_FORMAT_VARIABLE).as_deref() {
        Ok("json") => log.json().try_init(),
        _ => log
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .try_init(),
    };
    Ok(())
}

/// Makes the data directory if it is not there (for its owner only), and sees that it can be written to.
pub fn prepare_data_dir(path: &Path) -> Result<(), Failure> {
    let failed = |cause: String| Failure::DataDir {
        path: path.to_owned(),
        cause,
    };
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if path.exists() => return Err(failed(format!("is no directory: {error}"))),
        Err(error) => return Err(failed(format!("cannot be made: {error}"))),
    }
    try_writing(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            failed("is not writable for this user: permission denied".to_owned())
        }
        io::ErrorKind::ReadOnlyFilesystem => failed("is on a read-only file system".to_owned()),
        io::ErrorKind::StorageFull => failed("is on a full disk".to_owned()),
        _ => failed(format!("cannot be written to: {error}")),
    })
}

/// Writes a small file and removes it.
pub(super) fn try_writing(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".kim-{}", kim_core::random::token()));
    let result = std::fs::write(&path, b"kim");
    let removed = std::fs::remove_file(&path);
    result.and(removed)
}
