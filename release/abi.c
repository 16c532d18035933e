/* Prints the layout of every C type, and the value of every constant, by which the tools (Rust's
 * std, nix, libc as compiled for the gnu target) speak to the C library. release/check-abi
 * compiles it against glibc and against musl, and compares what the two print. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SIZE(t) printf("size " #t " %zu %zu\n", sizeof(t), _Alignof(t))
#define AT(t, m) \
    printf("at " #t "." #m " %zu %zu\n", offsetof(t, m), sizeof(((t *)0)->m))
#define IS(c) printf("is " #c " %lld\n", (long long)(c))

static void files(void)
{
    SIZE(struct stat);
    AT(struct stat, st_dev); AT(struct stat, st_ino); AT(struct stat, st_mode);
    AT(struct stat, st_nlink); AT(struct stat, st_uid); AT(struct stat, st_gid);
    AT(struct stat, st_rdev); AT(struct stat, st_size); AT(struct stat, st_blksize);
    AT(struct stat, st_blocks); AT(struct stat, st_atim); AT(struct stat, st_mtim);
    AT(struct stat, st_ctim);
    SIZE(struct dirent);
    AT(struct dirent, d_ino); AT(struct dirent, d_off); AT(struct dirent, d_reclen);
    AT(struct dirent, d_type); AT(struct dirent, d_name);
    SIZE(struct statfs);
    AT(struct statfs, f_type); AT(struct statfs, f_bsize); AT(struct statfs, f_flags);
    SIZE(struct flock);
    AT(struct flock, l_type); AT(struct flock, l_start); AT(struct flock, l_pid);
    SIZE(struct iovec); AT(struct iovec, iov_base); AT(struct iovec, iov_len);
    SIZE(struct pollfd); AT(struct pollfd, fd); AT(struct pollfd, events);
    AT(struct pollfd, revents);
    SIZE(nfds_t); SIZE(off_t); SIZE(mode_t); SIZE(dev_t); SIZE(ino_t);
    IS(O_CLOEXEC); IS(O_NONBLOCK); IS(O_DIRECTORY); IS(O_NOFOLLOW); IS(O_PATH); IS(O_APPEND);
    IS(O_CREAT); IS(O_EXCL); IS(O_TRUNC); IS(O_NOCTTY); IS(O_ASYNC); IS(O_TMPFILE);
    IS(F_DUPFD_CLOEXEC); IS(F_GETFD); IS(F_SETFD); IS(F_GETFL); IS(F_SETFL); IS(F_SETLK);
    IS(F_GETLK); IS(F_SETLKW); IS(F_OFD_SETLK); IS(AT_FDCWD); IS(AT_EMPTY_PATH);
    IS(AT_SYMLINK_NOFOLLOW); IS(POLLIN); IS(POLLOUT); IS(POLLERR); IS(POLLHUP); IS(POLLNVAL);
}

static void processes(void)
{
    SIZE(struct sigaction);
    AT(struct sigaction, sa_handler); AT(struct sigaction, sa_mask);
    AT(struct sigaction, sa_flags);
    SIZE(sigset_t);
    SIZE(stack_t); AT(stack_t, ss_sp); AT(stack_t, ss_flags); AT(stack_t, ss_size);
    SIZE(siginfo_t);
    AT(siginfo_t, si_signo); AT(siginfo_t, si_errno); AT(siginfo_t, si_code);
    AT(siginfo_t, si_pid); AT(siginfo_t, si_status); AT(siginfo_t, si_addr);
    SIZE(struct rlimit); AT(struct rlimit, rlim_cur); AT(struct rlimit, rlim_max);
    SIZE(struct utsname); AT(struct utsname, nodename); AT(struct utsname, release);
    SIZE(struct sched_param); SIZE(cpu_set_t); SIZE(pid_t); SIZE(uid_t); SIZE(gid_t);
    SIZE(posix_spawnattr_t); SIZE(posix_spawn_file_actions_t);
    IS(POSIX_SPAWN_SETPGROUP); IS(POSIX_SPAWN_SETSIGDEF); IS(POSIX_SPAWN_SETSIGMASK);
    IS(SA_SIGINFO); IS(SA_ONSTACK); IS(SA_RESTART); IS(SA_NOCLDSTOP); IS(SA_NOCLDWAIT);
    IS(SIG_BLOCK); IS(SIG_UNBLOCK); IS(SIG_SETMASK); IS(SIGSTKSZ); IS(MINSIGSTKSZ);
    IS(SIGCHLD); IS(SIGPIPE); IS(SIGSEGV); IS(SIGBUS); IS(SIGSYS); IS(SIGPWR); IS(SIGSTKFLT);
    IS(SIGXCPU); IS(SIGTTOU); IS(SIGPOLL); IS(SI_QUEUE);
    IS(WNOHANG); IS(WUNTRACED); IS(WCONTINUED); IS(WEXITED); IS(WNOWAIT); IS(P_PID); IS(P_ALL);
    IS(RLIMIT_NOFILE); IS(RLIMIT_NPROC); IS(RLIMIT_CORE); IS(RLIMIT_RTTIME); IS(RLIM_INFINITY);
    IS(RLIM_NLIMITS); IS(PR_SET_PDEATHSIG); IS(PR_SET_CHILD_SUBREAPER); IS(PR_SET_NO_NEW_PRIVS);
    IS(AT_SECURE); IS(AT_PAGESZ); IS(AT_HWCAP); IS(AT_MINSIGSTKSZ);
}

static void threads_and_memory(void)
{
    /* std makes and asks for attributes only; its locks are futexes of its own. */
    SIZE(pthread_t); SIZE(pthread_attr_t); SIZE(pthread_key_t);
    SIZE(pthread_mutex_t); SIZE(pthread_cond_t);
    IS(PTHREAD_CREATE_DETACHED); IS(MAP_PRIVATE); IS(MAP_ANONYMOUS); IS(MAP_NORESERVE);
    IS(MAP_STACK); IS(MAP_FIXED); IS(PROT_NONE); IS(PROT_READ); IS(PROT_WRITE);
    IS(_SC_PAGESIZE); IS(_SC_NPROCESSORS_ONLN); IS(_SC_OPEN_MAX); IS(_SC_HOST_NAME_MAX);
    IS(_SC_GETPW_R_SIZE_MAX); IS(_SC_IOV_MAX); IS(_SC_NGROUPS_MAX); IS(_SC_CLK_TCK);
    SIZE(struct timespec); AT(struct timespec, tv_sec); AT(struct timespec, tv_nsec);
    SIZE(struct timeval); SIZE(time_t); SIZE(clockid_t);
    IS(CLOCK_MONOTONIC); IS(CLOCK_REALTIME); IS(CLOCK_BOOTTIME);
    IS(GRND_NONBLOCK);
}

