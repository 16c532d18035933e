//! What is tried.

/// One thing to try.
pub struct Check {
    /// What it is called.
    pub name: &'static str,
    /// The chain, as it would be typed: words with blanks, stages with a bar between them.
    pub chain: &'static str,
}

/// The check that decides: processes, network, host name, mounts, privileges of one's own.
pub const MAIN_JOB: &str = "container";

const fn check(name: &'static str, chain: &'static str) -> Check {
    Check { name, chain }
}

/// All of them; each line needs no more of the host than those above it, or something else.
pub const CHECKS: &[Check] = &[
    check("user-namespace", "ns-unshare --user --map-root --keep-groups -- true"),
    check("id-ranges", "ns-unshare --map-auto --keep-groups -- true"),
    check("mount-namespace", "ns-unshare --user --mount --keep-groups -- true"),
    check("pid-namespace", "ns-unshare --user --pid --keep-groups -- true"),
    check("net-namespace", "ns-unshare --user --net --keep-groups -- true"),
    check("uts-namespace", "ns-unshare --user --uts --keep-groups -- true"),
    check("ipc-namespace", "ns-unshare --user --ipc --keep-groups -- true"),
    check("cgroup-namespace", "ns-unshare --user --cgroup --keep-groups -- true"),
    check("time-namespace", "ns-unshare --user --time --keep-groups -- true"),
    check("procfs", "ns-unshare --user --pid --mount --keep-groups -- true"),
    check("mount-tree", "ns-unshare --keep-groups -- fs-pivot / -- true"),
    check(
        "mount-api",
        "ns-unshare --user --mount --keep-groups -- fs-pivot --no-defaults / -- true",
    ),
    check("overlay", "ns-unshare --keep-groups -- fs-pivot --ephemeral / -- true"),
    check("seccomp", "ns-unshare --user --keep-groups -- priv-drop --keep-groups -- true"),
    check(
        "landlock",
        "ns-unshare --user --keep-groups -- priv-drop --keep-groups --landlock rw:/ -- true",
    ),
    check("pipeline", "ns-unshare --keep-groups | mini-init true"),
    check(
        MAIN_JOB,
        "ns-unshare --keep-groups -- fs-pivot --ephemeral / -- priv-drop --keep-groups -- mini-init -- true",
    ),
    check("cgroup", "cg-enter -- true"),
    check("memory-limit", "cg-enter --memory-max 256M -- true"),
    check("process-limit", "cg-enter --pids-max 64 -- true"),
    check("cpu-limit", "cg-enter --cpu-max 1 -- true"),
    check("cpu-set", "cg-enter --cpuset-cpus 0 -- true"),
    check("io-weight", "cg-enter --io-weight 50 -- true"),
];
