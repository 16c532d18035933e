/* The floor: one static C program that does what the chain
 *
 *     ns-unshare -mpniuC fs-pivot ROOT priv-drop mini-init APP
 *
 * does, with the fewest system calls that it takes: namespaces, the same mounts, the same drop of
 * privileges, an init, the app. No checks, no options, no hygiene.
 *
 *     floor [-n] [-u] [-C FOLDER | -I FOLDER] [-L FILE=VALUE] [-S FILE] ROOT APP
 *
 * -n: no network namespace. -u: a user namespace too (rootless). -C: make this v1 cgroup, join it
 * by "0" in its tasks, remove it in the end. -I: the same of a v2 cgroup, by CLONE_INTO_CGROUP.
 * -L: write VALUE to FILE of the cgroup named last. Repeatable. -S: load the seccomp filter in FILE, an
 * array of struct sock_filter. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        _exit(125);
    }
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    check(fd, path);
    check(write(fd, text, strlen(text)), path);
    close(fd);
}

static void loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    check(ioctl(fd, SIOCSIFFLAGS, &request), "lo");
    close(fd);
}

static void tmpfs(const char *place, unsigned long flags, const char *options)
{
    check(mount("tmpfs", place, "tmpfs", flags, options), place);
}

static void over(const char *source, const char *place, unsigned long flags)
{
    struct stat found;
    if (stat(place, &found) < 0)
        return;
    check(mount(source ? source : place, place, NULL, MS_BIND, NULL), place);
    check(mount(NULL, place, NULL, MS_REMOUNT | MS_BIND | flags, NULL), place);
}

#define SAFE (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static void kernel_files(int own_net)
{
    static const char *hidden[] = {"proc/interrupts", "proc/kallsyms", "proc/kcore", "proc/keys",
                                   "proc/timer_list"};
    static const char *folders[] = {"proc/acpi", "sys/firmware"};
    static const char *read_only[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys",
                                      "proc/sysrq-trigger"};
    check(mount("proc", "proc", "proc", SAFE, NULL), "proc");
    if (own_net)
        check(mount("sysfs", "sys", "sysfs", SAFE | MS_RDONLY, NULL), "sys");
    else
        check(mount("/sys", "sys", NULL, MS_BIND | MS_REC, NULL), "sys");
    mount("cgroup2", "sys/fs/cgroup", "cgroup2", SAFE | MS_RDONLY, NULL);
    for (unsigned i = 0; i < sizeof hidden / sizeof *hidden; i++)
        over("/dev/null", hidden[i], MS_RDONLY | MS_NOSUID | MS_NOEXEC);
    for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++)
        if (access(folders[i], F_OK) == 0)
            tmpfs(folders[i], SAFE | MS_RDONLY, "size=4k");
    for (unsigned i = 0; i < sizeof read_only / sizeof *read_only; i++)
        over(NULL, read_only[i], MS_RDONLY | SAFE);
}

static void devices(void)
{
    static const char *nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    tmpfs("dev", MS_NOSUID | MS_NOEXEC, "mode=0755");
    for (unsigned i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        char from[32], to[32];
        snprintf(from, sizeof from, "/dev/%s", nodes[i]);
        snprintf(to, sizeof to, "dev/%s", nodes[i]);
        close(open(to, O_CREAT | O_CLOEXEC, 0666));
        check(mount(from, to, NULL, MS_BIND, NULL), to);
    }
    symlink("pts/ptmx", "dev/ptmx");
    symlink("/proc/self/fd", "dev/fd");
    symlink("/proc/self/fd/0", "dev/stdin");
    symlink("/proc/self/fd/1", "dev/stdout");
    symlink("/proc/self/fd/2", "dev/stderr");
    mkdir("dev/pts", 0755);
    check(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                "newinstance,ptmxmode=0666,mode=0620"), "devpts");
    mkdir("dev/shm", 0755);
    tmpfs("dev/shm", SAFE, "mode=1777");
    mkdir("dev/mqueue", 0755);
    check(mount("mqueue", "dev/mqueue", "mqueue", SAFE, NULL), "mqueue");
}

static struct sock_filter instructions[4096];
static struct sock_fprog filter = {0, instructions};

static void read_filter(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    check(fd, path);
    long length = read(fd, instructions, sizeof instructions);
    check(length, path);
    close(fd);
    filter.len = length / sizeof *instructions;
}

static void drop(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        ;
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    check(syscall(SYS_capset, &header, none), "capset");
    if (filter.len)
        check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter), "seccomp");
}

static int inside(const char *root, char **app, int own_net, int go)
{
    char byte;
    if (go >= 0 && read(go, &byte, 1) != 1)
        return 125;
    if (own_net)
        loopback();
    check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
    check(mount(root, root, NULL, MS_BIND | MS_REC, NULL), root);
    check(chdir(root), root);
    kernel_files(own_net);
    devices();
    tmpfs("run", MS_NOSUID | MS_NODEV, "mode=0755");
    tmpfs("tmp", MS_NOSUID | MS_NODEV, "mode=1777");
    check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    check(umount2(".", MNT_DETACH), "umount");
    check(chdir("/"), "chdir");
    drop();
    pid_t pid = vfork();
    if (pid == 0) {
        execv(app[0], app);
        _exit(127);
    }
    check(pid, "vfork");
    int status;
    while (waitpid(-1, &status, 0) != pid)
        ;
    return WEXITSTATUS(status);
}

/* What the kernel's linux/sched.h calls struct clone_args. */
struct arguments {
    unsigned long long flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
        set_tid, set_tid_size, cgroup;
};

