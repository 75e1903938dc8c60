//! Where a command's words go and come from, so that tests can stand in for a person.

use std::fmt::Display;
use std::io::{self, BufRead, Write};

use zeroize::Zeroizing;

/// Longest answer to a question, in bytes.
const ANSWER_BYTES_MAX: u64 = 64;

/// Asks for a password without showing it.
type Prompt<'a> = Box<dyn FnMut(&str) -> io::Result<Zeroizing<String>> + 'a>;

/// The person, or script, that called the command.
pub struct Terminal<'a> {
    /// For answers.
    pub out: Box<dyn Write + 'a>,
    /// For complaints.
    pub err: Box<dyn Write + 'a>,
    /// What is typed or piped in.
    pub input: Box<dyn BufRead + 'a>,
    /// Asks for a password without showing it.
    pub prompt: Prompt<'a>,
    /// Settings from the environment in addition to the process's own.
    pub environment: Vec<(String, String)>,
    /// Whether the server's log goes to the process's standard error.
    pub logs: bool,
    /// Whether `out` is a terminal that shows colours.
    pub colours: bool,
}

impl Terminal<'static> {
    /// The process's own.
    pub fn of_process() -> Terminal<'static> {
        Terminal {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            input: Box::new(io::stdin().lock()),
            prompt: Box::new(|question| rpassword::prompt_password(question).map(Zeroizing::new)),
            environment: Vec::new(),
            logs: true,
            colours: shows_colours(),
        }
    }
}

/// Whether standard output is a terminal that shows colours.
pub fn shows_colours() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !is_dumb && io::IsTerminal::is_terminal(&io::stdout())
}

impl Terminal<'_> {
    /// Asks a question; `true` if the answer is yes. No answer at all is an error.
    pub fn confirm(&mut self, question: impl Display) -> io::Result<bool> {
        self.complain(format_args!("{question} [y/N] "));
        let mut answer = Vec::new();
        let read = io::Read::take(&mut self.input, ANSWER_BYTES_MAX).read_until(b'\n', &mut answer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answer = answer.trim_ascii().to_ascii_lowercase();
        Ok(answer == b"y" || answer == b"yes")
    }

    /// Says something. The reader may be gone (`kim user list | head -1`); that is not a failure.
    pub fn say(&mut self, text: impl Display) {
        let _ = write!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    /// Whether saying something still makes sense.
    pub fn say_line(&mut self, text: impl Display) -> bool {
        writeln!(self.out, "{text}")
            .and_then(|()| self.out.flush())
            .is_ok()
    }

    /// Says what is wrong.
    pub fn complain(&mut self, text: impl Display) {
        let _ = write!(self.err, "{text}").and_then(|()| self.err.flush());
    }
}
