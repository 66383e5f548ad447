//! `kanary`: the story of the running process. Bind, load, resume, serve, drain.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::bpf::{self, Programs, Verdict};
use crate::collect::{self, Row, Setup};
use crate::config::Config;
use crate::detect::{self, Detector};
use crate::expose::{self, Source};
use crate::pipeline::{self, CollectorStatus, Feed, Handle, ProgramStatus, Sampler, Status};
use crate::snapshot::Stamp;
use crate::state::Store;
use crate::telemetry;

/// How often the detector's state is written.
const SAVE_EVERY: Duration = Duration::from_secs(300);
/// How long each step on the way out may take.
const PATIENCE: Duration = Duration::from_secs(2);

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
    programs.statuses().iter().for_each(say);
    let feeds = feeds(&config, &selected, &mut programs).map_err(|e| e.to_string())?;
    let store = Arc::new(Store::open(&config.state_dir));
    let (handle, ended) = start_sampler(&config, &selected, feeds, &programs, &store)?;
    let (collectors, version) = (handle.exposed().len(), env!("CARGO_PKG_VERSION"));
    tracing::info!(version, collectors, metrics = %config.listen, api = %config.api_listen, "serving");
    serve(&config, listeners, &handle, &store, ended)?;
    drop(programs);
    Ok(ExitCode::SUCCESS)
}

/// What became of a kernel program: a warning when it is neither attached nor switched off.
fn say(status: &bpf::Status) {
    let (program, hook, verdict) = (status.program, status.hook, status.verdict.label());
    match status.verdict {
        Verdict::Attached => tracing::info!(program, hook, "kernel program attached"),
        Verdict::Off => tracing::info!(program, hook, reason = status.reason, "kernel program off"),
        _ => tracing::warn!(program, hook, verdict, reason = status.reason, "kernel program not attached"),
    }
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

/// Resolves when the sampler thread is over, whatever ended it.
type Ended = oneshot::Receiver<()>;

/// Starts the thread that owns collectors and detector.
fn start_sampler(
    config: &Config,
    selected: &[&'static Row],
    feeds: Vec<Feed>,
    programs: &Programs,
    store: &Store,
) -> Result<(Handle, Ended), String> {
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
    let settings = detect::Settings::from_config(config).map_err(|e| e.to_string())?;
    let mut detector = Detector::new(settings);
    resume(&mut detector, store);
    let (handle, commands, shared) = pipeline::channel(exposed, status);
    let fresh_detector = Box::new(move || Detector::new(settings));
    let sampler = Sampler { feeds, detector, fresh_detector, tick: config.tick, shared };
    let (alive, ended) = oneshot::channel();
    let run = move || {
        let _alive: oneshot::Sender<()> = alive;
        sampler.run(&commands);
    };
    std::thread::Builder::new()
        .name("sampler".into())
        .spawn(run)
        .map_err(|e| format!("no thread for the sampler: {e}"))?;
    Ok((handle, ended))
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

/// Answers, pushes and saves until a signal; then saves once more and ends the sampler.
fn serve(
    config: &Config,
    listeners: expose::Listeners,
    handle: &Handle,
    store: &Arc<Store>,
    mut ended: Ended,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("no event loop: {e}"))?;
    let result = runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).map_err(|e| format!("SIGTERM: {e}"))?;
        let mut int = signal(SignalKind::interrupt()).map_err(|e| format!("SIGINT: {e}"))?;
        let parts = expose::start(config, listeners, handle.clone());
        let saver = tokio::spawn(save_often(handle.clone(), store.clone()));
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = &mut ended => return Err("the sampler ended by itself".into()),
        }
        tracing::info!("stopping");
        parts.stop();
        saver.abort();
        // A disk or a file that hangs must not keep the process.
        if timeout(PATIENCE, save(handle, store)).await.is_err() {
            tracing::warn!("the last state was not written in time");
        }
        handle.stop();
        let _ = timeout(PATIENCE, ended).await;
        Ok(())
    });
    runtime.shutdown_background();
    result
}

async fn save_often(handle: Handle, store: Arc<Store>) {
    let mut saves = tokio::time::interval(SAVE_EVERY);
    saves.tick().await;
    loop {
        saves.tick().await;
        save(&handle, &store).await;
    }
}

/// Writes the detector's state from a thread that may wait for the disk.
async fn save(handle: &Handle, store: &Arc<Store>) {
    let Some(bytes) = handle.save(PATIENCE).await else {
        tracing::warn!("the sampler did not give the detector's state");
        return;
    };
    let store = store.clone();
    let _ = tokio::task::spawn_blocking(move || store.save(&bytes, Stamp::now())).await;
}
