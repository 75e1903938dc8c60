//! Where a command's words go and come from, so that tests can stand in for a person.

use std::fmt::Display;
use std::io::{self, BufRead, Write};

use zeroize::Zeroizing;

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
        }
    }
}

impl Terminal<'_> {
    /// Says something. Nobody may be listening any more (`kim user list | head -1`); that is no failure.
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
