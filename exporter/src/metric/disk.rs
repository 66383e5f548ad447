//! Block devices: collector `diskstats`.

use super::{Family, LabelMap, OtelKind, OtelMetric, Per, Term, families};

static IO: OtelMetric = counter("system.disk.io", "By", "Bytes read and written.");
static OPERATIONS: OtelMetric = counter("system.disk.operations", "{operation}", "Operations completed.");
static MERGED: OtelMetric = counter("system.disk.merged", "{operation}", "Operations merged into others.");
static OPERATION_TIME: OtelMetric =
    counter("system.disk.operation_time", "s", "Sum of the time each operation took to complete.");
static IO_TIME: OtelMetric = counter("system.disk.io_time", "s", "Time the disk was active.");
// Names of the Collector's host receiver: the conventions have none.
static WEIGHTED_IO_TIME: OtelMetric =
    counter("system.disk.weighted_io_time", "s", "Time the disk was active, multiplied by the queue length.");
static PENDING_OPERATIONS: OtelMetric = OtelMetric::new(
    "system.disk.pending_operations",
    "{operation}",
    OtelKind::UpDownCounter,
    "Operations queued and in progress.",
);

const fn counter(name: &'static str, unit: &'static str, description: &'static str) -> OtelMetric {
    OtelMetric::new(name, unit, OtelKind::Counter, description)
}

const DEVICE: &[LabelMap] = &[LabelMap::to("device", "system.device")];
const READ: &[(&str, &str)] = &[("disk.io.direction", "read")];
const WRITE: &[(&str, &str)] = &[("disk.io.direction", "write")];

const fn per_disk(name: &'static str, help: &'static str) -> Family {
    Family::counter("diskstats", name, help).labels(&["device"]).budget(1, Per::Disk)
}
const fn about_disk(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family::gauge("diskstats", name, help).labels(labels).budget(1, Per::Disk)
}

families! {
    INFO = about_disk("node_disk_info", "Info of /sys/block/<block_device>.", &["device", "major", "minor", "path", "wwn", "model", "serial", "revision", "rotational"]);
    READS_COMPLETED = per_disk("node_disk_reads_completed_total", "The total number of reads completed successfully.")
        .otel(&[Term::of(&OPERATIONS).with(READ).map(DEVICE)]);
    READS_MERGED = per_disk("node_disk_reads_merged_total", "The total number of reads merged.")
        .otel(&[Term::of(&MERGED).with(READ).map(DEVICE)]);
    READ_BYTES = per_disk("node_disk_read_bytes_total", "The total number of bytes read successfully.")
        .otel(&[Term::of(&IO).with(READ).map(DEVICE)]);
    READ_TIME = per_disk("node_disk_read_time_seconds_total", "The total number of seconds spent by all reads.")
        .otel(&[Term::of(&OPERATION_TIME).with(READ).map(DEVICE)]);
    WRITES_COMPLETED = per_disk("node_disk_writes_completed_total", "The total number of writes completed successfully.")
        .otel(&[Term::of(&OPERATIONS).with(WRITE).map(DEVICE)]);
    WRITES_MERGED = per_disk("node_disk_writes_merged_total", "The number of writes merged.")
        .otel(&[Term::of(&MERGED).with(WRITE).map(DEVICE)]);
    WRITTEN_BYTES = per_disk("node_disk_written_bytes_total", "The total number of bytes written successfully.")
        .otel(&[Term::of(&IO).with(WRITE).map(DEVICE)]);
    WRITE_TIME = per_disk("node_disk_write_time_seconds_total", "This is the total number of seconds spent by all writes.")
        .otel(&[Term::of(&OPERATION_TIME).with(WRITE).map(DEVICE)]);
    IO_NOW = Family::gauge("diskstats", "node_disk_io_now", "The number of I/Os currently in progress.")
        .labels(&["device"])
        .budget(1, Per::Disk)
        .otel(&[Term::of(&PENDING_OPERATIONS).map(DEVICE)]);
    IO_TIME_SECONDS = per_disk("node_disk_io_time_seconds_total", "Total seconds spent doing I/Os.")
        .otel(&[Term::of(&IO_TIME).map(DEVICE)]);
    IO_TIME_WEIGHTED = per_disk("node_disk_io_time_weighted_seconds_total", "The weighted # of seconds spent doing I/Os.")
        .otel(&[Term::of(&WEIGHTED_IO_TIME).map(DEVICE)]);
    DISCARDS_COMPLETED = per_disk("node_disk_discards_completed_total", "The total number of discards completed successfully.");
    DISCARDS_MERGED = per_disk("node_disk_discards_merged_total", "The total number of discards merged.");
    DISCARDED_SECTORS = per_disk("node_disk_discarded_sectors_total", "The total number of sectors discarded successfully.");
    DISCARD_TIME = per_disk("node_disk_discard_time_seconds_total", "This is the total number of seconds spent by all discards.");
    FLUSH_REQUESTS = per_disk("node_disk_flush_requests_total", "The total number of flush requests completed successfully");
    FLUSH_TIME = per_disk("node_disk_flush_requests_time_seconds_total", "This is the total number of seconds spent by all flush requests.");
    FILESYSTEM_INFO = about_disk("node_disk_filesystem_info", "Info about disk filesystem.", &["device", "type", "usage", "uuid", "version"]);
    DEVICE_MAPPER_INFO = about_disk("node_disk_device_mapper_info", "Info about disk device mapper.", &["device", "name", "uuid", "vg_name", "lv_name", "lv_layer"]);
    ATA_WRITE_CACHE = about_disk("node_disk_ata_write_cache", "ATA disk has a write cache.", &["device"]);
    ATA_WRITE_CACHE_ENABLED = about_disk("node_disk_ata_write_cache_enabled", "ATA disk has its write cache enabled.", &["device"]);
    ATA_ROTATION_RATE = about_disk("node_disk_ata_rotation_rate_rpm", "ATA disk rotation rate in RPMs (0 for SSDs).", &["device"]);
}
