//! Checks of where uploaded files are kept.

use std::path::Path;

use kim_core::config::UploadsUrl;

use super::super::serve::try_writing;
use super::{CheckContext, Finding};
use crate::http::upload::try_out;

/// Whether files can be written there. A folder in the data directory is as good as that, and nothing is said of it.
pub(super) async fn uploads(context: &CheckContext) -> Vec<Finding> {
    if context.config.storage.uploads.is_none() {
        return Vec::new();
    }
    vec![match context.config.uploads() {
        UploadsUrl::Folder(folder) => folder_can_be_written(&folder),
        UploadsUrl::Bucket { bucket, .. } => match try_out(&context.config).await {
            Ok(()) => Finding::ok("uploads", format!("s3://{bucket} is writable")),
            Err(error) => Finding::fail("uploads", error.to_string()),
        },
    }]
}

fn folder_can_be_written(folder: &Path) -> Finding {
    let shown = folder.display();
    if !folder.exists() {
        return Finding::skip("uploads", format!("{shown} will be created at the first start"));
    }
    match try_writing(folder) {
        Ok(()) => Finding::ok("uploads", format!("{shown} is writable")),
        Err(error) => Finding::fail("uploads", format!("{shown} is not writable: {error}")),
    }
}
