//! Where the content of files lies: a folder, or a bucket of S3, behind object_store. An object has a random name that says
//! nothing; it is there as a whole or not at all, and synced when it is.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use kim_core::config::{Config, UploadsUrl};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload,
};

use super::{bucket, sealed};

/// Bytes handed to the store in one go. S3 takes no less than 5 MiB, but for the last part, and 10,000 parts at most.
const FOLDER_PART_BYTES: usize = 1024 * 1024;
const BUCKET_PART_BYTES: usize = 5 * 1024 * 1024;
const PARTS_MAX: u64 = 10_000;
/// Bytes read from a folder in one go: four sealed chunks.
const READ_BYTES: u64 = 4 * sealed::SEALED_CHUNK_BYTES as u64;

/// The store cannot be used: one line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("[storage] uploads: {0}")]
pub struct StoreError(pub(super) String);

/// The store.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    part_bytes: usize,
    /// What it is, for people.
    what: String,
}

impl Objects {
    pub fn open(config: &Config) -> Result<Objects, StoreError> {
        Ok(match config.uploads() {
            UploadsUrl::Folder(folder) => {
                let shown = folder.display().to_string();
                make_folder(&folder)
                    .map_err(|error| StoreError(format!("{shown} cannot be made: {error}")))?;
                let store = LocalFileSystem::new_with_prefix(folder)
                    .map_err(|error| StoreError(format!("{shown} cannot be used: {error}")))?;
                Objects {
                    store: Arc::new(store.with_fsync(true)),
                    prefix: String::new(),
                    part_bytes: FOLDER_PART_BYTES,
                    what: shown,
                }
            }
            UploadsUrl::Bucket { bucket, prefix } => Objects {
                store: Arc::new(bucket::open(&bucket, &config.storage)?),
                prefix: match prefix.as_str() {
                    "" => String::new(),
                    prefix => format!("{prefix}/"),
                },
                part_bytes: BUCKET_PART_BYTES,
                what: format!("s3://{bucket}"),
            },
        })
    }

    /// Tells what is wrong with the store, if anything, by writing to it.
    pub async fn try_out(&self) -> Result<(), StoreError> {
        bucket::try_out(&self.store, &self.prefix, &self.what).await
    }

    /// Two letters of the name are a folder, so that none gets too full.
    fn path(&self, object: &str) -> Path {
        let folder = object.get(..2).unwrap_or_default();
        Path::from(format!("{}{folder}/{object}", self.prefix))
    }

    /// Begins an object of so many bytes. Given up, it leaves nothing.
    pub fn create(&self, object: &str, bytes: u64) -> Writer {
        let least = usize::try_from(bytes.div_ceil(PARTS_MAX)).unwrap_or(usize::MAX);
        Writer {
            store: self.store.clone(),
            path: self.path(object),
            parts: None,
            buffer: BytesMut::new(),
            part_bytes: self.part_bytes.max(least),
        }
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
        let found = self.store.get_opts(&self.path(object), options).await?;
        let range = found.range.clone();
        Ok(match found.payload {
            GetResultPayload::File(file, _) => read_file(file, range),
            GetResultPayload::Stream(stream) => stream,
        })
    }

    /// Deletes an object, if it is there.
    pub async fn delete(&self, object: &str) -> Result<(), object_store::Error> {
        match self.store.delete(&self.path(object)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

/// A part of a file in pieces of some size: object_store's own are of 8 kB, and each goes to another thread and back.
fn read_file(file: File, range: Range<u64>) -> BoxStream<'static, Result<Bytes, object_store::Error>> {
    let failed = |error: std::io::Error| object_store::Error::Generic {
        store: "folder",
        source: error.into(),
    };
    stream::try_unfold((Arc::new(file), range), move |(file, left)| async move {
        let bytes = (left.end - left.start).min(READ_BYTES);
        if bytes == 0 {
            return Ok(None);
        }
        let (from, same) = (left.start, file.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; bytes as usize];
            same.read_exact_at(&mut piece, from).map(|()| piece)
        });
        let piece = reading.await?.map_err(failed)?;
        Ok(Some((Bytes::from(piece), (file, from + bytes..left.end))))
    })
    .boxed()
}

fn make_folder(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}

/// An object that is being written; one part of it is in memory. What fits into one goes in one request.
pub(super) struct Writer {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// From the first part on that is not all.
    parts: Option<Box<dyn MultipartUpload>>,
    buffer: BytesMut,
    part_bytes: usize,
}

impl Writer {
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), object_store::Error> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= self.part_bytes {
            let rest = self.buffer.split_off(self.part_bytes);
            let part = std::mem::take(&mut self.buffer).freeze();
            let parts = match &mut self.parts {
                Some(parts) => parts,
                none => none.insert(self.store.put_multipart(&self.path).await?),
            };
            parts.put_part(PutPayload::from_bytes(part)).await?;
            // Exactly a part and the chunk that ends it: growing step by step it would take twice that.
            self.buffer = BytesMut::with_capacity(self.part_bytes + bytes.len());
            self.buffer.extend_from_slice(&rest);
        }
        Ok(())
    }

    /// The object is there when this returns `Ok`; otherwise it is to be given up.
    pub async fn finish(&mut self) -> Result<(), object_store::Error> {
        let rest = PutPayload::from_bytes(self.buffer.split().freeze());
        let Some(parts) = &mut self.parts else {
            return self.store.put(&self.path, rest).await.map(|_| ());
        };
        if rest.content_length() > 0 {
            parts.put_part(rest).await?;
        }
        parts.complete().await.map(|_| ())
    }

    pub async fn give_up(self) {
        let Some(mut parts) = self.parts else { return };
        if let Err(error) = parts.abort().await {
            tracing::warn!(event = "upload_not_aborted", %error);
        }
    }
}
