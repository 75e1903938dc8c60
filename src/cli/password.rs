//! Reading a password: from the terminal, unseen and twice, or from the first line of standard input. Never from an
//! argument, where every user of the machine could read it.

use std::io::{ErrorKind, Read};

use zeroize::Zeroizing;

use super::terminal::Terminal;
use crate::control::Secret;
use crate::failure::Failure;

/// The longest line taken for a password, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// Reads a new password.
pub(super) fn read(from_stdin: bool, terminal: &mut Terminal<'_>) -> Result<Secret, Failure> {
    let text = if from_stdin {
        from_line(terminal)?
    } else {
        ask_twice(terminal)?
    };
    let secret = Secret::new(text);
    // Checked here, so that a bad one is not sent to the server.
    secret
        .prepare()
        .map_err(|error| Failure::Other(error.to_string()))?;
    Ok(secret)
}

fn from_line(terminal: &mut Terminal<'_>) -> Result<Zeroizing<String>, Failure> {
    let cannot = |why: &str| Failure::Other(format!("no password on standard input: {why}"));
    // Never grows, which would leave a copy in the smaller buffer.
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX as usize + 1));
    let mut input = (&mut terminal.input).take(LINE_BYTES_MAX);
    std::io::BufRead::read_until(&mut input, b'\n', &mut line).map_err(|error| cannot(&error.to_string()))?;
    if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
        return Err(cannot(&format!("the line is longer than {LINE_BYTES_MAX} bytes")));
    }
    let text = std::str::from_utf8(&line).map_err(|_| cannot("it is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(cannot("the first line is empty"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

fn ask_twice(terminal: &mut Terminal<'_>) -> Result<Zeroizing<String>, Failure> {
    let no_terminal = |error: std::io::Error| {
        Failure::Other(match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::Interrupted => {
                "no password was typed; nothing was changed".to_owned()
            }
            _ => "asking for the password needs a terminal; without one, add --password-stdin and give the password on \
                  the first line of standard input"
                .to_owned(),
        })
    };
    let first = (terminal.prompt)("Password: ").map_err(no_terminal)?;
    let second = (terminal.prompt)("Repeat it: ").map_err(no_terminal)?;
    if *first != *second {
        return Err(Failure::Other(
            "the two passwords differ; nothing was changed".to_owned(),
        ));
    }
    Ok(first)
}
