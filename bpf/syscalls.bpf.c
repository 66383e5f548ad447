/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often is each syscall entered, how does it fail, how long does it take?
 *
 * sys_enter remembers when a call began, sys_exit counts it and puts its duration into a bucket. A program never runs
 * twice at once on a CPU and no counter is written by both, so what belongs to one CPU needs no atomics. Counts are of
 * kernel entries: a call that restarts after a signal counts again. User space reads everything through mapped memory
 * and writes `control` alone. Traps that shaped this are named where they are closed.
 */
#include "kernel.h"
#include "abi.h"
#include "buckets.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Sizes are set at load, by the number of CPUs and of possible task ids. */
#define SHARED_ARRAY(name, type_)                  \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 1);            \
		__type(key, __u32);                \
		__type(value, type_);              \
	} name SEC(".maps")

SHARED_ARRAY(starts, struct start_set);
SHARED_ARRAY(cpus, struct per_cpu);
SHARED_ARRAY(losses, struct losses);

/* A variable, not a mapped array: its address is a constant, which saves a lookup in every program. */
struct control control SEC(".bss.control");

/* Number of start sets less one, a power of two less one. */
const volatile __u32 SET_MASK = 0;

static __always_inline void count_unknown_cpu(void)
{
	__u32 zero = 0;
	struct losses *lost = bpf_map_lookup_elem(&losses, &zero);

	if (lost)
		__sync_fetch_and_add(&lost->cpu_unknown, 1);
}

/* This CPU's memory; a CPU that came after loading has none. */
static __always_inline struct per_cpu *this_cpu(void)
{
	__u32 id = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&cpus, &id);
}

/* The set of a task. An odd factor permutes the low bits: neighbours are kept apart, and nobody is put together. */
static __always_inline struct start_set *starts_of(__u32 tid)
{
	__u32 id = tid * 2654435769u & SET_MASK;

	return bpf_map_lookup_elem(&starts, &id);
}

/* Row of counts. Numbers of another table must not be taken for native ones, so they are bounded, never masked. */
static __always_inline __u32 row_of(struct task_struct *task, long nr)
{
	if ((unsigned long)nr >= CALL_FOREIGN || is_compat(task))
		return CALL_FOREIGN;
	return nr;
}

static __always_inline int chosen(__u32 mask)
{
	struct per_cpu *cpu;

	if (mask == MASK_NEVER)
		return 0;
	cpu = this_cpu();
	if (!cpu)
		return 0;
	/* Knuth's MMIX generator. A counter would keep step with programs that call in turns. */
	cpu->random = cpu->random * 6364136223846793005ull + 1442695040888963407ull;
	return !(cpu->random >> 40 & mask);
}

/* Counts of a row. The mask changes nothing; it lets the verifier see the bound, wherever the row was kept. */
static __always_inline struct call *call_of(struct per_cpu *cpu, __u32 nr)
{
	barrier_var(nr);
	return &cpu->calls[nr & (CALLS - 1)];
}

/* Own place first, then an empty one, else the older call's. */
static __always_inline struct start *place(struct start_set *set, __u32 tid)
{
	struct start *first = &set->ways[0], *second = &set->ways[1];

	if (first->tid == tid)
		return first;
	if (second->tid == tid || (first->ts && second->ts < first->ts))
		return second;
	return first;
}

static __always_inline void begin(struct task_struct *task, __u32 nr)
{
	__u32 tid = task->pid;
	struct start_set *set = starts_of(tid);
	struct start *start;

	if (!set)
		return;
	start = place(set, tid);
	if (start->ts && start->tid != tid) {
		struct per_cpu *cpu = this_cpu();

		if (cpu)
			cpu->starts_evicted++;
	}
	start->tid = tid;
	start->nr = nr;
	start->ts = bpf_ktime_get_ns();
}

SEC("tp_btf/sys_enter")
int kanary_sysenter(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 nr, mask;

	if (task->tgid == control.own_tgid)
		return 0;
	nr = row_of(task, ctx[1]);
	/* These never come back, so they are counted here and leave no start behind. */
	if (nr == NR_EXIT || nr == NR_EXIT_GROUP) {
		struct per_cpu *cpu = this_cpu();

		if (cpu)
			call_of(cpu, nr)->count++;
		else
			count_unknown_cpu();
		return 0;
	}
	mask = control.masks[nr];
	if (mask && !chosen(mask))
		return 0;
	begin(task, nr);
	return 0;
}

/* Bucket of a duration: a table by its highest byte puts it one boundary below at most, one comparison decides. */
static __always_inline __u32 bucket_of(__u64 ns)
{
	__u32 cell, bucket;

	if (ns < 1ull << 8)
		cell = ns;
	else if (ns < 1ull << 12)
		cell = 1 * 240 + (ns >> 4);
	else if (ns < 1ull << 16)
		cell = 2 * 240 + (ns >> 8);
	else if (ns < 1ull << 20)
		cell = 3 * 240 + (ns >> 12);
	else if (ns < 1ull << 24)
		cell = 4 * 240 + (ns >> 16);
	else if (ns < 1ull << 28)
		cell = 5 * 240 + (ns >> 20);
	else if (ns < 1ull << 32)
		cell = 6 * 240 + (ns >> 24);
	else if (ns < 1ull << 36)
		cell = 7 * 240 + (ns >> 28);
	else if (ns < 1ull << 40)
		cell = 8 * 240 + (ns >> 32);
	else
		return BUCKETS - 1;
	bucket = bucket_cells[cell];
	if (bucket >= BUCKETS)
		return BUCKETS - 1;
	return bucket + (ns > bucket_bounds[bucket]);
}

