//! `kanary`: the story of the running process. Bind, load, resume, serve, drain.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::bpf::Programs;
use crate::collect::{self, Row, Setup};
use crate::config::Config;
use crate::detect::{self, Detector};
use crate::pipeline::{self, CollectorStatus, Feed, Handle, ProgramStatus, Sampler, Status};
use crate::snapshot::Stamp;
use crate::state::Store;
use crate::{expose, telemetry};

/// How often the detector's state is written.
const SAVE_EVERY: Duration = Duration::from_secs(300);
/// How long the last state may take on the way out.
const SAVE_PATIENCE: Duration = Duration::from_secs(3);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting, in one line.
pub fn main(config: Config) -> Result<ExitCode, String> {
    telemetry::start_log(config.log, config.log_format);
    for name in &config.unknown {
        tracing::warn!(variable = name, "unknown setting: nothing reads it");
    }
    let selected = collect::select(&config.collectors).map_err(|e| e.to_string())?;
    let listeners = expose::bind(&config).map_err(|e| e.to_string())?;
    let mut programs = Programs::load(&config).map_err(|e| e.to_string())?;
    for p in programs.statuses() {
        tracing::info!(
            program = p.program,
            hook = p.hook,
            verdict = p.verdict.label(),
            reason = p.reason,
            "kernel program"
        );
    }
    let feeds = feeds(&config, &selected, &mut programs).map_err(|e| e.to_string())?;
    let store = Store::open(&config.state_dir);
    let (handle, sampler) = start_sampler(&config, &selected, feeds, &programs, &store)?;
    let code = serve(&config, listeners, &handle, &store);
    handle.stop();
    if sampler.join().is_err() {
        return Err("the sampler ended with a panic".into());
    }
    drop(programs);
    code.map(|()| ExitCode::SUCCESS)
}

/// Collectors that are exposed or that the detector needs.
fn feeds(config: &Config, selected: &[&Row], programs: &mut Programs) -> Result<Vec<Feed>, crate::config::Error> {
    let mut setup = Setup { config, programs };
    let mut feeds = Vec::new();
    for row in collect::ALL {
        let period = detect::period(row.id, config.tick);
        if period.is_some() || selected.iter().any(|s| s.id == row.id) {
            feeds.push(Feed::new(row.id, (row.build)(&mut setup)?, period));
        }
    }
    Ok(feeds)
}

/// Starts the thread that owns collectors and detector.
fn start_sampler(
    config: &Config,
    selected: &[&'static Row],
    feeds: Vec<Feed>,
    programs: &Programs,
    store: &Store,
) -> Result<(Handle, std::thread::JoinHandle<()>), String> {
    let mut exposed: Vec<&'static str> = selected.iter().map(|r| r.id).collect();
    if collect::selects(&config.collectors, collect::DETECTOR, true) {
        exposed.push(collect::DETECTOR);
    }
    let status = Status {
        collectors: collect::ALL.iter().map(|r| collector_status(r.id, &feeds, &exposed)).collect(),
        programs: programs.statuses().iter().map(ProgramStatus::from).collect(),
        unknown_variables: config.unknown.clone(),
        ..Status::default()
    };
    let settings = detect::Settings::from_config(config);
    let mut detector = Detector::new(settings.clone());
    resume(&mut detector, store);
    let (handle, commands, shared) = pipeline::channel(exposed, status);
    let fresh_detector = Box::new(move || Detector::new(settings.clone()));
    let sampler = Sampler { feeds, detector, fresh_detector, tick: config.tick, shared };
    let thread = std::thread::Builder::new()
        .name("sampler".into())
        .spawn(move || sampler.run(&commands))
        .map_err(|e| format!("no thread for the sampler: {e}"))?;
    Ok((handle, thread))
}

fn collector_status(id: &'static str, feeds: &[Feed], exposed: &[&str]) -> CollectorStatus {
    CollectorStatus::new(id, feeds.iter().any(|f| f.id() == id), exposed.contains(&id))
}

fn resume(detector: &mut Detector, store: &Store) {
    match store.load(Stamp::now()) {
        Ok(None) => tracing::info!("no state to resume: the detector warms up"),
        Ok(Some(bytes)) => match detector.restore(&bytes, Stamp::now()) {
            Ok(resumed) => tracing::info!(%resumed, "state resumed"),
            Err(reason) => tracing::warn!(reason, "state refused: the detector warms up"),
        },
        Err(reason) => tracing::warn!(reason, "state refused: the detector warms up"),
    }
}

/// Answers, pushes and saves until a signal; then saves once more.
fn serve(config: &Config, listeners: expose::Listeners, handle: &Handle, store: &Store) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("no event loop: {e}"))?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).map_err(|e| format!("SIGTERM: {e}"))?;
        let mut int = signal(SignalKind::interrupt()).map_err(|e| format!("SIGINT: {e}"))?;
        let parts = expose::start(config, listeners, handle.clone());
        let mut saves = tokio::time::interval(SAVE_EVERY);
        saves.tick().await;
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = saves.tick() => save(handle, store).await,
            }
        }
        tracing::info!("stopping");
        parts.stop();
        save(handle, store).await;
        Ok(())
    })
}

async fn save(handle: &Handle, store: &Store) {
    let Some(bytes) = handle.save(SAVE_PATIENCE).await else {
        tracing::warn!("the sampler did not give the detector's state");
        return;
    };
    store.save(&bytes, Stamp::now());
}
