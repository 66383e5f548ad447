//! Mounted file systems: collector `filesystem`.

use super::{Family, LabelMap, OtelKind, OtelMetric, Per, Term, families};

static USAGE: OtelMetric =
    OtelMetric::new("system.filesystem.usage", "By", OtelKind::UpDownCounter, "Space of the file system by state.");
static LIMIT: OtelMetric =
    OtelMetric::new("system.filesystem.limit", "By", OtelKind::UpDownCounter, "Size of the file system.");
// Name of the Collector's host receiver: the conventions have none.
static INODES: OtelMetric = OtelMetric::new(
    "system.filesystem.inodes.usage",
    "{inodes}",
    OtelKind::UpDownCounter,
    "Inodes of the file system by state.",
);

const MOUNT: &[LabelMap] = &[
    LabelMap::to("device", "system.device"),
    LabelMap::to("fstype", "system.filesystem.type"),
    LabelMap::to("mountpoint", "system.filesystem.mountpoint"),
];
const USED: &[(&str, &str)] = &[("system.filesystem.state", "used")];
const FREE: &[(&str, &str)] = &[("system.filesystem.state", "free")];
const RESERVED: &[(&str, &str)] = &[("system.filesystem.state", "reserved")];

const fn per_mount(name: &'static str, help: &'static str) -> Family {
    Family::gauge("filesystem", name, help)
        .labels(&["device", "mountpoint", "fstype", "device_error"])
        .budget(1, Per::Mount)
}

// used = size - free, free = what an ordinary user may still take, reserved = the rest.
families! {
    DEVICE_ERROR = per_mount("node_filesystem_device_error", "Whether an error occurred while getting statistics for the given device.");
    READONLY = per_mount("node_filesystem_readonly", "Filesystem read-only status.");
    SIZE = per_mount("node_filesystem_size_bytes", "Filesystem size in bytes.")
        .otel(&[Term::of(&LIMIT).map(MOUNT), Term::of(&USAGE).with(USED).map(MOUNT)]);
    FREE_BYTES = per_mount("node_filesystem_free_bytes", "Filesystem free space in bytes.")
        .otel(&[Term::of(&USAGE).with(USED).minus().map(MOUNT), Term::of(&USAGE).with(RESERVED).map(MOUNT)]);
    AVAILABLE = per_mount("node_filesystem_avail_bytes", "Filesystem space available to non-root users in bytes.")
        .otel(&[Term::of(&USAGE).with(FREE).map(MOUNT), Term::of(&USAGE).with(RESERVED).minus().map(MOUNT)]);
    FILES = per_mount("node_filesystem_files", "Filesystem total file nodes.")
        .otel(&[Term::of(&INODES).with(&[("state", "used")]).map(MOUNT)]);
    FILES_FREE = per_mount("node_filesystem_files_free", "Filesystem total free file nodes.")
        .otel(&[Term::of(&INODES).with(&[("state", "used")]).minus().map(MOUNT), Term::of(&INODES).with(&[("state", "free")]).map(MOUNT)]);
    MOUNT_INFO = Family::gauge("filesystem", "node_filesystem_mount_info", "Filesystem mount information.")
        .labels(&["device", "major", "minor", "mountpoint"])
        .budget(1, Per::Mount);
}