static void sockets(void)
{
    SIZE(struct sockaddr_un); AT(struct sockaddr_un, sun_path);
    SIZE(struct sockaddr); SIZE(struct sockaddr_storage); SIZE(socklen_t);
    SIZE(struct msghdr);
    AT(struct msghdr, msg_name); AT(struct msghdr, msg_namelen); AT(struct msghdr, msg_iov);
    AT(struct msghdr, msg_iovlen); AT(struct msghdr, msg_control);
    AT(struct msghdr, msg_controllen); AT(struct msghdr, msg_flags);
    SIZE(struct cmsghdr); AT(struct cmsghdr, cmsg_len); AT(struct cmsghdr, cmsg_level);
    SIZE(struct ucred); SIZE(struct epoll_event); AT(struct epoll_event, data);
    IS(AF_UNIX); IS(SOCK_DGRAM); IS(SOCK_STREAM); IS(SOCK_CLOEXEC); IS(SOCK_NONBLOCK);
    IS(SOL_SOCKET); IS(SO_PASSCRED); IS(SO_PEERCRED); IS(SO_RCVBUF); IS(SCM_RIGHTS);
    IS(SCM_CREDENTIALS); IS(MSG_CMSG_CLOEXEC); IS(MSG_NOSIGNAL); IS(MSG_TRUNC);
}

static void terminals_and_names(void)
{
    SIZE(struct termios);
    AT(struct termios, c_iflag); AT(struct termios, c_oflag); AT(struct termios, c_cflag);
    AT(struct termios, c_lflag); AT(struct termios, c_line); AT(struct termios, c_cc);
    SIZE(struct winsize);
    IS(TCSANOW); IS(TCSADRAIN); IS(TCSAFLUSH); IS(TIOCGWINSZ); IS(TIOCSCTTY); IS(NCCS);
    SIZE(struct passwd); AT(struct passwd, pw_uid); AT(struct passwd, pw_dir);
    IS(EAGAIN); IS(ENOTSUP); IS(EOPNOTSUPP); IS(ELOOP); IS(ENAMETOOLONG); IS(EDQUOT);
    IS(ENOTRECOVERABLE); IS(EHWPOISON);
    IS(MS_PRIVATE); IS(MS_SLAVE); IS(MS_REC); IS(MS_NOSUID); IS(MNT_DETACH);
    IS(CLONE_NEWNS); IS(CLONE_NEWUSER); IS(CLONE_NEWCGROUP); IS(SYS_clone3); IS(SYS_execveat);
    IS(SFD_CLOEXEC); IS(SFD_NONBLOCK); SIZE(struct signalfd_siginfo);
}

int main(void)
{
    files();
    processes();
    threads_and_memory();
    sockets();
    terminals_and_names();
    return 0;
}
