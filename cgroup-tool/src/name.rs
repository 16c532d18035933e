//! Names of cgroups: one component of a path, of harmless bytes.

/// What the names that we choose begin with; nobody else may take one.
pub const OURS: &str = "catena.";
/// Where processes are moved that are in the way of enabling a controller: cgroup v2 wants
/// processes in the leaves of the tree only.
pub const REST: &str = "catena.rest";

/// What the kernel's interface files begin with: a cgroup of such a name could hide one.
const CONTROLLERS: &[&str] = &[
    "blkio",
    "cgroup",
    "cpu",
    "cpuacct",
    "cpuset",
    "debug",
    "devices",
    "dmem",
    "freezer",
    "hugetlb",
    "io",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];
const FILES: &[&str] = &["tasks", "notify_on_release", "release_agent"];

/// Checks a name that a user chose.
pub fn parse(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.@:-".contains(&byte);
    if text.is_empty() || text.len() > 200 {
        return Err("a name has 1 to 200 characters".to_owned());
    }
    if !text.bytes().all(allowed) {
        return Err("a name consists of letters, digits and _ . @ : -".to_owned());
    }
    if text.starts_with(['.', '-']) {
        return Err("a name begins with neither '.' nor '-'".to_owned());
    }
    if text.starts_with(OURS) {
        return Err(format!("names with {OURS} are given by cg-enter itself"));
    }
    let first = text.split_once('.').map(|(first, _)| first);
    if FILES.contains(&text) || first.is_some_and(|first| CONTROLLERS.contains(&first)) {
        return Err("the kernel names its interface files so".to_owned());
    }
    Ok(text.to_owned())
}

/// Checks the name of a cgroup that may be one of ours.
pub fn parse_any(text: &str) -> Result<String, String> {
    if is_unnamed(text) { Ok(text.to_owned()) } else { parse(text) }
}

/// A name that no other cgroup has: `random` makes it so.
pub fn of_unnamed(random: u64) -> String {
    format!("{OURS}{random:016x}")
}

/// Whether [`of_unnamed`] makes such names.
pub fn is_unnamed(name: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.strip_prefix(OURS).is_some_and(|digits| digits.len() == 16 && digits.bytes().all(is_hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for text in ["web", "a", "user@1000.service", "x:y_z-1.2", "memory", "cpux.y"] {
            assert_eq!(parse(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/",
            "-x",
            ".x",
            "a\nb",
            "a b",
            "é",
            "a\0b",
            "memory.max",
            "cpu.x",
            "cgroup.procs",
            "tasks",
            "catena.rest",
            "catena.0",
            &"x".repeat(201),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ours_are_told_from_others() {
        assert!(is_unnamed(&of_unnamed(0)));
        assert!(is_unnamed(&of_unnamed(u64::MAX)));
        for name in
            ["catena.rest", "catena.", "catena.00000000000000", "catena.000000000000000G", "web"]
        {
            assert!(!is_unnamed(name), "{name}");
        }
    }
}
