//! The command line: which of kanary's programs to run.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, Error, Vars};
use crate::{check, collect, detect, expose, healthcheck, replay, run};

const HELP: &str = "\
kanary: kernel and host metrics with anomaly scores, for Prometheus and OpenTelemetry

  kanary               run; settings come from KANARY_* and OTEL_* in the environment
  kanary check         show the effective settings, where each came from, and what this host allows
  kanary healthcheck   ask a running kanary whether it is healthy
  kanary replay FILE   judge a recorded series (CSV, also .gz) as the running detector would
  kanary --version     print the version
";

/// What the user asked for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Run,
    Check,
    Healthcheck,
    Replay(PathBuf),
    Help,
    Version,
}

/// Runs the program that the arguments name.
///
/// Exit codes: 0 well, 1 failed (the reason on stderr), 2 not understood.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let command = match parse(args.skip(1).collect()) {
        Ok(command) => command,
        Err(fault) => return refuse(&fault, 2),
    };
    match command {
        Command::Help => print!("{HELP}"),
        Command::Version => println!("kanary {}", env!("CARGO_PKG_VERSION")),
        Command::Replay(file) => return with_config(|config| replay::main(&file, &config)),
        Command::Run => return with_config(run::main),
        Command::Check => return with_config(|config| Ok(check::main(&config))),
        Command::Healthcheck => return with_config(|config| healthcheck::main(&config)),
    }
    ExitCode::SUCCESS
}

fn parse(args: Vec<OsString>) -> Result<Command, String> {
    let words: Vec<&str> = args.iter().map(|a| a.to_str().unwrap_or("\u{fffd}")).collect();
    match words.as_slice() {
        [] | ["run"] => Ok(Command::Run),
        ["check"] => Ok(Command::Check),
        ["healthcheck"] => Ok(Command::Healthcheck),
        ["replay", _] => Ok(Command::Replay(PathBuf::from(&args[1]))),
        ["replay"] => Err("replay needs a FILE".into()),
        ["help" | "--help" | "-h"] => Ok(Command::Help),
        ["--version" | "-V" | "version"] => Ok(Command::Version),
        [word, ..] => {
            Err(format!("`{word}` is not understood; allowed: check, healthcheck, replay FILE, --help, --version"))
        }
    }
}

/// The settings of this process.
///
/// # Errors
/// The first value that cannot be used.
pub fn config() -> Result<Config, Error> {
    let owned = collect::options().chain(detect::settings()).chain(expose::settings()).map(|s| s.name);
    Config::from_vars(Vars::from_env(), owned)
}

fn with_config(work: impl FnOnce(Config) -> Result<ExitCode, String>) -> ExitCode {
    match config().map_err(|e| e.to_string()).and_then(work) {
        Ok(code) => code,
        Err(fault) => refuse(&fault, 1),
    }
}

fn refuse(fault: &str, code: u8) -> ExitCode {
    eprintln!("kanary: {fault}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Command, String> {
        parse(args.iter().map(OsString::from).collect())
    }

    #[test]
    fn words_name_programs() {
        assert_eq!(parsed(&[]), Ok(Command::Run));
        assert_eq!(parsed(&["replay", "a.csv"]), Ok(Command::Replay("a.csv".into())));
        assert_eq!(parsed(&["-h"]), Ok(Command::Help));
    }

    #[test]
    fn what_is_not_understood_is_named_with_what_is() {
        assert!(parsed(&["chekc"]).unwrap_err().starts_with("`chekc` is not understood; allowed: check,"));
        assert!(parsed(&["check", "x"]).is_err());
    }
}
