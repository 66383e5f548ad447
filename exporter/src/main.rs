//! The binary `kanary`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    kanary::cli::main(std::env::args_os())
}
