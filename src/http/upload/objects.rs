//! Where the content of files lies: a folder, or a bucket of S3, behind object_store. An object has a random name that says
//! nothing; it is there as a whole or not at all, and synced when it is.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use kim_core::config::UploadsUrl;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use crate::tls;

/// Bytes handed to the store in one go. S3 takes no less than 5 MiB, but for the last part.
const FOLDER_PART_BYTES: usize = 1024 * 1024;
const BUCKET_PART_BYTES: usize = 8 * 1024 * 1024;

/// The store cannot be used: one line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("uploads ([storage] uploads): {0}")]
pub struct StoreError(String);

/// The store.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    part_bytes: usize,
}

impl Objects {
    pub fn open(url: &UploadsUrl) -> Result<Objects, StoreError> {
        let wrong = |error: &dyn std::fmt::Display| StoreError(error.to_string());
        Ok(match url {
            UploadsUrl::Folder(folder) => {
                use std::os::unix::fs::DirBuilderExt;
                std::fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)
                    .map_err(|error| StoreError(format!("{} cannot be made: {error}", folder.display())))?;
                let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| wrong(&error))?;
                Objects {
                    store: Arc::new(store.with_fsync(true)),
                    prefix: String::new(),
                    part_bytes: FOLDER_PART_BYTES,
                }
            }
            UploadsUrl::Bucket { bucket, prefix } => {
                // Its HTTP client takes the process's provider; there is one here.
                let _ = tls::provider().as_ref().clone().install_default();
                let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
                Objects {
                    store: Arc::new(store.map_err(|error| wrong(&error))?),
                    prefix: if prefix.is_empty() {
                        String::new()
                    } else {
                        format!("{prefix}/")
                    },
                    part_bytes: BUCKET_PART_BYTES,
                }
            }
        })
    }

    /// Two letters of the name are a folder, so that none gets too full.
    fn path(&self, object: &str) -> Path {
        let folder = object.get(..2).unwrap_or_default();
        Path::from(format!("{}{folder}/{object}", self.prefix))
    }

    /// Begins an object. Dropped or given up, it leaves nothing.
    pub async fn create(&self, object: &str) -> Result<Writer, object_store::Error> {
        Ok(Writer {
            upload: self.store.put_multipart(&self.path(object)).await?,
            buffer: BytesMut::new(),
            part_bytes: self.part_bytes,
        })
    }

    /// A part of an object, as it comes.
    pub async fn read(
        &self,
        object: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, object_store::Error>>, object_store::Error> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        Ok(self
            .store
            .get_opts(&self.path(object), options)
            .await?
            .into_stream())
    }

    /// Deletes an object, if it is there.
    pub async fn delete(&self, object: &str) -> Result<(), object_store::Error> {
        match self.store.delete(&self.path(object)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

/// An object that is being written; one part of it is in memory.
pub(super) struct Writer {
    upload: Box<dyn MultipartUpload>,
    buffer: BytesMut,
    part_bytes: usize,
}

impl Writer {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), object_store::Error> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= self.part_bytes {
            let part = self.buffer.split_to(self.part_bytes).freeze();
            self.upload.put_part(PutPayload::from_bytes(part)).await?;
        }
        Ok(())
    }

    /// The object is there when this returns.
    pub async fn finish(mut self) -> Result<(), object_store::Error> {
        let rest = self.buffer.split().freeze();
        if !rest.is_empty() {
            self.upload.put_part(PutPayload::from_bytes(rest)).await?;
        }
        self.upload.complete().await.map(|_| ())
    }

    pub async fn give_up(mut self) {
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(event = "upload_not_aborted", %error);
        }
    }
}
