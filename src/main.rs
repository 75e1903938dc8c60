//! The `kim` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kim::cli::run(&kim::app())
}
