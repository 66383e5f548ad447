//! Scores, episodes and trends: what the detector makes of everything else.

use super::{Family, LabelMap, OtelKind, OtelMetric, Per, Term, families};

const DETECTOR: &str = "detector";

/// The kind of feature, and the one of the other labels that tells features of a kind apart; the rest is empty.
pub const FEATURE: &[&str] = &["feature", "device", "mountpoint", "syscall"];
const ATTRIBUTES: &[LabelMap] = &[
    LabelMap::to("feature", "kanary.feature"),
    LabelMap::to("device", "system.device"),
    LabelMap::to("mountpoint", "system.filesystem.mountpoint"),
    LabelMap::to("syscall", "kanary.syscall"),
];

/// Most features: 32 of the host, 7 of each of 8 disks, 2 of 8 mounts, 6 of 4 interfaces, 2 of 12 syscalls.
const FEATURES: u32 = 152;

static SCORE_METRIC: OtelMetric =
    OtelMetric::new("kanary.anomaly.score", "1", OtelKind::Gauge, "How unusual a feature is.");
static ONSET_METRIC: OtelMetric =
    OtelMetric::new("kanary.anomaly.host.onset", "1", OtelKind::Gauge, "Whether something unusual begins on the host.");
static STATE_METRIC: OtelMetric =
    OtelMetric::new("kanary.anomaly.host.state", "1", OtelKind::Gauge, "How unusual the host is.");
static CONTRIBUTION_METRIC: OtelMetric =
    OtelMetric::new("kanary.anomaly.contribution", "1", OtelKind::Gauge, "Share of a feature in the host's state.");
static ANOMALIES_METRIC: OtelMetric =
    OtelMetric::new("kanary.anomaly.count", "{episode}", OtelKind::Counter, "Episodes in which a feature was unusual.");
static HOST_ANOMALIES_METRIC: OtelMetric = OtelMetric::new(
    "kanary.anomaly.host.count",
    "{episode}",
    OtelKind::Counter,
    "Episodes in which the host was unusual.",
);
static TIME_TO_LIMIT_METRIC: OtelMetric =
    OtelMetric::new("kanary.trend.time_to_limit", "s", OtelKind::Gauge, "Time until a feature meets its limit.");
static READY_METRIC: OtelMetric =
    OtelMetric::new("kanary.detector.ready", "1", OtelKind::Gauge, "Whether the detector's warm-up is over.");

const fn feature(family: Family) -> Family {
    family.labels(FEATURE).sparse().budget(FEATURES, Per::Host)
}

families! {
    SCORE = feature(Family::gauge(DETECTOR, "kanary_anomaly_score",
        "How unusual a feature is, 0 to 1: 1/2 is what one normal minute in a thousand shows, 2/3 one in ten thousand, 1 one \
         in a million. Held, halving every hour, while the feature stays away from normal. In steps of 1/64, 0 below 1/3."))
        .otel(&[Term::of(&SCORE_METRIC).map(ATTRIBUTES)]);
    ONSET = Family::gauge(DETECTOR, "kanary_anomaly_host_onset_score",
        "Whether something unusual begins on the host, on the scale of kanary_anomaly_score; fast and forgetting, a peak \
         is held for 60 s.").otel(&[Term::of(&ONSET_METRIC)]);
    STATE = Family::gauge(DETECTOR, "kanary_anomaly_host_state_score",
        "How unusual the host is, on the scale of kanary_anomaly_score; steady while it lasts.")
        .otel(&[Term::of(&STATE_METRIC)]);
    CONTRIBUTION = feature(Family::gauge(DETECTOR, "kanary_anomaly_contribution",
        "Share of a feature in the host's state; their sum is 1. Only while the state's score is at least 1/3."))
        .otel(&[Term::of(&CONTRIBUTION_METRIC).map(ATTRIBUTES)]);
    ONSET_TIMESTAMP = feature(Family::gauge(DETECTOR, "kanary_anomaly_onset_timestamp_seconds",
        "When a feature's episode began, in unixtime; only during the episode."));
    ANOMALIES = feature(Family::counter(DETECTOR, "kanary_anomalies_total",
        "Episodes in which a feature was unusual."))
        .otel(&[Term::of(&ANOMALIES_METRIC).map(ATTRIBUTES)]);
    SECONDS = feature(Family::counter(DETECTOR, "kanary_anomaly_seconds_total",
        "Time in such episodes."));
    HOST_ANOMALIES = Family::counter(DETECTOR, "kanary_host_anomalies_total",
        "Episodes in which the host was unusual.").otel(&[Term::of(&HOST_ANOMALIES_METRIC)]);
    HOST_SECONDS = Family::counter(DETECTOR, "kanary_host_anomaly_seconds_total", "Time in such episodes.");
    ZSCORE = feature(Family::gauge(DETECTOR, "kanary_anomaly_zscore",
        "A feature's deviation from its level and the time of day, in robust standard deviations, signed. On request: \
         KANARY_DETECTOR_ZSCORE."));
    ISOLATION = Family::gauge(DETECTOR, "kanary_anomaly_isolation",
        "Score of the isolation forest over all features, 0 to 1: 1/2 is ordinary. On request: KANARY_DETECTOR_ZSCORE.");
    TREND_SLOPE = feature(Family::gauge(DETECTOR, "kanary_trend_slope",
        "Slope of a feature over the last ten minutes, in the feature's unit per second (bytes, shares, ...). Where the \
         feature has a limit, or for all on request: KANARY_DETECTOR_TRENDS."));
    TIME_TO_LIMIT = feature(Family::gauge(DETECTOR, "kanary_trend_time_to_limit_seconds",
        "Time until a feature meets its limit if it goes on like this; absent when it does not head there significantly."))
        .otel(&[Term::of(&TIME_TO_LIMIT_METRIC).map(ATTRIBUTES)]);
    READY = Family::gauge(DETECTOR, "kanary_detector_ready", "Whether the warm-up is over and scores mean something.")
        .otel(&[Term::of(&READY_METRIC)]);
    TICKS = Family::counter(DETECTOR, "kanary_detector_ticks_total", "Snapshots the detector took in.");
    TICK_DURATION = Family::gauge(DETECTOR, "kanary_detector_tick_duration_seconds",
        "Time the detector needed for its last snapshot.");
    RETRAINS = Family::counter(DETECTOR, "kanary_detector_retrains_total",
        "Trainings of the isolation forest, by reason.").labels(&["reason"]).budget(2, Per::Host);
    MODEL_AGE = Family::gauge(DETECTOR, "kanary_detector_model_age_seconds",
        "Time since the isolation forest was trained; absent before.");
}
