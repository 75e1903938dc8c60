//! The file with the key-encryption key, which stands outside the database: who steals one of the two has nothing.
//!
//! The first key in it is the one in use. Others follow only while keys are exchanged, see [`super::rotate`].

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use super::SealError;
use super::cipher::{KEY_BYTES, Key, hmac};

/// The longest key file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4096;
/// What stands before each key.
const MARK: &str = "kim-sealing-key-1";
const HEADER: &str = "# The sealing key of kIM. With it and the database one can read all messages; without it nobody can.\n\
                      # Keep a copy of it, and keep it apart from the copies of the database.\n";

/// A key-encryption key: it wraps data keys and nothing else.
#[derive(Clone, Debug)]
pub struct Kek {
    pub(super) key: Key,
    /// Its fingerprint, by which the database says which one it needs. It tells nothing about the key.
    pub(super) id: String,
}

impl Kek {
    /// A new random one.
    pub(super) fn random() -> Kek {
        Kek::new(Key::random())
    }

    pub(super) fn new(key: Key) -> Kek {
        let digest = hmac(key.secret(), &[b"kIM fingerprint of a sealing key"]);
        let id = data_encoding::HEXLOWER.encode(digest.first_chunk::<8>().unwrap_or(&[0; 8]));
        Kek { key, id }
    }
}

/// Where the keys are kept.
#[derive(Clone, Debug)]
pub(super) enum KeyFile {
    /// In a file.
    At(PathBuf),
    /// Nowhere: it ends with the process.
    Memory,
}

impl KeyFile {
    /// The keys in the file, the one in use first; `None` if there is no file.
    pub(super) fn read(&self) -> Result<Option<Vec<Kek>>, SealError> {
        let KeyFile::At(path) = self else { return Ok(None) };
        let failed = |cause: String| SealError::KeyFile {
            path: path.clone(),
            cause,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(failed(
                    "cannot be read by this user: permission denied".to_owned(),
                ));
            }
            Err(error) => return Err(failed(format!("cannot be read: {error}"))),
        };
        let others = file
            .metadata()
            .map_or(0, |facts| facts.permissions().mode() & 0o077);
        if others != 0 {
            tracing::warn!(event = "sealing_key_exposed", path = %path.display(), "other users may read the sealing key");
        }
        let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
        file.take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| failed(format!("cannot be read: {error}")))?;
        let keys = parse(&text).ok_or_else(|| {
            failed("holds no sealing key of kIM: put the right file back, do not make a new one".to_owned())
        })?;
        Ok(Some(keys))
    }

    /// Replaces the file: after a crash it holds either the old keys or the new ones.
    pub(super) fn write(&self, keys: &[&Kek]) -> Result<(), SealError> {
        let KeyFile::At(path) = self else { return Ok(()) };
        write_file(path, keys).map_err(|error| SealError::KeyFile {
            path: path.clone(),
            cause: format!("cannot be written: {error}"),
        })
    }
}

fn parse(text: &str) -> Option<Vec<Kek>> {
    let mut keys = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let encoded = line.strip_prefix(MARK)?.trim();
        let secret = Zeroizing::new(BASE32_NOPAD.decode(encoded.as_bytes()).ok()?);
        let secret: &[u8; KEY_BYTES] = secret.as_slice().try_into().ok()?;
        keys.push(Kek::new(Key::from_secret(*secret)));
    }
    (!keys.is_empty()).then_some(keys)
}

fn write_file(path: &Path, keys: &[&Kek]) -> std::io::Result<()> {
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
    text.push_str(HEADER);
    for kek in keys {
        let encoded = Zeroizing::new(BASE32_NOPAD.encode(kek.key.secret()));
        for part in [MARK, " ", &encoded, "\n"] {
            text.push_str(part);
        }
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = folder.join(name);
    let _ = std::fs::remove_file(&beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    // The name is on the disk too, before anything is sealed with what it names.
    File::open(folder)?.sync_all()
}