static char *cgroups[8];
static int cgroup_count, is_v1, cgroup_fd = -1;

static void make_cgroup(int option, char *folder)
{
    check(mkdir(folder, 0755), folder);
    cgroups[cgroup_count++] = folder;
    is_v1 = option == 'C';
    if (!is_v1)
        check(cgroup_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), folder);
}

static void limit(char *text)
{
    char path[256], *value = strchr(text, '=');
    *value++ = 0;
    snprintf(path, sizeof path, "%s/%s", cgroups[cgroup_count - 1], text);
    put(path, value);
}

int main(int argc, char **argv)
{
    unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP
                          | CLONE_NEWNET;
    int option, go[2] = {-1, -1};
    while ((option = getopt(argc, argv, "+nuC:I:L:S:")) != -1) {
        if (option == 'n')
            flags &= ~CLONE_NEWNET;
        if (option == 'u')
            flags |= CLONE_NEWUSER;
        if (option == 'C' || option == 'I')
            make_cgroup(option, optarg);
        if (option == 'L')
            limit(optarg);
        if (option == 'S')
            read_filter(optarg);
    }
    if (flags & CLONE_NEWUSER)
        check(pipe2(go, O_CLOEXEC), "pipe");
    int own_net = !!(flags & CLONE_NEWNET);
    long pid;
    if (cgroup_fd < 0) {
        pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    } else {
        struct arguments arguments = {.flags = flags | 0x200000000ULL, .exit_signal = SIGCHLD,
                                      .cgroup = cgroup_fd};
        pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    }
    check(pid, "clone");
    if (pid == 0) {
        for (int i = 0; is_v1 && i < cgroup_count; i++) {
            char path[256];
            snprintf(path, sizeof path, "%s/tasks", cgroups[i]);
            put(path, "0");
        }
        _exit(inside(argv[optind], argv + optind + 1, own_net, go[0]));
    }
    if (flags & CLONE_NEWUSER) {
        char path[64], map[64];
        snprintf(path, sizeof path, "/proc/%ld/setgroups", pid);
        put(path, "deny");
        snprintf(path, sizeof path, "/proc/%ld/uid_map", pid);
        snprintf(map, sizeof map, "0 %u 1", getuid());
        put(path, map);
        snprintf(path, sizeof path, "/proc/%ld/gid_map", pid);
        snprintf(map, sizeof map, "0 %u 1", getgid());
        put(path, map);
        check(write(go[1], "", 1), "go");
    }
    int status;
    check(waitpid(pid, &status, 0), "wait");
    for (int i = 0; i < cgroup_count; i++)
        check(rmdir(cgroups[i]), cgroups[i]);
    return WEXITSTATUS(status);
}
