//! Slots: what was agreed on, as a token that the server alone can make and read.

use data_encoding::BASE64URL_NOPAD;
use kim_core::jid::BareJid;
use kim_core::seal::Key;

/// The form of a token.
const FORM: &str = "1";
/// Bytes of a token at most: an address, a type and four numbers, sealed and encoded.
const TOKEN_BYTES_MAX: usize = 8_192;

/// A slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The file's id; 160 random bits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub account: BareJid,
    /// Its size.
    pub bytes: u64,
    /// Its type, if the client said one.
    pub media_type: Option<String>,
    /// Until when it may come, in microseconds since 1970.
    pub until: i64,
    /// When the file is deleted; `None` for never.
    pub expires_at: Option<i64>,
}

impl Slot {
    /// The token: it opens for this id and this name only.
    pub(super) fn token(&self, key: &Key) -> String {
        let terms = format!(
            "{FORM}\n{}\n{}\n{}\n{}\n{}",
            self.account.as_str(),
            self.bytes,
            self.until,
            self.expires_at.unwrap_or(0),
            self.media_type.as_deref().unwrap_or_default(),
        );
        BASE64URL_NOPAD.encode(&key.seal(&aad(&self.id, &self.name), terms.as_bytes()))
    }

    /// Reads a token; `None` if this server has not made it for this id and name.
    pub(super) fn open(key: &Key, id: &str, name: &str, token: &str) -> Option<Slot> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let sealed = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        let terms = String::from_utf8(key.open(&aad(id, name), &sealed).ok()?).ok()?;
        let mut lines = terms.split('\n');
        if lines.next() != Some(FORM) {
            return None;
        }
        let account = BareJid::parse(lines.next()?).ok()?;
        let bytes = lines.next()?.parse().ok()?;
        let until = lines.next()?.parse().ok()?;
        let expires_at: i64 = lines.next()?.parse().ok()?;
        let media_type = lines.next().filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Slot {
            id: id.to_owned(),
            name: name.to_owned(),
            account,
            bytes,
            media_type,
            until,
            expires_at: (expires_at > 0).then_some(expires_at),
        })
    }
}

fn aad<'a>(id: &'a str, name: &'a str) -> [&'a [u8]; 3] {
    [b"upload slot", id.as_bytes(), name.as_bytes()]
}
