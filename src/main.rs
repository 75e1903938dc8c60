//! The `kim` binary: its commands are in `cli`, what they set going is in `server`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kim::cli::run(&kim::server::app())
}
