//! Memory and paging: collectors `ksmd`, `meminfo`, `meminfo_numa`, `slabinfo` and `vmstat`.

use super::{Family, OtelKind, OtelMetric, Per, Term, families};

static USAGE: OtelMetric = bytes("system.memory.usage", "Memory in use by state.");
static LIMIT: OtelMetric = bytes("system.memory.limit", "Memory available to the system.");
static AVAILABLE: OtelMetric =
    bytes("system.memory.linux.available", "Memory available for starting new applications without swapping.");
static SHARED: OtelMetric = bytes("system.memory.linux.shared", "Memory used by tmpfs and shared mappings.");
static SLAB: OtelMetric = bytes("system.memory.linux.slab.usage", "Memory used by the kernel's slab caches.");
static DIRTY: OtelMetric = bytes("system.linux.memory.dirty", "Memory waiting to be written back to disk.");
static HUGE_LIMIT: OtelMetric = pages("system.memory.linux.hugepages.limit", "Huge pages in the pool.");
static HUGE_USAGE: OtelMetric = pages("system.memory.linux.hugepages.usage", "Huge pages in the pool by state.");
static HUGE_RESERVED: OtelMetric =
    pages("system.memory.linux.hugepages.reserved", "Huge pages promised but not yet allocated.");
static HUGE_SURPLUS: OtelMetric =
    pages("system.memory.linux.hugepages.surplus", "Huge pages above the configured pool size.");
static HUGE_SIZE: OtelMetric = bytes("system.memory.linux.hugepages.page_size", "Size of a huge page.");
static PAGING_USAGE: OtelMetric = bytes("system.paging.usage", "Swap space by state.");
static FAULTS: OtelMetric = OtelMetric::new("system.paging.faults", "{fault}", OtelKind::Counter, "Page faults.");
static PAGING: OtelMetric =
    OtelMetric::new("system.paging.operations", "{operation}", OtelKind::Counter, "Pages moved in and out of memory.");

const fn bytes(name: &'static str, description: &'static str) -> OtelMetric {
    OtelMetric::new(name, "By", OtelKind::UpDownCounter, description)
}
const fn pages(name: &'static str, description: &'static str) -> OtelMetric {
    OtelMetric::new(name, "{page}", OtelKind::UpDownCounter, description)
}
const fn state(of: &'static OtelMetric, attributes: &'static [(&'static str, &'static str)]) -> Term {
    Term::of(of).with(attributes)
}

const USED: &[(&str, &str)] = &[("system.memory.state", "used")];
const SWAP_USED: &[(&str, &str)] = &[("system.paging.state", "used")];
const SWAP_FREE: &[(&str, &str)] = &[("system.paging.state", "free")];
const HUGE_USED: &[(&str, &str)] = &[("system.memory.linux.hugepages.state", "used")];
const HUGE_FREE: &[(&str, &str)] = &[("system.memory.linux.hugepages.state", "free")];
const MAJOR: &[(&str, &str)] = &[("system.paging.fault.type", "major")];
const MINOR: &[(&str, &str)] = &[("system.paging.fault.type", "minor")];
const MAJOR_IN: &[(&str, &str)] = &[("system.paging.fault.type", "major"), ("system.paging.direction", "in")];
const MAJOR_OUT: &[(&str, &str)] = &[("system.paging.fault.type", "major"), ("system.paging.direction", "out")];
const MINOR_IN: &[(&str, &str)] = &[("system.paging.fault.type", "minor"), ("system.paging.direction", "in")];
const MINOR_OUT: &[(&str, &str)] = &[("system.paging.fault.type", "minor"), ("system.paging.direction", "out")];

const fn ksm(name: &'static str, help: &'static str) -> Family {
    Family::gauge("ksmd", name, help)
}
const fn slab(name: &'static str, help: &'static str) -> Family {
    Family::gauge("slabinfo", name, help).labels(&["slab"]).budget(512, Per::Host)
}

/// A line of `/proc/meminfo` that node_exporter knows by name.
macro_rules! meminfo {
    ($key:literal) => {
        Family::gauge("meminfo", concat!("node_memory_", $key), concat!("Memory information field ", $key, "."))
    };
}
/// A field of `/proc/vmstat` that is exposed by default.
macro_rules! vmstat {
    ($key:literal) => {
        Family::untyped("vmstat", concat!("node_vmstat_", $key), concat!("/proc/vmstat information field ", $key, "."))
    };
}

