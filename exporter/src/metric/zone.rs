//! Memory as the page allocator sees it: collectors `buddyinfo` and `zoneinfo`.

use super::{Family, Per, families};

const ZONE: &[&str] = &["node", "zone"];
/// Zones of a usual host: DMA, DMA32, Normal, Movable, Device.
const ZONES: u32 = 5;

const fn pages(name: &'static str, help: &'static str) -> Family {
    Family::gauge("zoneinfo", name, help).labels(ZONE).budget(ZONES, Per::Host)
}
const fn events(name: &'static str, help: &'static str) -> Family {
    Family::counter("zoneinfo", name, help).labels(ZONE).budget(ZONES, Per::Host)
}

families! {
    BUDDYINFO_BLOCKS = Family::gauge("buddyinfo", "node_buddyinfo_blocks", "Count of free blocks according to size.")
        .labels(&["node", "zone", "size"])
        .budget(11 * ZONES, Per::Host);

    FREE = pages("node_zoneinfo_nr_free_pages", "Total number of free pages in the zone");
    MIN = pages("node_zoneinfo_min_pages", "Zone watermark pages_min");
    LOW = pages("node_zoneinfo_low_pages", "Zone watermark pages_low");
    HIGH = pages("node_zoneinfo_high_pages", "Zone watermark pages_high");
    SCANNED = pages("node_zoneinfo_scanned_pages", "Pages scanned since last reclaim");
    SPANNED = pages("node_zoneinfo_spanned_pages", "Total pages spanned by the zone, including holes");
    PRESENT = pages("node_zoneinfo_present_pages", "Physical pages existing within the zone");
    MANAGED = pages("node_zoneinfo_managed_pages", "Present pages managed by the buddy system");
    ACTIVE_ANON = pages("node_zoneinfo_nr_active_anon_pages", "Number of anonymous pages recently more used");
    INACTIVE_ANON = pages("node_zoneinfo_nr_inactive_anon_pages", "Number of anonymous pages recently less used");
    ISOLATED_ANON = pages("node_zoneinfo_nr_isolated_anon_pages", "Temporary isolated pages from anon lru");
    ANON = pages("node_zoneinfo_nr_anon_pages", "Number of anonymous pages currently used by the system");
    ANON_HUGE = pages("node_zoneinfo_nr_anon_transparent_hugepages", "Number of anonymous transparent huge pages currently used by the system");
    ACTIVE_FILE = pages("node_zoneinfo_nr_active_file_pages", "Number of active pages with file-backing");
    INACTIVE_FILE = pages("node_zoneinfo_nr_inactive_file_pages", "Number of inactive pages with file-backing");
    ISOLATED_FILE = pages("node_zoneinfo_nr_isolated_file_pages", "Temporary isolated pages from file lru");
    FILE = pages("node_zoneinfo_nr_file_pages", "Number of file pages");
    SLAB_RECLAIMABLE = pages("node_zoneinfo_nr_slab_reclaimable_pages", "Number of reclaimable slab pages");
    SLAB_UNRECLAIMABLE = pages("node_zoneinfo_nr_slab_unreclaimable_pages", "Number of unreclaimable slab pages");
    MLOCK_STACK = pages("node_zoneinfo_nr_mlock_stack_pages", "mlock()ed pages found and moved off LRU");
    KERNEL_STACKS = pages("node_zoneinfo_nr_kernel_stacks", "Number of kernel stacks");
    MAPPED = pages("node_zoneinfo_nr_mapped_pages", "Number of mapped pages");
    DIRTY = pages("node_zoneinfo_nr_dirty_pages", "Number of dirty pages");
    WRITEBACK = pages("node_zoneinfo_nr_writeback_pages", "Number of writeback pages");
    UNEVICTABLE = pages("node_zoneinfo_nr_unevictable_pages", "Number of unevictable pages");
    SHMEM = pages("node_zoneinfo_nr_shmem_pages", "Number of shmem pages (included tmpfs/GEM pages)");
    DIRTIED = events("node_zoneinfo_nr_dirtied_total", "Page dirtyings since bootup");
    WRITTEN = events("node_zoneinfo_nr_written_total", "Page writings since bootup");
    NUMA_HIT = events("node_zoneinfo_numa_hit_total", "Allocated in intended node");
    NUMA_MISS = events("node_zoneinfo_numa_miss_total", "Allocated in non intended node");
    NUMA_FOREIGN = events("node_zoneinfo_numa_foreign_total", "Was intended here, hit elsewhere");
    NUMA_INTERLEAVE = events("node_zoneinfo_numa_interleave_total", "Interleaver preferred this zone");
    NUMA_LOCAL = events("node_zoneinfo_numa_local_total", "Allocation from local node");
    NUMA_OTHER = events("node_zoneinfo_numa_other_total", "Allocation from other node");
    PROTECTION = pages("node_zoneinfo_protection_*", "Protection array *. field").budget(ZONES * ZONES, Per::Host);
}
