/* The app of the measurements: nothing but its first instructions. It writes the time at which
 * it began to standard output (CLOCK_MONOTONIC, a struct timespec) and ends; with an argument it
 * waits for a signal instead of ending. No C library: its start-up would be measured too. */
#include <asm/unistd.h>

static long call(long number, long a, long b, long c, long d)
{
#ifdef __x86_64__
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
#endif
}

__attribute__((used)) static void begin(long *stack)
{
    long now[2];
    call(__NR_clock_gettime, 1, (long)now, 0, 0);
    call(__NR_write, 1, (long)now, sizeof now, 0);
    if (stack[0] > 1)
        for (;;)
            call(__NR_ppoll, 0, 0, 0, 0);
    call(__NR_exit_group, 0, 0, 0, 0);
}

#ifdef __x86_64__
__asm__(".globl _start\n_start: mov %rsp, %rdi\nand $-16, %rsp\ncall begin\n");
#else
__asm__(".globl _start\n_start: mov x0, sp\nbl begin\n");
#endif
