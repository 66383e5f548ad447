//! The machine: collectors `dmi`, `edac`, `mdadm`, `nvme`, `powersupplyclass`, `rapl`, `tapestats` and `watchdog`.

use super::{Family, Per, families};

/// Labels of [`DMI`].
pub const DMI_LABELS: [&str; 20] = [
    "bios_date",
    "bios_release",
    "bios_vendor",
    "bios_version",
    "board_asset_tag",
    "board_name",
    "board_serial",
    "board_vendor",
    "board_version",
    "chassis_asset_tag",
    "chassis_serial",
    "chassis_vendor",
    "chassis_version",
    "product_family",
    "product_name",
    "product_serial",
    "product_sku",
    "product_uuid",
    "product_version",
    "system_vendor",
];
/// Labels of [`SUPPLY_INFO`].
pub const SUPPLY_LABELS: [&str; 12] = [
    "power_supply",
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
    "scope",
];
const CHANNEL: &[&str] = &["controller", "csrow", "channel", "dimm_label"];
const NAMESPACE: &[&str] = &["device", "nsid"];

const fn edac(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family::counter("edac", name, help).labels(labels).budget(24, Per::Device)
}
const fn array(name: &'static str, help: &'static str) -> Family {
    Family::gauge("mdadm", name, help).labels(&["device"]).budget(1, Per::Device)
}
const fn nvme(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Family {
    Family::gauge("nvme", name, help).labels(labels).budget(1, Per::Disk)
}
const fn tape(name: &'static str, help: &'static str) -> Family {
    Family::counter("tapestats", name, help).labels(&["device"]).budget(1, Per::Device)
}
const fn watchdog(name: &'static str, help: &'static str) -> Family {
    Family::gauge("watchdog", name, help).labels(&["name"]).budget(1, Per::Device)
}

families! {
    DMI = Family::gauge("dmi", "node_dmi_info", "A metric with a constant '1' value labeled by bios_date, bios_release, bios_vendor, bios_version, board_asset_tag, board_name, board_serial, board_vendor, board_version, chassis_asset_tag, chassis_serial, chassis_vendor, chassis_version, product_family, product_name, product_serial, product_sku, product_uuid, product_version, system_vendor if provided by DMI.")
        .labels(&DMI_LABELS);

    CORRECTABLE = edac("node_edac_correctable_errors_total", "Total correctable memory errors.", &["controller"]).budget(1, Per::Device);
    UNCORRECTABLE = edac("node_edac_uncorrectable_errors_total", "Total uncorrectable memory errors.", &["controller"]).budget(1, Per::Device);
    CSROW_CORRECTABLE = edac("node_edac_csrow_correctable_errors_total", "Total correctable memory errors for this csrow.", &["controller", "csrow"]);
    CSROW_UNCORRECTABLE = edac("node_edac_csrow_uncorrectable_errors_total", "Total uncorrectable memory errors for this csrow.", &["controller", "csrow"]);
    CHANNEL_CORRECTABLE = edac("node_edac_channel_correctable_errors_total", "Total correctable memory errors for this channel.", CHANNEL);
    CHANNEL_UNCORRECTABLE = edac("node_edac_channel_uncorrectable_errors_total", "Total uncorrectable memory errors for this channel.", CHANNEL);

    MD_STATE = array("node_md_state", "Indicates the state of md-device.").labels(&["device", "state"]).budget(5, Per::Device);
    MD_DISKS = array("node_md_disks", "Number of active/failed/spare disks of device.").labels(&["device", "state"]).budget(3, Per::Device);
    MD_DISKS_REQUIRED = array("node_md_disks_required", "Total number of disks of device.");
    MD_BLOCKS = array("node_md_blocks", "Total number of blocks on device.");
    MD_BLOCKS_SYNCED = array("node_md_blocks_synced", "Number of blocks synced on device.");
    MD_RAID_DISKS = array("node_md_raid_disks", "Number of raid disks on device.");
    MD_DEGRADED = array("node_md_degraded", "Number of degraded disks on device.");

    NVME = nvme("node_nvme_info", "Non-numeric data from /sys/class/nvme/<device>, value is always 1.", &["device", "firmware_revision", "model", "serial", "state", "cntlid"]);
    NVME_NAMESPACE = nvme("node_nvme_namespace_info", "Information about NVMe namespaces. Value is always 1", &["device", "nsid", "ana_state"]);
    NVME_CAPACITY = nvme("node_nvme_namespace_capacity_bytes", "Capacity of the NVMe namespace in bytes. Computed as namespace_size * namespace_logical_block_size", NAMESPACE);
    NVME_SIZE = nvme("node_nvme_namespace_size_bytes", "Size of the NVMe namespace in bytes. Available in /sys/class/nvme/<device>/<namespace>/size", NAMESPACE);
    NVME_USED = nvme("node_nvme_namespace_used_bytes", "Used space of the NVMe namespace in bytes. Available in /sys/class/nvme/<device>/<namespace>/nuse", NAMESPACE);
    NVME_BLOCK_SIZE = nvme("node_nvme_namespace_logical_block_size_bytes", "Logical block size of the NVMe namespace in bytes. Usually 4Kb. Available in /sys/class/nvme/<device>/<namespace>/queue/logical_block_size", NAMESPACE);

    SUPPLY_INFO = Family::gauge("powersupplyclass", "node_power_supply_info", "info of /sys/class/power_supply/<power_supply>.")
        .labels(&SUPPLY_LABELS)
        .sparse()
        .budget(1, Per::Device);
    SUPPLY = Family::gauge("powersupplyclass", "node_power_supply_*", "* value of /sys/class/power_supply/<power_supply>.")
        .labels(&["power_supply"])
        .budget(49, Per::Device);

    RAPL_JOULES = Family::counter("rapl", "node_rapl_joules_total", "Current RAPL value in joules")
        .labels(&["index", "path", "rapl_zone"])
        .budget(1, Per::Device);
    RAPL_ZONE_JOULES = Family::counter("rapl", "node_rapl_*_joules_total", "Current RAPL * value in joules")
        .labels(&["index", "path"])
        .budget(1, Per::Device);

    TAPE_IO_NOW = Family::gauge("tapestats", "node_tape_io_now", "The number of I/Os currently outstanding to this device.")
        .labels(&["device"])
        .budget(1, Per::Device);
    TAPE_IO_TIME = tape("node_tape_io_time_seconds_total", "The amount of time spent waiting for all I/O to complete (including read and write). This includes tape movement commands such as seeking between file or set marks and implicit tape movement such as when rewind on close tape devices are used.");
    TAPE_OTHERS = tape("node_tape_io_others_total", "The number of I/Os issued to the tape drive other than read or write commands. The time taken to complete these commands uses the following calculation io_time_seconds_total-read_time_seconds_total-write_time_seconds_total");
    TAPE_READ_BYTES = tape("node_tape_read_bytes_total", "The number of bytes read from the tape drive.");
    TAPE_READS = tape("node_tape_reads_completed_total", "The number of read requests issued to the tape drive.");
    TAPE_READ_TIME = tape("node_tape_read_time_seconds_total", "The amount of time spent waiting for read requests to complete.");
    TAPE_WRITTEN_BYTES = tape("node_tape_written_bytes_total", "The number of bytes written to the tape drive.");
    TAPE_WRITES = tape("node_tape_writes_completed_total", "The number of write requests issued to the tape drive.");
    TAPE_WRITE_TIME = tape("node_tape_write_time_seconds_total", "The amount of time spent waiting for write requests to complete.");
    TAPE_RESIDUAL = tape("node_tape_residual_total", "The number of times during a read or write we found the residual amount to be non-zero. This should mean that a program is issuing a read larger thean the block size on tape. For write not all data made it to tape.");

    WATCHDOG = watchdog("node_watchdog_info", "Info of /sys/class/watchdog/<watchdog>")
        .labels(&["name", "options", "identity", "state", "status", "pretimeout_governor"]);
    WATCHDOG_BOOTSTATUS = watchdog("node_watchdog_bootstatus", "Value of /sys/class/watchdog/<watchdog>/bootstatus");
    WATCHDOG_FW_VERSION = watchdog("node_watchdog_fw_version", "Value of /sys/class/watchdog/<watchdog>/fw_version");
    WATCHDOG_NOWAYOUT = watchdog("node_watchdog_nowayout", "Value of /sys/class/watchdog/<watchdog>/nowayout");
    WATCHDOG_TIMELEFT = watchdog("node_watchdog_timeleft_seconds", "Value of /sys/class/watchdog/<watchdog>/timeleft");
    WATCHDOG_TIMEOUT = watchdog("node_watchdog_timeout_seconds", "Value of /sys/class/watchdog/<watchdog>/timeout");
    WATCHDOG_PRETIMEOUT = watchdog("node_watchdog_pretimeout_seconds", "Value of /sys/class/watchdog/<watchdog>/pretimeout");
    WATCHDOG_ACCESS_CS0 = watchdog("node_watchdog_access_cs0", "Value of /sys/class/watchdog/<watchdog>/access_cs0");
}
