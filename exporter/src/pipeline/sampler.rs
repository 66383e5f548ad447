//! The sampler thread: owns the collectors and the detector.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Command, REUSE, Shared};
use crate::collect::{Collector, DETECTOR};
use crate::detect::Detector;
use crate::metric::own;
use crate::snapshot::{Outcome, Section, Sink, Snapshot, Stamp};
use crate::supervise::{self, guard};
use crate::telemetry::{Loss, lost};

/// Most requests answered by one round.
const ROUND: usize = 64;

/// A collector and its last answer.
pub struct Feed {
    id: &'static str,
    collector: Box<dyn Collector>,
    /// How often the detector wants it; `None` when no feature needs it.
    period: Option<Duration>,
    last: Option<(Instant, Arc<Section>)>,
    /// When the detector saw it last; scrapes in between do not count.
    shown: Option<Instant>,
}

impl Feed {
    pub fn new(id: &'static str, collector: Box<dyn Collector>, period: Option<Duration>) -> Self {
        Feed { id, collector, period, last: None, shown: None }
    }

    pub fn id(&self) -> &'static str {
        self.id
    }

    /// The last answer when it is at most `age` old, else a fresh one.
    fn section(&mut self, age: Duration, shared: &Shared) -> Arc<Section> {
        if let Some((at, section)) = &self.last
            && at.elapsed() <= age
        {
            return section.clone();
        }
        let section = Arc::new(read(self.id, |out| self.collector.collect(out).map_err(Outcome::from)));
        note(shared, &section);
        self.last = Some((Instant::now(), section.clone()));
        section
    }

    /// A fresh answer when the detector wants one now.
    fn due(&mut self, now: Instant, shared: &Shared) -> Option<Arc<Section>> {
        let period = self.period?;
        // Ticks do not come to the millisecond.
        if self.shown.is_some_and(|at| now.duration_since(at) + REUSE < period) {
            return None;
        }
        self.shown = Some(now);
        Some(self.section(Duration::ZERO, shared))
    }
}

/// Runs one reading: what it put out, how it ended, how long it took. A panic is a failure like any other.
fn read(id: &'static str, collect: impl FnOnce(&mut Sink) -> Result<(), Outcome>) -> Section {
    let (at, begin) = (Stamp::now(), Instant::now());
    let mut out = Sink::default();
    let outcome = match guard(|| collect(&mut out)) {
        Ok(Ok(())) => Outcome::Ok,
        Ok(Err(outcome)) => outcome,
        Err(panic) => Outcome::Failed(panic),
    };
    let (samples, faults) = out.finish();
    Section { collector: id, at, took: begin.elapsed(), outcome, faults, samples }
}

fn note(shared: &Shared, section: &Section) {
    shared.status.lock().unwrap_or_else(PoisonError::into_inner).note(section);
}

/// Everything the thread owns.
pub struct Sampler {
    pub(crate) feeds: Vec<Feed>,
    pub(crate) detector: Detector,
    /// Makes the detector anew when it panicked.
    pub(crate) fresh_detector: Box<dyn Fn() -> Detector + Send>,
    pub(crate) tick: Duration,
    pub(crate) shared: Arc<Shared>,
}

impl Sampler {
    /// Serves until told to stop or until every handle is gone.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        supervise::up("sampler");
        supervise::up("detector");
        let mut next = Instant::now();
        loop {
            match commands.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(first) => {
                    let round = std::iter::once(first).chain(commands.try_iter().take(ROUND - 1));
                    if self.serve(round.collect()) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            next = self.tick_if_due(next);
        }
    }

    /// Answers every command; true when one of them was to stop.
    fn serve(&mut self, commands: Vec<Command>) -> bool {
        let mut stop = false;
        for command in commands {
            match command {
                // Whoever asked may have given up meanwhile.
                Command::Collect { reply, .. } if reply.is_closed() => {}
                Command::Collect { want, reply } => {
                    let _ = reply.send(Arc::new(self.snapshot(&want)));
                }
                Command::Save { reply } => {
                    let _ = reply.send(self.detector.save());
                }
                Command::Stop => stop = true,
            }
        }
        stop
    }

    /// The sections of `want` and what became of reading them.
    fn snapshot(&mut self, want: &[&'static str]) -> Snapshot {
        let mut sections = Vec::with_capacity(want.len() + 1);
        for source in self.feeds.iter_mut().filter(|s| want.contains(&s.id)) {
            sections.push(source.section(REUSE, &self.shared));
        }
        if want.contains(&DETECTOR) {
            let section = Arc::new(read(DETECTOR, |out| {
                self.detector.publish(out);
                Ok(())
            }));
            note(&self.shared, &section);
            sections.push(section);
        }
        let outcomes = Arc::new(read("scrape", |out| {
            sections.iter().for_each(|section| outcome(section, out));
            Ok(())
        }));
        sections.push(outcomes);
        Snapshot { at: Stamp::now(), sections }
    }

    /// Shows the detector the sources that are due. Returns when the next tick is due.
    fn tick_if_due(&mut self, next: Instant) -> Instant {
        let now = Instant::now();
        if now < next {
            return next;
        }
        let late = now.duration_since(next).as_nanos() / self.tick.as_nanos();
        lost(Loss::TickSkipped, late as u64);
        self.tick(now);
        next + self.tick * (late as u32 + 1)
    }

    fn tick(&mut self, now: Instant) {
        let sections = self.feeds.iter_mut().filter_map(|f| f.due(now, &self.shared)).collect();
        let snapshot = Snapshot { at: Stamp::now(), sections };
        let begin = Instant::now();
        if let Err(panic) = guard(|| self.detector.tick(&snapshot)) {
            supervise::restarted("detector", panic);
            self.detector = (self.fresh_detector)();
        }
        self.detector.note_cost(begin.elapsed());
        *self.shared.report.lock().unwrap_or_else(PoisonError::into_inner) = self.detector.report();
        self.shared.ticked.store(true, Relaxed);
    }
}

/// node_exporter's two families about a collector, or kanary's for one of its own.
fn outcome(section: &Section, out: &mut Sink) {
    let (seconds, success) = if own::COLLECTORS.contains(&section.collector) {
        (&own::COLLECTOR_DURATION, &own::COLLECTOR_SUCCESS)
    } else {
        (&own::SCRAPE_COLLECTOR_DURATION, &own::SCRAPE_COLLECTOR_SUCCESS)
    };
    out.number(seconds, &[section.collector], section.took.as_secs_f64());
    out.number(success, &[section.collector], f64::from(u8::from(section.outcome == Outcome::Ok)));
}