/* Gives a row to a group of buckets, or the shared one of CALL_FOREIGN when none is left. */
static __noinline __u32 give_row(struct per_cpu *cpu, __u32 nr, __u32 group)
{
	__u32 id;

	if (!cpu || nr >= CALL_FOREIGN || group >= GROUPS)
		return group;
	id = GROUPS + cpu->rows_given;
	if (id >= ROWS) {
		cpu->rows_full++;
		return group;
	}
	cpu->rows_given++;
	cpu->rows[id].key = nr * GROUPS + group;
	cpu->rows[id].generation++;
	cpu->calls[nr].rows[group] = id;
	return id;
}

static __always_inline void add_duration(struct per_cpu *cpu, struct call *call, __u32 nr, __u64 ns)
{
	__u32 bucket = bucket_of(ns);
	__u32 group = bucket / ROW_BUCKETS;
	__u32 id;

	if (group >= GROUPS)
		return;
	id = call->rows[group];
	if (!id)
		id = give_row(cpu, nr, group);
	if (id >= ROWS)
		return;
	/* A sum belongs to its buckets. */
	if (id < GROUPS)
		call = &cpu->calls[CALL_FOREIGN];
	cpu->rows[id].counts[bucket % ROW_BUCKETS]++;
	call->sum += ns;
}

/* What finds no place is known to user space as the rest of `errors`. */
static __noinline void count_errno(struct per_cpu *cpu, __u32 nr, __u32 code)
{
	__u32 key = nr << ERRNO_BITS | code;
	__u32 at = key * 2654435761u >> 16;

	if (!cpu)
		return;
	for (__u32 probe = 0; probe < ERRNO_PROBES; probe++) {
		struct errno_count *entry = &cpu->errnos[(at + probe) & (ERRNOS - 1)];

		if (!entry->key)
			entry->key = key;
		if (entry->key == key) {
			entry->count++;
			return;
		}
	}
}

/* The call this task began, if it was timed. */
static __always_inline struct start *find(__u32 tid)
{
	struct start_set *set = starts_of(tid);

	if (!set)
		return 0;
	if (set->ways[0].tid == tid)
		return &set->ways[0];
	if (set->ways[1].tid == tid)
		return &set->ways[1];
	return 0;
}

/* A child's way out of the call that made it: it entered nothing. */
static __always_inline int is_birth(__u32 nr, long ret)
{
	return ret == 0 && (nr == NR_CLONE || nr == NR_FORK || nr == NR_VFORK || nr == NR_CLONE3);
}

/* A new image leaves by its own table's execve, whatever brought it in. */
static __always_inline int is_exec(__u32 nr, long ret)
{
	return ret == 0 && (nr == NR_EXECVE || nr == NR_EXECVEAT);
}

SEC("tp_btf/sys_exit")
int kanary_sysexit(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	__u64 began = 0, now = 0;
	struct start *start;
	struct per_cpu *cpu;
	struct call *call;
	long number, ret;
	__u32 nr;

	if (task->tgid == control.own_tgid)
		return 0;
	number = call_number(regs);
	/* rt_sigreturn restores the registers of the interrupted code: its own number and result are gone. */
	ret = number == -1 ? 0 : ctx[1];
	nr = number == -1 ? NR_RT_SIGRETURN : row_of(task, number);
	/* The clock waits for all that is under way, so it is read before the lookups when it will be needed. */
	if (!control.masks[nr & (CALLS - 1)])
		now = bpf_ktime_get_ns();

	start = find(task->pid);
	if (start && start->ts) {
		__u32 entered = start->nr;
		/*
		 * A start may be left behind by an earlier task of this id (an exec from a thread that does not lead
		 * its group takes the leader's id) or by this task's own call that never came back.
		 */
		int own = start->ts >= task->start_time;

		if (own && (number == -1 || is_exec(entered, ret)))
			nr = entered;
		if (own && entered == nr)
			began = start->ts;
		if (began && !now)
			now = bpf_ktime_get_ns();
		start->ts = 0;
	}
	if (is_birth(nr, ret))
		return 0;
	cpu = this_cpu();
	if (!cpu) {
		count_unknown_cpu();
		return 0;
	}
	call = call_of(cpu, nr);
	call->count++;
	if ((unsigned long)ret >= (unsigned long)-MAX_ERRNO && !is_restart(-ret)) {
		call->errors++;
		count_errno(cpu, nr, -ret);
	}
	if (!began)
		return 0;
	if (now < began)
		cpu->clock_backward++;
	else
		add_duration(cpu, call, nr, now - began);
	return 0;
}
