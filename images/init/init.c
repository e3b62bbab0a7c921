/*
 * The first process of a container with --init: starts the command, forwards signals to it, reaps what is left to it,
 * ends as the command ends. Called as `k3c-init -- COMMAND [ARG...]`.
 * No libc: a few KB, and nothing to go wrong.
 */
typedef unsigned long word;

#if defined(__x86_64__)
enum {
	SYS_write = 1,
	SYS_rt_sigprocmask = 14,
	SYS_ioctl = 16,
	SYS_getpid = 39,
	SYS_clone = 56,
	SYS_execve = 59,
	SYS_wait4 = 61,
	SYS_kill = 62,
	SYS_setpgid = 109,
	SYS_rt_sigtimedwait = 128,
	SYS_exit_group = 231
};
static long call(long n, long a, long b, long c, long d)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = 0;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
#elif defined(__aarch64__)
enum {
	SYS_ioctl = 29,
	SYS_write = 64,
	SYS_exit_group = 94,
	SYS_kill = 129,
	SYS_rt_sigprocmask = 135,
	SYS_rt_sigtimedwait = 137,
	SYS_setpgid = 154,
	SYS_getpid = 172,
	SYS_clone = 220,
	SYS_execve = 221,
	SYS_wait4 = 260
};
static long call(long n, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = 0;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl begin\n");
#else
#error "write the system calls of this architecture"
#endif

enum {
	SIGCHLD = 17,
	SIGTTIN = 21,
	SIGTTOU = 22,
	WNOHANG = 1,
	SIG_SETMASK = 2,
	TIOCSPGRP = 0x5410,
	ENOENT = 2,
	EACCES = 13
};

static long length(const char *text)
{
	long n = 0;
	while (text[n])
		n++;
	return n;
}

static void say(const char *text)
{
	call(SYS_write, 2, (long)text, length(text), 0);
}

static const char *path_of(char **envp)
{
	for (; *envp; envp++) {
		const char *e = *envp;
		if (e[0] == 'P' && e[1] == 'A' && e[2] == 'T' && e[3] == 'H' && e[4] == '=')
			return e + 5;
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* Returns the error of the most promising try. */
static long execute(char **argv, char **envp)
{
	static char name[4096];
	const char *program = argv[0];
	for (const char *c = program; *c; c++)
		if (*c == '/')
			return -call(SYS_execve, (long)program, (long)argv, (long)envp, 0);
	long best = ENOENT;
	const char *path = path_of(envp);
	for (;;) {
		long n = 0;
		for (; *path && *path != ':'; path++)
			if (n < (long)sizeof name - 1)
				name[n++] = *path;
		if (!n)
			name[n++] = '.';
		if (n + 1 + length(program) < (long)sizeof name) {
			name[n++] = '/';
			for (const char *c = program; *c; c++)
				name[n++] = *c;
			name[n] = 0;
			long error = -call(SYS_execve, (long)name, (long)argv, (long)envp, 0);
			if (error != ENOENT && best != EACCES)
				best = error;
		}
		if (!*path)
			return best;
		path++;
	}
}

__attribute__((used, noreturn)) void begin(long *stack)
{
	long argc = stack[0];
	char **argv = (char **)(stack + 1);
	char **envp = argv + argc + 1;
	if (argc < 3) {
		say("usage: k3c-init -- COMMAND [ARG...]\n");
		call(SYS_exit_group, 125, 0, 0, 0);
	}
	word all = ~0UL, before = 0;
	call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, sizeof all);
	int child = (int)call(SYS_clone, SIGCHLD, 0, 0, 0);
	if (child < 0) {
		say("k3c-init: cannot fork\n");
		call(SYS_exit_group, 125, 0, 0, 0);
	}
	if (child == 0) {
		/* In the foreground of the terminal, if there is one. SIGTTOU is still blocked. */
		int own = (int)call(SYS_getpid, 0, 0, 0, 0);
		call(SYS_setpgid, 0, 0, 0, 0);
		call(SYS_ioctl, 0, TIOCSPGRP, (long)&own, 0);
		call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before);
		long error = execute(argv + 2, envp);
		say("k3c-init: cannot execute ");
		say(argv[2]);
		say(error == ENOENT ? ": executable file not found\n" : ": permission denied\n");
		call(SYS_exit_group, error == ENOENT ? 127 : 126, 0, 0, 0);
	}
	for (;;) {
		long signal = call(SYS_rt_sigtimedwait, (long)&all, 0, 0, sizeof all);
		if (signal != SIGCHLD) {
			if (signal > 0 && signal != SIGTTIN && signal != SIGTTOU)
				call(SYS_kill, child, signal, 0, 0);
			continue;
		}
		int status, code = -1;
		long pid;
		while ((pid = call(SYS_wait4, -1, (long)&status, WNOHANG, 0)) > 0)
			if (pid == child)
				code = status & 0x7f ? 128 + (status & 0x7f) : (status >> 8) & 0xff;
		if (code >= 0)
			call(SYS_exit_group, code, 0, 0, 0);
	}
}
