// SPDX-License-Identifier: Apache-2.0
// Calls for tests/kernel.rs to count: `load WHAT [N]`. Rare syscalls, so that nobody else on the host makes them.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long n;

static void *rare_calls(void *unused)
{
	struct timespec slice;

	for (long i = 0; i < n; i++)
		syscall(SYS_sched_rr_get_interval, 0, &slice);
	return unused;
}

static void *nothing(void *unused)
{
	return unused;
}

static void threads(int count, void *(*body)(void *))
{
	pthread_t id[count];

	for (int i = 0; i < count; i++)
		pthread_create(&id[i], 0, body, 0);
	for (int i = 0; i < count; i++)
		pthread_join(id[i], 0);
}

// 300 EINVAL and 700 ESRCH.
static void errors(void)
{
	struct timespec slice;

	for (int i = 0; i < 300; i++)
		syscall(SYS_sched_rr_get_interval, -1, &slice);
	for (int i = 0; i < 700; i++)
		syscall(SYS_sched_rr_get_interval, 0x3fffffff, &slice);
}

static void vfork_once(unsigned seconds)
{
	pid_t child = vfork();

	if (child == 0) {
		if (seconds)
			sleep(seconds);
		_exit(0);
	}
	waitpid(child, 0, 0);
}

static void vforks(void)
{
	for (long i = 0; i < n; i++)
		vfork_once(0);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// Waits in a call that hardly anything else makes, for no signal at all. Prints how long each call took, in ns: 0.2 to
// 20 ms, evenly on a logarithmic scale.
static void sleeps(void)
{
	uint64_t took[n], none = 0;

	for (long i = 0; i < n; i++) {
		double ns = 200000;

		for (long step = 0; step < (i * 37) % 100; step++)
			ns *= 1.047128548;
		struct timespec t = { 0, ns };
		uint64_t began = now();

		syscall(SYS_rt_sigtimedwait, &none, 0, &t, sizeof(none));
		took[i] = now() - began;
	}
	for (long i = 0; i < n; i++)
		printf("%lu\n", took[i]);
}

static void ignore(int unused)
{
	(void)unused;
}

static void handle_alarms(int flags)
{
	struct sigaction action = { .sa_handler = ignore, .sa_flags = flags };

	sigaction(SIGALRM, &action, 0);
}

static void alarm_every_2ms(void)
{
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } };

	setitimer(ITIMER_REAL, &every, 0);
}

// The handler returns by rt_sigreturn, onto a call that failed.
static void pauses(void)
{
	handle_alarms(0);
	alarm_every_2ms();
	for (long i = 0; i < n; i++)
		pause();
}

static void wait_for_alarm(void)
{
	handle_alarms(0);
	pause();
}

// A read that is entered again after each of many signals.
static void restarts(void)
{
	int ends[2];
	char byte;

	if (pipe(ends))
		exit(1);
	if (fork() == 0) {
		usleep(200000);
		if (write(ends[1], "x", 1) != 1)
			_exit(1);
		_exit(0);
	}
	handle_alarms(SA_RESTART);
	alarm_every_2ms();
	for (long left = 1; left > 0;)
		left -= syscall(SYS_readv, ends[0], &(struct { void *at; size_t len; }){ &byte, 1 }, 1);
}

// Numbers of other tables: ia32's 224 is gettid and ours timer_gettime; x32; nobody's.
static void foreign(void)
{
#ifdef __x86_64__
	for (long i = 0; i < n; i++) {
		long ret;

		__asm__ volatile("int $0x80" : "=a"(ret) : "a"(224L) : "memory");
	}
#endif
	for (long i = 0; i < n; i++)
		syscall(0x40000000 | 39);
	for (long i = 0; i < n; i++)
		syscall(100000);
}

static void *exec_true(void *unused)
{
	usleep(50000);
	syscall(SYS_execve, "/bin/true", (char *[]){ "true", 0 }, 0);
	return unused;
}

// execve by a thread that does not lead, n times; and by descriptor.
static void execs(void)
{
	for (long i = 0; i < n; i++) {
		if (fork() == 0) {
			pthread_t id;

			pthread_create(&id, 0, exec_true, 0);
			pause();
		}
		wait(0);
		if (fork() == 0) {
			int fd = open("/bin/true", O_RDONLY);

			syscall(SYS_execveat, fd, "", (char *[]){ "true", 0 }, 0, AT_EMPTY_PATH);
			_exit(1);
		}
		wait(0);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	n = argc > 2 ? atol(argv[2]) : 1;
	if (!strcmp(what, "calls"))
		threads(8, rare_calls);
	else if (!strcmp(what, "threads"))
		threads(n, nothing);
	else if (!strcmp(what, "errors"))
		errors();
	else if (!strcmp(what, "vforks"))
		vforks();
	else if (!strcmp(what, "stuck"))
		vfork_once(5);
	else if (!strcmp(what, "sleeps"))
		sleeps();
	else if (!strcmp(what, "restarts"))
		restarts();
	else if (!strcmp(what, "foreign"))
		foreign();
	else if (!strcmp(what, "execs"))
		execs();
	else if (!strcmp(what, "pauses"))
		pauses();
	else if (!strcmp(what, "wait"))
		wait_for_alarm();
	else
		return 2;
	return 0;
}
