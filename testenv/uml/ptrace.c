/*
 * ptrace(2) for User-Mode Linux on a processor with wide registers (AMX).
 *
 * linux.uml saves and restores the registers of its processes as one XSAVE
 * area of a size that was fixed when it was built. The machine's kernel fills
 * such a buffer, and refuses to restore from it: it takes a whole area only.
 * Here the part that linux.uml knows is put into a whole area. The rest of it
 * (the AMX tiles) nothing in a lab uses: a program must ask the kernel for it.
 *
 * Loaded into linux.uml by LD_PRELOAD. It needs no header and no library.
 */

typedef unsigned long word;
struct iovec {
	void *base;
	word len;
};

enum {
	SYS_PTRACE = 101,
	PEEK_FIRST = 1, /* PTRACE_PEEKTEXT, PEEKDATA and PEEKUSER answer by value */
	PEEK_LAST = 3,
	GETREGSET = 0x4204,
	SETREGSET = 0x4205,
	X86_XSTATE = 0x202,
};

extern int *__errno_location(void);

static long call(word request, word pid, word addr, void *data)
{
	register void *r10 __asm__("r10") = data;
	long answer;

	__asm__ volatile("syscall"
			 : "=a"(answer)
			 : "a"(SYS_PTRACE), "D"(request), "S"(pid), "d"(addr), "r"(r10)
			 : "rcx", "r11", "memory");
	if (answer >= 0)
		return answer;
	*__errno_location() = -answer;
	return -1;
}

static void copy(char *to, const char *from, word n)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

long ptrace(word request, word pid, word addr, void *data)
{
	static char area[1 << 16]; /* linux.uml has a single thread that traces */
	struct iovec whole = {area, sizeof area}, *known = data;
	long answer;

	request = (unsigned int)request;
	pid = (unsigned int)pid;
	if (request >= PEEK_FIRST && request <= PEEK_LAST) {
		long value;

		if ((answer = call(request, pid, addr, &value)) < 0)
			return answer;
		*__errno_location() = 0;
		return value;
	}
	if (request != SETREGSET || addr != X86_XSTATE)
		return call(request, pid, addr, data);
	if ((answer = call(GETREGSET, pid, addr, &whole)) < 0)
		return answer;
	if (known->len >= whole.len)
		return call(request, pid, addr, data);
	copy(area, known->base, known->len);
	return call(request, pid, addr, &whole);
}
