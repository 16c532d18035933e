/* Steps through a command and all that it starts, and prints the addresses below 16 MiB that they execute, each
 * once: what release/trace makes release/order of. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT = 16 << 20 };
static unsigned char seen[LIMIT];

int main(int count, char **words)
{
    if (count < 2)
        return 2;
    pid_t first = fork();
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        execv(words[1], words + 1);
        _exit(127);
    }
    int status;
    waitpid(first, &status, 0);
    ptrace(PTRACE_SETOPTIONS, first, 0,
           PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC
               | PTRACE_O_EXITKILL);
    ptrace(PTRACE_SINGLESTEP, first, 0, 0);
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0)
            return 0;
        if (!WIFSTOPPED(status))
            continue;
        int got = WSTOPSIG(status), given = 0;
        if (got == SIGTRAP) {
            struct user_regs_struct registers;
            ptrace(PTRACE_GETREGS, pid, 0, &registers);
            if (registers.rip < LIMIT && !seen[registers.rip]) {
                seen[registers.rip] = 1;
                dprintf(STDERR_FILENO, "%llx\n", registers.rip);
            }
        } else if (got != SIGSTOP) {
            given = got;
        }
        ptrace(PTRACE_SINGLESTEP, pid, 0, given);
    }
}
