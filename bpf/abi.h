/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory shared by the kernel programs and exporter/src/bpf: the only layout, for both sides.
 *
 * exporter/build.rs turns this file into Rust. It understands `#define NAME NUMBER` and structs whose members are
 * __u16, __u32, __u64, structs defined above, or arrays of these; a comment that ends a line becomes documentation.
 * Padding is written out: both compilers must lay a struct out alike, and the assertions below hold one of them.
 */
#ifndef KANARY_ABI_H
#define KANARY_ABI_H

#define CALLS 512             /* Rows of counts per CPU: syscall numbers below, and one more. */
#define CALL_FOREIGN 511      /* Row of calls outside the native table: ia32, x32, no such number. */
#define MASK_NEVER 0xffffffff /* Sampling mask: count calls, never time them. */
#define BUCKETS 298           /* Of a histogram, under- and overflow included. */
#define ROW_BUCKETS 16        /* Neighbouring buckets that are given out together: two octaves. */
#define GROUPS 19             /* Rows that make a whole histogram. */
#define ROWS 1024             /* Rows of buckets per CPU. */
#define ERRNOS 512            /* (syscall, errno) pairs per CPU. */
#define ERRNO_PROBES 8        /* Places looked at for one pair. */
#define ERRNO_BITS 12         /* Of a pair's key: syscall << ERRNO_BITS | errno. */

/* Settings, written by user space at any time. All zero filters nothing and times every call. */
struct control {
	__u32 own_tgid;     /* Calls of this process are left out. */
	__u32 masks[CALLS]; /* One call in mask + 1 is timed; the mask is one less than a power of two. */
};

/* What no CPU's own memory can count. */
struct losses {
	__u64 cpu_unknown; /* Calls on CPUs that came after loading. */
};

/* A call under way. */
struct start {
	__u64 ts; /* CLOCK_MONOTONIC, ns; 0 = none. */
	__u32 tid;
	__u32 nr;
};

/* Places for the tasks whose ids agree in the low bits. */
struct start_set {
	struct start ways[2];
};

/* What is counted for every call of one syscall on one CPU: one cache line. */
struct call {
	__u64 count;
	__u64 errors;
	__u64 sum;          /* ns, over the calls in `rows`. */
	__u16 rows[GROUPS]; /* Row of each group of buckets; 0 = none yet. */
	__u16 reserved;
};

/* ROW_BUCKETS buckets of one syscall. Rows 0 to GROUPS - 1 belong to CALL_FOREIGN, one for each group. */
struct row {
	__u32 key;        /* syscall * GROUPS + group. */
	__u32 generation; /* How often it was given out. */
	__u64 counts[ROW_BUCKETS];
};

struct errno_count {
	__u32 key; /* 0 = free. */
	__u32 reserved;
	__u64 count;
};

/* All that one CPU writes, and no other. */
struct per_cpu {
	__u64 random;         /* State of the sampling generator. */
	__u64 rows_given;     /* Besides the GROUPS rows of CALL_FOREIGN. */
	__u64 rows_full;      /* Durations put under CALL_FOREIGN because no row was left. */
	__u64 starts_evicted; /* Starts overwritten by a third task of the same set. */
	__u64 clock_backward; /* Durations that came out negative. */
	__u64 reserved[3];
	struct call calls[CALLS];
	struct row rows[ROWS];
	struct errno_count errnos[ERRNOS];
};

#ifdef __bpf__
_Static_assert(sizeof(struct start_set) == 32, "two sets to a cache line");
_Static_assert(sizeof(struct call) == 64, "one cache line");
_Static_assert(sizeof(struct row) == 8 + 8 * ROW_BUCKETS, "no padding");
_Static_assert(BUCKETS <= GROUPS * ROW_BUCKETS && BUCKETS > (GROUPS - 1) * ROW_BUCKETS, "groups cover the buckets");
_Static_assert(sizeof(struct per_cpu) == 64 + CALLS * 64 + ROWS * 136 + ERRNOS * 16, "no padding");
_Static_assert((ERRNOS & (ERRNOS - 1)) == 0 && CALL_FOREIGN == CALLS - 1, "used as masks and bounds");
_Static_assert(sizeof(struct control) == 4 + 4 * CALLS, "no padding: user space writes it as an array of __u32");
#endif

#endif
