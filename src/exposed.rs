//! What is said of files: whether private ones are private, and why one cannot be read.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether users other than the owner can read a file or enter a directory.
pub(crate) fn open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// Why a file cannot be read, in words.
pub(crate) fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied for this user".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
