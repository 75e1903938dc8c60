//! The server's log. A thread of its own writes the lines to standard error, so the server never waits for the reader of
//! its log and never ends because the reader is gone: a closed pipe or terminal loses lines, a full pipe drops them.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::failure::Failure;

/// The environment variable that says what to log: `level` or `target=level,…`.
const LEVEL_VARIABLE: &str = "KIM_LOG";
const LEVEL_DEFAULT: &str = "info";
/// The environment variable for the format: `json` writes one JSON object per line.
const FORMAT_VARIABLE: &str = "KIM_LOG_FORMAT";
/// Bytes of lines that may wait for the reader. Further lines are dropped and counted.
const QUEUE_BYTES_MAX: usize = 1_048_576;
/// How long [`flush`] waits for a reader that does not read.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The log of this process, once it is set up.
static LOG: OnceLock<Log> = OnceLock::new();

/// Sets up logging to standard error, one line per event.
pub(super) fn start() -> Result<(), Failure> {
    let written = std::env::var(LEVEL_VARIABLE).unwrap_or_else(|_| LEVEL_DEFAULT.to_owned());
    let filter = EnvFilter::try_new(&written).map_err(|error| {
        let text =
            format!("{LEVEL_VARIABLE} must be a level such as info, or TARGET=LEVEL: {written:?}: {error}");
        Failure::Other(text)
    })?;
    let log = LOG.get_or_init(|| Log::to(io::stderr())).clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log)
        .log_internal_errors(false);
    // Fails only where logging is set up already (in tests).
    let _ = match std::env::var(FORMAT_VARIABLE).as_deref() {
        Ok("json") => subscriber.json().try_init(),
        _ => subscriber
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .try_init(),
    };
    Ok(())
}

/// Waits until everything logged so far is written, but no longer than a second.
pub fn flush() {
    if let Some(log) = LOG.get() {
        log.flush();
    }
}

/// Lines on their way to a reader. Clones share one queue.
#[derive(Clone)]
struct Log(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that were dropped and not reported yet.
    lost: u64,
    is_writing: bool,
}

impl Log {
    /// Starts a thread that writes to `out` for as long as the process lives.
    fn to(out: impl Write + Send + 'static) -> Log {
        let log = Log(Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        }));
        let writer = log.clone();
        let thread = std::thread::Builder::new().name("log".to_owned());
        // Without a thread nothing is written and the queue drops its lines: no reason to end the server.
        let _ = thread.spawn(move || writer.write_to(out));
        log
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.queue();
        if queue.bytes + line.len() > QUEUE_BYTES_MAX {
            queue.lost += 1;
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_owned());
        self.0.changed.notify_all();
    }

    fn write_to(&self, mut out: impl Write) {
        loop {
            let queue = self.queue();
            let mut queue = self
                .0
                .changed
                .wait_while(queue, |queue| queue.lines.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            let Some(line) = queue.lines.pop_front() else {
                continue;
            };
            queue.bytes -= line.len();
            queue.is_writing = true;
            drop(queue);
            // A reader that is gone may come back (a terminal), so every line is tried.
            let is_written = out.write_all(&line).and_then(|()| out.flush()).is_ok();
            let mut queue = self.queue();
            queue.is_writing = false;
            let lost = if is_written {
                std::mem::take(&mut queue.lost)
            } else {
                0
            };
            self.0.changed.notify_all();
            drop(queue);
            if lost > 0 {
                tracing::warn!(
                    event = "log_lines_lost",
                    lines = lost,
                    "the log was read too slowly"
                );
            }
        }
    }

    fn flush(&self) {
        let wait = self
            .0
            .changed
            .wait_timeout_while(self.queue(), FLUSH_MAX, |queue| {
                queue.is_writing || !queue.lines.is_empty()
            });
        drop(wait);
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

/// Each call is one line, and none fails.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// A reader that takes a write only when it is told to, or is gone.
    struct Reader(SyncSender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let sent = self.0.send(bytes.to_owned());
            sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (Log, Receiver<Vec<u8>>) {
        let (sender, receiver) = sync_channel(0);
        (Log::to(Reader(sender)), receiver)
    }

    #[test]
    fn a_reader_that_does_not_read_costs_a_bounded_queue_and_no_waiting() {
        let (mut log, reader) = log();
        let line = vec![b'x'; 1_024];
        for _ in 0..4_096 {
            log.write_all(&line).unwrap();
        }
        let queue = log.queue();
        assert!(queue.bytes <= QUEUE_BYTES_MAX, "{}", queue.bytes);
        // One line may be on its way to the reader.
        assert!((3_071..=3_072).contains(&queue.lost), "{}", queue.lost);
        drop(queue);
        for _ in 0..1_024 {
            assert_eq!(reader.recv().unwrap(), line);
        }
    }

    #[test]
    fn a_reader_that_is_gone_is_no_error() {
        let (mut log, reader) = log();
        drop(reader);
        log.write_all(b"nobody reads this\n").unwrap();
        Log::flush(&log);
        let queue = log.queue();
        assert!(
            queue.lines.is_empty() && !queue.is_writing,
            "it was tried and given up"
        );
    }
}
