//! Kernel programs, their fate and their memory.

use super::{Family, Per, families};

families! {
    PROGRAM_ATTACHED = Family::gauge("bpf", "kanary_bpf_program_attached", "Whether the kernel program runs.")
        .labels(&["program"]).budget(2, Per::Host);
    PROGRAM_INFO = Family::gauge("bpf", "kanary_bpf_program_info",
        "Kernel program, where it hooks in, and what became of it: attached, off, unsupported_kernel, no_btf, \
         no_permission, busy, failed.")
        .labels(&["program", "hook", "verdict"]).budget(2, Per::Host);
    MAP_BYTES = Family::gauge("bpf", "kanary_bpf_map_bytes", "Kernel memory of a map of the kernel programs.")
        .labels(&["map"]).budget(5, Per::Host);
}
