//! A server, and the place where its files lie: a folder, or a bucket where there is an S3 server.

use std::ops::Deref;
use std::path::PathBuf;

use crate::common::TestServer;
use crate::common::bucket::Bucket;

/// What the server writes to see whether it can; it is there for a moment.
const TRIAL: &str = "kim-check";

/// A server whose files a test can look at.
pub struct Files {
    server: TestServer,
    bucket: Option<Bucket>,
}

impl Deref for Files {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.server
    }
}

impl Files {
    /// With these settings, files in a folder.
    pub async fn in_folder(toml: &str) -> Files {
        Files {
            server: TestServer::configured(toml).await,
            bucket: None,
        }
    }

    /// The same in a bucket of its own; `None` where there is no S3 server.
    pub async fn in_bucket(toml: &str) -> Option<Files> {
        let bucket = Bucket::make()?;
        Some(Files {
            server: TestServer::configured(&format!("{}{toml}", bucket.settings)).await,
            bucket: Some(bucket),
        })
    }

    /// Where they lie.
    pub fn folder(&self) -> PathBuf {
        match &self.bucket {
            Some(bucket) => bucket.folder.clone(),
            None => self.home().join("uploads"),
        }
    }

    /// Everything that lies there, parts of what is not whole included.
    pub fn stored(&self) -> Vec<PathBuf> {
        let mut open = vec![self.folder()];
        let mut found = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => open.push(path),
                    path if path.ends_with(TRIAL) => {}
                    path => found.push(path),
                }
            }
        }
        found
    }
}
