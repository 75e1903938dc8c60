//! A bucket of the S3 server that `KIM_TEST_S3` names, if it does (`tests/support/s3.sh`). Buckets there are the folders of
//! `KIM_TEST_S3_BUCKETS`, so that what lies in them can be looked at.

use std::path::{Path, PathBuf};

/// A bucket that is gone when this is dropped.
pub struct Bucket {
    /// The settings that name it (TOML), beginning with `[storage]`.
    pub settings: String,
    /// The folder that it is.
    pub folder: PathBuf,
}

impl Bucket {
    /// A new one; `None` where there is no S3 server.
    pub fn make() -> Option<Bucket> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (endpoint, buckets) = (set("KIM_TEST_S3")?, set("KIM_TEST_S3_BUCKETS")?);
        // Of lower-case letters and digits, as the names of buckets are.
        let name = kim_core::random::bytes::<8>()
            .map(|byte| format!("{byte:02x}"))
            .concat();
        let folder = Path::new(&buckets).join(&name);
        std::fs::create_dir(&folder).expect("a new bucket");
        let settings = format!("[storage]\nuploads = \"s3://{name}/kim\"\ns3_endpoint = \"{endpoint}\"\n");
        Some(Bucket { settings, folder })
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
