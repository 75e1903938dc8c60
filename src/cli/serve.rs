//! `kim serve`: the data directory, then the server.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use kim_core::config::{Config, Sources};
use tokio::runtime::Runtime;

use super::{App, log};
use crate::exposed::open_to_others;
use crate::failure::Failure;

/// Runs the server until it ends.
pub(super) fn run(app: &App, config: Config, sources: Sources, runtime: &Runtime) -> Result<(), Failure> {
    prepare_data_dir(&config.server.data_dir)?;
    warn_if_exposed(&config.server.data_dir);
    let result = runtime.block_on((app.serve)(config, sources));
    log::flush();
    result
}

/// A new data directory is for its owner alone, and so should be one that the operator made.
fn warn_if_exposed(data_dir: &Path) {
    if open_to_others(data_dir) {
        let path = data_dir.display();
        tracing::warn!(event = "data_dir_exposed", %path, "other users can read the data directory; run chmod 700 {path}");
    }
}

/// Creates the data directory if it does not exist (for its owner only), and tests that it is writable.
pub fn prepare_data_dir(path: &Path) -> Result<(), Failure> {
    let failed = |cause: String| Failure::DataDir {
        path: path.to_owned(),
        cause,
    };
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if path.exists() => return Err(failed(format!("is not a directory: {error}"))),
        Err(error) => return Err(failed(format!("cannot be created: {error}"))),
    }
    try_writing(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            failed("is not writable by this user: permission denied".to_owned())
        }
        io::ErrorKind::ReadOnlyFilesystem => failed("is on a read-only file system".to_owned()),
        io::ErrorKind::StorageFull => failed("is on a full disk".to_owned()),
        _ => failed(format!("is not writable: {error}")),
    })
}

/// Writes a small file and removes it.
pub(super) fn try_writing(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".kim-{}", kim_core::random::token()));
    let result = std::fs::write(&path, b"kim");
    let removed = std::fs::remove_file(&path);
    result.and(removed)
}
