//! Which options of a tool belong together, for `-h`, `--help` and the manual.

/// A heading, and the ids of the options below it.
type Group = (&'static str, &'static [&'static str]);

/// The headings below which a tool's options stand, by clap's ids; what is in no list here keeps
/// the heading that the tool gives it.
pub(crate) const GROUPS: &[(&str, &[Group])] = &[
    (
        "fs-pivot",
        &[
            (
                "The root",
                &["overlay", "image", "upper", "work", "ephemeral", "read_only", "idmap", "chdir"],
            ),
            (
                "What every program expects",
                &["no_defaults", "proc", "sys", "cgroup", "dev", "etc_hosts", "machine_id"],
            ),
            (
                "What else is mounted, in the order given",
                &[
                    "bind",
                    "ro-bind",
                    "tmpfs",
                    "mqueue",
                    "dev-node",
                    "mount-fd",
                    "copy-up",
                    "mask",
                    "read-only-path",
                ],
            ),
        ],
    ),
    (
        "priv-drop",
        &[
            ("Who", &["user", "groups", "keep_groups", "fix_stdio"]),
            (
                "What it may",
                &[
                    "caps",
                    "seccomp",
                    "seccomp_bpf",
                    "seccomp_log",
                    "no_nested_userns",
                    "landlock",
                    "landlock-tcp-bind",
                    "landlock-tcp-connect",
                    "try-landlock",
                    "apparmor",
                    "selinux",
                    "securebits",
                    "keyring",
                ],
            ),
            ("Limits and manners", &["rlimit", "nice", "oom_score_adj", "umask"]),
        ],
    ),
    (
        "ns-unshare",
        &[
            (
                "Namespaces",
                &["mount", "pid", "net", "uts", "ipc", "cgroup", "user", "time", "share"],
            ),
            (
                "Ids",
                &[
                    "map_root",
                    "map_current",
                    "map_auto",
                    "map_users",
                    "map_groups",
                    "setgroups",
                    "keep_groups",
                ],
            ),
        ],
    ),
    (
        "mini-init",
        &[
            (
                "Signals and the end",
                &[
                    "signal_to",
                    "group",
                    "single_child",
                    "map",
                    "stop_signal",
                    "grace",
                    "wait",
                    "ok_exit",
                    "subreaper",
                    "parent_death",
                ],
            ),
            ("The app", &["chdir", "env", "clear_env", "pty", "new_session", "no_new_session"]),
        ],
    ),
];
