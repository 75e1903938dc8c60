//! Whether files that should be private are.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether users other than the owner can read a file or enter a directory.
pub(crate) fn open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}