families! {
    MEM_TOTAL = meminfo!("MemTotal_bytes").otel(&[Term::of(&LIMIT), state(&USAGE, USED)]);
    MEM_FREE = meminfo!("MemFree_bytes").otel(&[state(&USAGE, &[("system.memory.state", "free")])]);
    MEM_AVAILABLE = meminfo!("MemAvailable_bytes").otel(&[Term::of(&AVAILABLE), state(&USAGE, USED).minus()]);
    BUFFERS = meminfo!("Buffers_bytes").otel(&[state(&USAGE, &[("system.memory.state", "buffers")])]);
    CACHED = meminfo!("Cached_bytes").otel(&[state(&USAGE, &[("system.memory.state", "cached")])]);
    SWAP_CACHED = meminfo!("SwapCached_bytes");
    ACTIVE = meminfo!("Active_bytes");
    INACTIVE = meminfo!("Inactive_bytes");
    ACTIVE_ANON = meminfo!("Active_anon_bytes");
    INACTIVE_ANON = meminfo!("Inactive_anon_bytes");
    ACTIVE_FILE = meminfo!("Active_file_bytes");
    INACTIVE_FILE = meminfo!("Inactive_file_bytes");
    UNEVICTABLE = meminfo!("Unevictable_bytes");
    MLOCKED = meminfo!("Mlocked_bytes");
    SWAP_TOTAL = meminfo!("SwapTotal_bytes").otel(&[state(&PAGING_USAGE, SWAP_USED)]);
    SWAP_FREE_BYTES = meminfo!("SwapFree_bytes").otel(&[state(&PAGING_USAGE, SWAP_FREE), state(&PAGING_USAGE, SWAP_USED).minus()]);
    ZSWAP = meminfo!("Zswap_bytes");
    ZSWAPPED = meminfo!("Zswapped_bytes");
    DIRTY_BYTES = meminfo!("Dirty_bytes").otel(&[Term::of(&DIRTY)]);
    WRITEBACK = meminfo!("Writeback_bytes");
    ANON_PAGES = meminfo!("AnonPages_bytes");
    MAPPED = meminfo!("Mapped_bytes");
    SHMEM = meminfo!("Shmem_bytes").otel(&[Term::of(&SHARED)]);
    KRECLAIMABLE = meminfo!("KReclaimable_bytes");
    SLAB_BYTES = meminfo!("Slab_bytes");
    SRECLAIMABLE = meminfo!("SReclaimable_bytes").otel(&[state(&SLAB, &[("system.memory.linux.slab.state", "reclaimable")])]);
    SUNRECLAIM = meminfo!("SUnreclaim_bytes").otel(&[state(&SLAB, &[("system.memory.linux.slab.state", "unreclaimable")])]);
    KERNEL_STACK = meminfo!("KernelStack_bytes");
    PAGE_TABLES = meminfo!("PageTables_bytes");
    SEC_PAGE_TABLES = meminfo!("SecPageTables_bytes");
    NFS_UNSTABLE = meminfo!("NFS_Unstable_bytes");
    BOUNCE = meminfo!("Bounce_bytes");
    WRITEBACK_TMP = meminfo!("WritebackTmp_bytes");
    COMMIT_LIMIT = meminfo!("CommitLimit_bytes");
    COMMITTED_AS = meminfo!("Committed_AS_bytes");
    VMALLOC_TOTAL = meminfo!("VmallocTotal_bytes");
    VMALLOC_USED = meminfo!("VmallocUsed_bytes");
    VMALLOC_CHUNK = meminfo!("VmallocChunk_bytes");
    PERCPU = meminfo!("Percpu_bytes");
    HARDWARE_CORRUPTED = meminfo!("HardwareCorrupted_bytes");
    ANON_HUGE_PAGES = meminfo!("AnonHugePages_bytes");
    SHMEM_HUGE_PAGES = meminfo!("ShmemHugePages_bytes");
    SHMEM_PMD_MAPPED = meminfo!("ShmemPmdMapped_bytes");
    FILE_HUGE_PAGES = meminfo!("FileHugePages_bytes");
    FILE_PMD_MAPPED = meminfo!("FilePmdMapped_bytes");
    CMA_TOTAL = meminfo!("CmaTotal_bytes");
    CMA_FREE = meminfo!("CmaFree_bytes");
    HUGE_PAGES_TOTAL = meminfo!("HugePages_Total").otel(&[Term::of(&HUGE_LIMIT), state(&HUGE_USAGE, HUGE_USED)]);
    HUGE_PAGES_FREE = meminfo!("HugePages_Free").otel(&[state(&HUGE_USAGE, HUGE_FREE), state(&HUGE_USAGE, HUGE_USED).minus()]);
    HUGE_PAGES_RSVD = meminfo!("HugePages_Rsvd").otel(&[Term::of(&HUGE_RESERVED)]);
    HUGE_PAGES_SURP = meminfo!("HugePages_Surp").otel(&[Term::of(&HUGE_SURPLUS)]);
    HUGEPAGESIZE = meminfo!("Hugepagesize_bytes").otel(&[Term::of(&HUGE_SIZE)]);
    DIRECT_MAP_4K = meminfo!("DirectMap4k_bytes");
    DIRECT_MAP_2M = meminfo!("DirectMap2M_bytes");
    DIRECT_MAP_1G = meminfo!("DirectMap1G_bytes");
    OTHER_MEMORY = meminfo!("*").budget(32, Per::Host);

    NUMA = Family::gauge("meminfo_numa", "node_memory_numa_*", "Memory information field *.")
        .labels(&["node"])
        .budget(64, Per::Device);
    NUMA_EVENTS = Family::counter("meminfo_numa", "node_memory_numa_*_total", "Memory information field *_total.")
        .labels(&["node"])
        .budget(8, Per::Device);

    KSM_FULL_SCANS = Family::counter("ksmd", "node_ksmd_full_scans_total", "How many times all mergeable areas have been scanned.");
    KSM_PROFIT = ksm("node_ksmd_general_profit_bytes", "How effective is KSM. ksm_saved_pages * sizeof(page) - (all_rmap_items) * sizeof(rmap_item)");
    KSM_ACROSS_NODES = ksm("node_ksmd_merge_across_nodes", "Specifies if pages from different NUMA nodes can be merged.");
    KSM_SHARED = ksm("node_ksmd_pages_shared", "How many shared pages are being used.");
    KSM_SHARING = ksm("node_ksmd_pages_sharing", "How many more sites are sharing them i.e. how much saved.");
    KSM_TO_SCAN = ksm("node_ksmd_pages_to_scan", "How many pages to scan before ksmd goes to sleep.");
    KSM_UNSHARED = ksm("node_ksmd_pages_unshared", "How many pages unique but repeatedly checked for merging.");
    KSM_VOLATILE = ksm("node_ksmd_pages_volatile", "How many pages changing too fast to be placed in a tree.");
    KSM_RUN = ksm("node_ksmd_run", "The status of ksmd. stopped = 0, running = 1");
    KSM_SLEEP = ksm("node_ksmd_sleep_seconds", "How many seconds ksmd should sleep before next scan.");

    SLAB_ACTIVE = slab("node_slabinfo_active_objects", "The number of objects that are currently active (i.e., in use).");
    SLAB_OBJECTS = slab("node_slabinfo_objects", "The total number of allocated objects (i.e., objects that are both in use and not in use).");
    SLAB_SIZE = slab("node_slabinfo_object_size_bytes", "The size of objects in this slab, in bytes.");
    SLAB_PER_SLAB = slab("node_slabinfo_objects_per_slab", "The number of objects stored in each slab.");
    SLAB_PAGES = slab("node_slabinfo_pages_per_slab", "The number of pages allocated for each slab.");

    OOM_KILL = vmstat!("oom_kill");
    PGPGIN = vmstat!("pgpgin").otel(&[state(&PAGING, MINOR_IN)]);
    PGPGOUT = vmstat!("pgpgout").otel(&[state(&PAGING, MINOR_OUT)]);
    PSWPIN = vmstat!("pswpin").otel(&[state(&PAGING, MAJOR_IN)]);
    PSWPOUT = vmstat!("pswpout").otel(&[state(&PAGING, MAJOR_OUT)]);
    PGFAULT = vmstat!("pgfault").otel(&[state(&FAULTS, MINOR)]);
    PGMAJFAULT = vmstat!("pgmajfault").otel(&[state(&FAULTS, MAJOR), state(&FAULTS, MINOR).minus()]);
    OTHER_VMSTAT = vmstat!("*").budget(512, Per::Host);
}
