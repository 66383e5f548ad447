/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs know of the kernel: the members they read (relocated at load, so no vmlinux.h), the syscall
 * numbers that need care, and how to tell a call of the native table from others.
 */
#ifndef KANARY_KERNEL_H
#define KANARY_KERNEL_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define relocated __attribute__((preserve_access_index))

#if defined(__TARGET_ARCH_x86)

struct thread_info {
	__u32 status;
} relocated;

struct pt_regs {
	unsigned long orig_ax;
} relocated;

/* arch/x86/include/asm/thread_info.h: set while a call entered through the ia32 gate is under way. */
#define TS_COMPAT 0x0002
#define is_compat(task) ((task)->thread_info.status & TS_COMPAT)
#define call_number(regs) ((long)(regs)->orig_ax)

enum {
	NR_RT_SIGRETURN = 15,
	NR_CLONE = 56,
	NR_FORK = 57,
	NR_VFORK = 58,
	NR_EXECVE = 59,
	NR_EXIT = 60,
	NR_EXIT_GROUP = 231,
	NR_EXECVEAT = 322,
	NR_CLONE3 = 435,
};

#elif defined(__TARGET_ARCH_arm64)

struct thread_info {
	unsigned long flags;
} relocated;

struct pt_regs {
	__s32 syscallno;
} relocated;

/* arch/arm64/include/asm/thread_info.h: TIF_32BIT. */
#define is_compat(task) ((task)->thread_info.flags & (1ul << 22))
#define call_number(regs) ((long)(regs)->syscallno)

enum {
	NR_EXIT = 93,
	NR_EXIT_GROUP = 94,
	NR_RT_SIGRETURN = 139,
	NR_CLONE = 220,
	NR_EXECVE = 221,
	NR_EXECVEAT = 281,
	NR_CLONE3 = 435,
	NR_FORK = NR_CLONE,
	NR_VFORK = NR_CLONE,
};

#else
#error "unknown architecture"
#endif

struct task_struct {
	struct thread_info thread_info;
	int pid;
	int tgid;
	__u64 start_time; /* CLOCK_MONOTONIC, ns. */
} relocated;

/* include/linux/err.h */
#define MAX_ERRNO 4095

/*
 * include/linux/errno.h: codes that never reach user space. The call is entered again or ends with EINTR, and the
 * tracepoint comes before that is decided.
 */
static __always_inline int is_restart(long code)
{
	return code >= 512 && code <= 516 && code != 515;
}

#endif
