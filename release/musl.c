/* What is linked in place of functions of musl's (ld's --wrap). */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* std asks where the main thread's stack ends, so that its handler of SIGSEGV can tell an overflow
 * from other faults. musl finds out by some thirty calls of mremap(2), at each start. Without an
 * answer an overflow ends the program all the same, with fewer words. */
int __wrap_pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes)
{
    (void)thread;
    (void)attributes;
    return ENOSYS;
}

/* musl's sends SIGABRT to the thread whose number it noted at the start. After a bare clone(2) that
 * is the parent's, or, in a new PID namespace, anybody's. */
_Noreturn void __wrap_abort(void)
{
    sigset_t set;
    signal(SIGABRT, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGABRT);
    sigprocmask(SIG_UNBLOCK, &set, 0);
    kill(getpid(), SIGABRT);
    /* PID 1 of a namespace is spared by signals that it sends to itself, not by this. */
    for (;;)
        __builtin_trap();
}
