//! `kanary check`: the effective settings with their origin, and what this host allows.

use std::process::ExitCode;

use crate::bpf::Programs;
use crate::collect::{self, Setup};
use crate::config::{Config, SETTINGS, Setting};
use crate::detect;
use crate::expose;
use crate::snapshot::{Outcome, Sink};
use crate::state;

/// Prints both; fails when a variable is unknown or something selected cannot work.
pub fn main(config: &Config) -> ExitCode {
    let settings =
        SETTINGS.iter().copied().chain(collect::options()).chain(detect::settings()).chain(expose::settings());
    println!("settings");
    settings.for_each(|s| setting(config, s));
    let mut well = unknown(config);
    println!("\nkernel programs");
    let mut programs = match Programs::load(config) {
        Ok(programs) => programs,
        Err(why) => {
            println!("  refused: {why}");
            return ExitCode::FAILURE;
        }
    };
    for p in programs.statuses() {
        println!("  {:<16} {:<18} {:<20} {}", p.program, p.hook, p.verdict.label(), p.reason);
    }
    println!("\ncollectors");
    well &= collectors(config, &mut programs);
    println!("\nOTLP");
    expose::push_verdict(config).iter().for_each(|line| println!("  {line}"));
    println!("\nstate\n  {}", state::verdict(&config.state_dir));
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn setting(config: &Config, s: &Setting) {
    let origin = if config.vars.set(s.name).is_some() { "environment" } else { "default" };
    // Headers carry credentials.
    let hidden = config.vars.set(s.name).filter(|_| s.name.ends_with("_HEADERS")).map(|_| "(not shown)");
    let value = hidden.or(config.vars.get(s)).unwrap_or("-");
    println!("  {:<56} {origin:<12} {value}", s.name);
}

/// True when there is none.
fn unknown(config: &Config) -> bool {
    for name in &config.unknown {
        println!("  {name:<56} unknown: nothing reads it");
    }
    config.unknown.is_empty()
}

/// Asks each selected collector once. True when none failed.
fn collectors(config: &Config, programs: &mut Programs) -> bool {
    let selected = match collect::select(&config.collectors) {
        Ok(selected) => selected,
        Err(error) => {
            println!("  {error}");
            return false;
        }
    };
    let mut well = true;
    for row in collect::ALL {
        if !selected.iter().any(|s| s.id == row.id) {
            println!("  {:<12} off", row.id);
            continue;
        }
        let mut out = Sink::default();
        let asked = (row.build)(&mut Setup { config, programs }).map_err(|e| Outcome::Failed(e.to_string()));
        match asked.and_then(|mut c| c.collect(&mut out).map_err(Outcome::from)) {
            Ok(()) => {
                let (samples, faults) = out.finish();
                let series: usize = samples.iter().map(|s| s.points.len()).sum();
                println!("  {:<12} ok       {series} series {}", row.id, faults.join("; "));
            }
            Err(Outcome::Absent(why)) => println!("  {:<12} absent   {why}", row.id),
            Err(Outcome::Failed(why)) => {
                println!("  {:<12} failed   {why}", row.id);
                well = false;
            }
            Err(Outcome::Ok) => {}
        }
    }
    well
}
