//! `kim s2s …`: asks the running server, which has the streams.

use kim_core::clock::Timestamp;
use kim_core::config::Config;

use super::S2sCommand;
use super::terminal::Terminal;
use crate::control::{Control, ControlError, Remote};
use crate::failure::Failure;
use crate::s2s::status::{FederationFacts, QueueFacts, StreamFacts};

/// Runs one of them.
pub(super) async fn run(
    config: Config,
    command: S2sCommand,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let remote = Remote::find(&config.control_socket()).await;
    let remote = remote.map_err(|error| Failure::Other(error.to_string()))?;
    let Some(remote) = remote else {
        return Err(Failure::Other(format!(
            "no server runs with the data directory {}, so there are no streams; start one with kim serve, or name another \
             with --data-dir or --config",
            config.server.data_dir.display()
        )));
    };
    let failed = |error: ControlError| Failure::Other(error.to_string());
    match command {
        S2sCommand::List => {
            terminal.say(listed(&remote.s2s_list().await.map_err(failed)?));
            Ok(())
        }
        S2sCommand::Check { domain } => {
            let looked = remote.s2s_check(&domain).await.map_err(failed)?;
            for one in &looked {
                let outcome = if one.is_good { "ok  " } else { "FAIL" };
                terminal.say(format_args!("{outcome}  {:13}  {}\n", one.what, one.text));
            }
            match looked.iter().filter(|one| !one.is_good).count() {
                0 => Ok(()),
                failures => Err(Failure::Check(failures)),
            }
        }
    }
}

/// Everything, a line each.
pub(super) fn listed(facts: &FederationFacts) -> String {
    if facts.streams.is_empty() && facts.queues.is_empty() {
        return "no streams, and nothing waits\n".to_owned();
    }
    let streams = facts.streams.iter().map(stream);
    let queues = facts.queues.iter().map(queue);
    streams.chain(queues).collect()
}

fn stream(stream: &StreamFacts) -> String {
    let unknown = "?".to_owned();
    let (local, remote) = (
        stream.local.as_ref().unwrap_or(&unknown),
        stream.remote.as_ref().unwrap_or(&unknown),
    );
    let mut line = match stream.is_incoming {
        true => format!("in   {remote} -> {local}"),
        false => format!("out  {local} -> {remote}"),
    };
    let proved = stream
        .proved
        .iter()
        .map(|(domain, how)| format!("{domain} by {how}"));
    let proved = proved.collect::<Vec<_>>().join(", ");
    match (stream.is_incoming, proved.is_empty()) {
        (_, false) => line.push_str(&format!("  proved {proved}")),
        (true, true) => line.push_str("  nothing proved yet"),
        (false, true) => {}
    }
    if let Some(address) = &stream.address {
        line.push_str(&format!("  {address}"));
    }
    line.push_str(&format!("  since {}", Timestamp(stream.since)));
    line.push_str(&format!("  received {}, sent {}", stream.received, stream.sent));
    if stream.is_bidi {
        line.push_str("  both directions");
    }
    if let Some(unconfirmed) = stream.unconfirmed {
        line.push_str(&format!("  {unconfirmed} unconfirmed"));
    }
    line.push('\n');
    line
}

fn queue(queue: &QueueFacts) -> String {
    let mut line = format!(
        "wait {} -> {}  {} stanzas, {} bytes",
        queue.local, queue.remote, queue.stanzas, queue.bytes
    );
    if let Some(failing) = &queue.failing {
        line.push_str(&format!("  last attempt: {failing}"));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_and_each_queue_is_a_line() {
        let facts = FederationFacts {
            streams: vec![StreamFacts {
                is_incoming: true,
                local: Some("a.example".to_owned()),
                remote: Some("b.example".to_owned()),
                proved: vec![("b.example".to_owned(), "certificate".to_owned())],
                address: Some("192.0.2.1:5269".to_owned()),
                since: 0,
                received: 7,
                sent: 2,
                is_bidi: true,
                unconfirmed: Some(1),
            }],
            queues: vec![QueueFacts {
                local: "a.example".to_owned(),
                remote: "c.example".to_owned(),
                stanzas: 3,
                bytes: 900,
                failing: Some("remote-server-timeout".to_owned()),
            }],
        };
        assert_eq!(
            listed(&facts),
            "in   b.example -> a.example  proved b.example by certificate  192.0.2.1:5269  since 1970-01-01T00:00:00.000000Z  \
             received 7, sent 2  both directions  1 unconfirmed\n\
             wait a.example -> c.example  3 stanzas, 900 bytes  last attempt: remote-server-timeout\n"
        );
        assert_eq!(
            listed(&FederationFacts::default()),
            "no streams, and nothing waits\n"
        );
    }
}
