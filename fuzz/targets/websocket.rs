//! Frames of WebSocket (RFC 6455). The first byte says how long the pieces are in which the rest comes.

use bytes::BytesMut;
use kim::c2s::link::frames::{Breach, Parser, Piece, TEXT, begin};

/// The longest beginning of frames that waits for its rest: a control frame with one byte missing.
const WAITING_BYTES_MAX: usize = 130;

/// What came: texts, and what else came after how many bytes of text.
type Outcome = (Vec<u8>, Vec<(usize, Piece)>, Option<Breach>);

pub fn check(data: &[u8]) {
    let Some((step, data)) = data.split_first() else {
        return;
    };
    let whole = read(data, data.len().max(1));
    assert_eq!(
        read(data, usize::from(*step).max(1)),
        whole,
        "cutting changes nothing"
    );
    assert_eq!(read(data, 1), whole);
    assert!(whole.0.len() <= data.len());
    for (_, piece) in &whole.1 {
        assert!(!matches!(piece, Piece::Ping(content) if content.len() > 125));
    }
    if let Some(breach) = whole.2 {
        assert!([1002, 1003, 1007].contains(&breach.0));
    }
    let frames = [framed(data), framed(b"")].concat();
    let (text, pieces, breach) = read(&frames, usize::from(*step).max(1));
    match std::str::from_utf8(data) {
        Ok(_) => {
            let end = || (data.len(), Piece::Text(true));
            assert_eq!((text, pieces, breach), (data.to_vec(), vec![end(), end()], None));
        }
        Err(_) => assert_eq!(
            breach.map(|breach| breach.0),
            Some(1007),
            "text that is not UTF-8"
        ),
    }
}

fn read(bytes: &[u8], step: usize) -> Outcome {
    let (mut parser, mut raw, mut text) = (Parser::default(), BytesMut::new(), BytesMut::new());
    let mut pieces = Vec::new();
    for piece in bytes.chunks(step) {
        raw.extend_from_slice(piece);
        loop {
            match parser.next(&mut raw, &mut text) {
                Ok(Some(Piece::Text(false))) => {}
                Ok(Some(piece)) => pieces.push((text.len(), piece)),
                Ok(None) => break,
                // How much of a message is handed on before its breach is seen depends on how it came.
                Err(breach) => return (Vec::new(), pieces, Some(breach)),
            }
        }
        assert!(raw.len() <= WAITING_BYTES_MAX, "{} bytes wait", raw.len());
    }
    (text.to_vec(), pieces, None)
}

/// A client's message in one frame.
fn framed(content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    begin(&mut frame, TEXT, content.len());
    frame[1] |= 0x80;
    let mask = [0x1B, 0, 0xFF, 0x80];
    frame.extend(mask);
    frame.extend(
        content
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}
