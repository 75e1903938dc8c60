//! kIM, an XMPP server: the doors, the wiring and the commands around the core (kim-core) and its rooms (kim-xep).
#![forbid(unsafe_code)]

pub mod c2s;
pub mod cli;
pub mod control;

/// The program: what its commands need to know of it.
pub fn app() -> cli::App {
    cli::App {
        schemas: Vec::new(),
        migrations: Vec::new(),
        erasers: Vec::new(),
        facts: |_| Vec::new(),
        serve: |_, _| {
            Box::pin(async { Err(cli::Failure::Other("this build has no server in it".to_owned())) })
        },
        checks: Vec::new(),
    }
}
