//! Types of settings for the web: networks, where the server is reached, where uploads lie.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::raw::Located;
use super::value::{Choice, Value, Wrong, read_text, toml_text, written};

/// An address, or all that begin with the same bits: `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Network> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let base = base.parse::<IpAddr>().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { base, bits })
    }

    /// All addresses of the machine itself.
    pub fn loopback() -> Vec<Network> {
        ["127.0.0.0/8", "::1"]
            .into_iter()
            .filter_map(Network::parse)
            .collect()
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => same_bits(
                u128::from(u32::from(base)) << 96,
                u128::from(u32::from(address)) << 96,
                self.bits,
            ),
            (IpAddr::V6(base), IpAddr::V6(address)) => same_bits(base.into(), address.into(), self.bits),
            _ => false,
        }
    }
}

fn same_bits(one: u128, other: u128, bits: u8) -> bool {
    bits == 0 || (one ^ other) >> (128 - u32::from(bits.min(128))) == 0
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl Value for Network {
    fn expects() -> String {
        "an address or a network such as \"10.0.0.0/8\"".to_owned()
    }

    fn read(located: &Located) -> Result<Network, Wrong> {
        let text = read_text(located)?;
        Network::parse(text).ok_or_else(|| Wrong::found(written(text)))
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(&self.to_string()))
    }
}

/// The header in which proxies name their client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Choice for ProxyHeader {
    const ALL: &'static [ProxyHeader] = &[ProxyHeader::XForwardedFor, ProxyHeader::Forwarded];

    fn as_str(self) -> &'static str {
        match self {
            ProxyHeader::XForwardedFor => "x-forwarded-for",
            ProxyHeader::Forwarded => "forwarded",
        }
    }
}

/// The beginning of an address in the web, `https://chat.example.org` or `https://localhost:5443`: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// Reads one; a slash at the end is forgiven.
    pub fn parse(text: &str) -> Option<WebOrigin> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (scheme, authority) = text.split_once("://")?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        let fits =
            ["https", "http"].contains(&scheme) && !authority.is_empty() && authority.chars().all(is_plain);
        fits.then(|| WebOrigin(text.to_ascii_lowercase()))
    }

    /// The text, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and port as they are written.
    pub fn authority(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Whether it is encrypted.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for WebOrigin {
    fn expects() -> String {
        "an address without a path such as \"https://chat.example.org\" or \"https://chat.example.org:5443\""
            .to_owned()
    }

    fn read(located: &Located) -> Result<WebOrigin, Wrong> {
        let text = read_text(located)?;
        WebOrigin::parse(text).ok_or_else(|| Wrong::found(written(text)))
    }

    fn toml(&self) -> Option<String> {
        Some(toml_text(&self.0))
    }
}

/// Where uploaded files are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadsUrl {
    /// `file://` and a folder.
    Folder(PathBuf),
    /// `s3://`, a bucket and what every name there begins with. Everything else about it comes from the usual variables of the
    /// environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT` …).
    Bucket {
        /// The bucket.
        bucket: String,
        /// Without a slash at its ends.
        prefix: String,
    },
}

impl UploadsUrl {
    /// The folder `uploads` in a directory.
    pub fn folder_in(directory: &Path) -> UploadsUrl {
        UploadsUrl::Folder(directory.join("uploads"))
    }
}

impl Value for UploadsUrl {
    fn expects() -> String {
        "\"file://FOLDER\" or \"s3://BUCKET\"".to_owned()
    }

    fn read(located: &Located) -> Result<UploadsUrl, Wrong> {
        let text = read_text(located)?.trim();
        if let Some(folder) = text.strip_prefix("file://").filter(|folder| !folder.is_empty()) {
            return Ok(UploadsUrl::Folder(PathBuf::from(folder)));
        }
        if let Some(rest) = text.strip_prefix("s3://").filter(|rest| !rest.is_empty()) {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            return Ok(UploadsUrl::Bucket {
                bucket: bucket.to_owned(),
                prefix: prefix.trim_matches('/').to_owned(),
            });
        }
        Err(Wrong::found(written(text)))
    }

    fn toml(&self) -> Option<String> {
        Some(match self {
            UploadsUrl::Folder(folder) => toml_text(&format!("file://{}", folder.display())),
            UploadsUrl::Bucket { bucket, prefix } => toml_text(&format!("s3://{bucket}/{prefix}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_begins_alike() {
        let holds = |network: &str, address: &str| {
            Network::parse(network)
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("192.0.2.1", "::ffff:192.0.2.1") && !holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("0.0.0.0/0", "192.0.2.1") && !holds("0.0.0.0/0", "::1"));
        for wrong in ["", "10.0.0.0/33", "::/129", "example.org", "10.0.0.0/-1"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_origin_has_no_path() {
        let of = |text| WebOrigin::parse(text).map(|origin| origin.to_string());
        assert_eq!(
            of("https://Chat.Example.org/"),
            Some("https://chat.example.org".to_owned())
        );
        assert_eq!(
            WebOrigin::parse("https://[::1]:5443").unwrap().authority(),
            "[::1]:5443"
        );
        for wrong in [
            "chat.example.org",
            "ftp://x",
            "https://",
            "https://x/y",
            "https://a b",
            "https://a'b",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
