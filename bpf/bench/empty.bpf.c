/* SPDX-License-Identifier: Apache-2.0 */
/* The floor of syscall tracing: two programs that do nothing. Only the benchmark loads it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sys_enter")
int empty_sysenter(void *ctx)
{
	return 0;
}

SEC("tp_btf/sys_exit")
int empty_sysexit(void *ctx)
{
	return 0;
}
