//! The PROXY protocol, versions 1 and 2: the first bytes of a connection tell for whom a proxy made it. Read only where the
//! operator says so, and only from proxies that are trusted.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Bytes of a header of version 1 at most, with its end of line (specification §2.1).
const V1_BYTES_MAX: usize = 107;
/// Bytes looked at: a header of version 2 with more behind the addresses than anybody sends is refused.
const BYTES_MAX: usize = 536;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// How long the header may take; a proxy sends it at once.
const SECONDS_MAX: u64 = 5;
/// Between two looks at a header that has not come as a whole.
const PAUSE: Duration = Duration::from_millis(5);

/// A header: its length, and the client's address unless the proxy speaks for itself.
pub type Header = (usize, Option<IpAddr>);

/// Takes the header from a connection. `None`: the proxy speaks for itself.
pub(super) async fn read(tcp: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let read = async {
        let mut buffer = [0; BYTES_MAX];
        loop {
            let bytes = tcp.peek(&mut buffer).await?;
            let seen = buffer.get(..bytes).unwrap_or_default();
            if let Some((length, address)) = parse(seen)? {
                let header = buffer.get_mut(..length).unwrap_or_default();
                tcp.read_exact(header).await?;
                return Ok(address);
            }
            if bytes == 0 || bytes == BYTES_MAX {
                return Err(wrong());
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(SECONDS_MAX), read)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no header of the PROXY protocol")
}

/// Reads the header at the beginning of what a connection has sent; `None` while it is not whole. What stands behind the
/// header changes nothing, and no part of a header that is accepted is refused.
pub fn parse(bytes: &[u8]) -> io::Result<Option<Header>> {
    let common = V2_SIGNATURE.len().min(bytes.len());
    if bytes.get(..common) == V2_SIGNATURE.get(..common) {
        return parse_v2(bytes);
    }
    let common = b"PROXY ".len().min(bytes.len());
    if bytes.get(..common) != b"PROXY ".get(..common) {
        return Err(wrong());
    }
    // Looked for only where the line may end, or it would depend on the reads whether a longer one is taken.
    let line = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < V1_BYTES_MAX {
            Ok(None)
        } else {
            Err(wrong())
        };
    };
    let line = bytes
        .get(..end)
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or_else(wrong)?;
    let mut words = line.split(' ').skip(1);
    let address = match (words.next(), words.next()) {
        (Some("UNKNOWN"), _) => None,
        (Some("TCP4"), Some(source)) => Some(IpAddr::V4(source.parse().map_err(|_| wrong())?)),
        (Some("TCP6"), Some(source)) => Some(IpAddr::V6(source.parse().map_err(|_| wrong())?)),
        _ => return Err(wrong()),
    };
    Ok(Some((end + 2, address)))
}

fn parse_v2(bytes: &[u8]) -> io::Result<Option<Header>> {
    let (Some(&version), Some(&family), Some(length)) = (bytes.get(12), bytes.get(13), bytes.get(14..16))
    else {
        return Ok(None);
    };
    let length = 16 + length.iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
    if version >> 4 != 2 || length > BYTES_MAX {
        return Err(wrong());
    }
    let Some(content) = bytes.get(16..length) else {
        return Ok(None);
    };
    let address = match (version & 0x0F, family >> 4) {
        // LOCAL: the proxy itself, to see whether we are here.
        (0, _) => None,
        (1, 1) => {
            let source: [u8; 4] = content
                .get(..4)
                .and_then(|b| b.try_into().ok())
                .ok_or_else(wrong)?;
            Some(IpAddr::V4(Ipv4Addr::from(source)))
        }
        (1, 2) => {
            let source: [u8; 16] = content
                .get(..16)
                .and_then(|b| b.try_into().ok())
                .ok_or_else(wrong)?;
            Some(IpAddr::V6(Ipv6Addr::from(source)))
        }
        (1, _) => None,
        _ => return Err(wrong()),
    };
    Ok(Some((length, address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(bytes: &[u8]) -> io::Result<Option<Option<String>>> {
        Ok(parse(bytes)?.map(|(_, address)| address.map(|address| address.to_string())))
    }

    #[test]
    fn version_1_is_a_line() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET /";
        assert_eq!(
            parse(line).unwrap(),
            Some((45, Some("192.0.2.1".parse().unwrap())))
        );
        for end in 0..45 {
            assert_eq!(parse(&line[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(address(b"PROXY UNKNOWN\r\n").unwrap(), Some(None));
        let v6 = address(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n").unwrap();
        assert_eq!(v6, Some(Some("2001:db8::1".to_owned())));
        let endless = [b"PROXY ".as_slice(), &[b'x'; 200]].concat();
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100], b"\r\n"].concat();
        for wrong in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"PROXY TCP4 x\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            &long,
            b"PROXY \r\n",
            &endless,
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn version_2_is_binary() {
        let header = |command: u8, family: u8, content: &[u8]| {
            let mut bytes = V2_SIGNATURE.to_vec();
            bytes.extend([0x20 | command, family]);
            bytes.extend((content.len() as u16).to_be_bytes());
            bytes.extend(content);
            bytes
        };
        let v4 = header(1, 0x11, &[192, 0, 2, 1, 198, 51, 100, 1, 0, 1, 0, 2]);
        assert_eq!(address(&v4).unwrap(), Some(Some("192.0.2.1".to_owned())));
        for end in 0..v4.len() {
            assert_eq!(parse(&v4[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(address(&header(0, 0, &[])).unwrap(), Some(None));
        assert_eq!(
            address(&header(1, 0x31, &[0; 216])).unwrap(),
            Some(None),
            "a Unix socket"
        );
        assert!(parse(&header(1, 0x11, &[1, 2])).is_err());
        assert!(parse(&header(2, 0x11, &[0; 12])).is_err());
        assert!(parse(&header(1, 0x11, &[0; 2000])).is_err());
    }
}
