//! Who competes with whom: each suite is one job, done by several.

use std::fs;
use std::io::Result;
use std::time::Duration;

use serde_json::json;

use crate::measure::Contender;
use crate::place::Place;

/// One job.
#[derive(Debug)]
pub struct Suite {
    /// What it is.
    pub title: &'static str,
    /// Who does it; the first is what the others are compared with.
    pub contenders: Vec<Contender>,
    /// The pause before each run.
    pub pause: Duration,
}

/// The names of all, in order.
pub const NAMES: [&str; 9] =
    ["net", "nonet", "rootless", "cgroup", "links", "pipeline", "term", "orphans", "relay"];

/// The suite called `name`.
pub fn suite(name: &str, place: &Place) -> Result<Suite> {
    let chain = |kinds: &str| {
        format!(
            "ns-unshare {kinds} -- fs-pivot {} -- priv-drop -- mini-init -- /app",
            place.root().display()
        )
    };
    let floor = place.floor().display().to_string();
    let root = place.root().display().to_string();
    let filter = format!("-S {}", place.filter().display());
    // What cg-enter and priv-drop do by default, and the first of the floors does not.
    let same = format!("{} {filter}", floor_cgroup());
    let tool = |name: &str| place.tool(name).display().to_string();
    let direct =
        |kinds: &str| format!("{}/{}", place.folder().join("tools").display(), chain(kinds));
    let millisecond = Duration::from_millis(1);
    let made = |title, contenders, pause| Suite { title, contenders: present(contenders), pause };
    Ok(match name {
        "net" => made(
            "root, six new namespaces: mount, PID, network, UTS, IPC and cgroup",
            vec![
                Contender::new("floor", &format!("{floor} {root} /app")),
                Contender::new(
                    "floor with a cgroup and the filter",
                    &format!("{floor} {same} {root} /app"),
                ),
                Contender::new("catena", &format!("{} -- {}", tool("cg-enter"), chain("-mpniuC"))),
                Contender::new("catena without cg-enter", &direct("-mpniuC")),
                Contender::new("the same without seccomp", &without_seccomp(&direct("-mpniuC"))),
                Contender::new(
                    "unshare (no root)",
                    &format!("unshare -mpniuC --fork -- {root}/app"),
                ),
                Contender::new("bwrap", &bwrap("--unshare-net --unshare-cgroup", &root)),
                oci("crun", place, true, false)?,
                oci("runc", place, true, false)?,
                Contender::new(
                    "systemd-nspawn",
                    &format!(
                        "systemd-nspawn -q --register=no --keep-unit --private-network -D {root} /app"
                    ),
                ),
                Contender::new("podman", &podman("", &root)),
            ],
            millisecond,
        ),
        "nonet" => made(
            "root, five of them: no network namespace",
            vec![
                Contender::new("floor", &format!("{floor} -n {root} /app")),
                Contender::new(
                    "floor with a cgroup and the filter",
                    &format!("{floor} -n {same} {root} /app"),
                ),
                Contender::new("catena", &format!("{} -- {}", tool("cg-enter"), chain("-mpiuC"))),
                Contender::new("catena without cg-enter", &direct("-mpiuC")),
                Contender::new("the same without seccomp", &without_seccomp(&direct("-mpiuC"))),
                Contender::new(
                    "unshare (no root)",
                    &format!("unshare -mpiuC --fork -- {root}/app"),
                ),
                Contender::new("bwrap", &bwrap("--unshare-cgroup", &root)),
                oci("crun", place, false, false)?,
                oci("runc", place, false, false)?,
            ],
            millisecond,
        ),
        "rootless" => made(
            "an ordinary user, the six namespaces and one of users",
            vec![
                Contender::new("floor", &format!("{floor} -u {root} /app")),
                Contender::new(
                    "floor with the filter",
                    &format!("{floor} -u {filter} {root} /app"),
                ),
                Contender::new("catena", &direct("")),
                Contender::new("the same without seccomp", &without_seccomp(&direct(""))),
                Contender::new(
                    "unshare (no root)",
                    &format!("unshare -rmpniuC --fork -- {root}/app"),
                ),
                Contender::new(
                    "bwrap",
                    &bwrap("--unshare-user --unshare-net --unshare-cgroup", &root),
                ),
                Contender::new("podman", &podman("", &root)),
            ],
            millisecond,
        ),
        "cgroup" => made(
            "root, the six namespaces and a cgroup with a memory and a pids limit, 60 ms after the last",
            vec![
                Contender::new("floor", &format!("{floor} {} {root} /app", floor_limits())),
                Contender::new(
                    "floor with the filter",
                    &format!("{floor} {} {filter} {root} /app", floor_limits()),
                ),
                Contender::new(
                    "catena",
                    &format!(
                        "{} --memory-max 64M --pids-max 64 -- {}",
                        tool("cg-enter"),
                        chain("-mpniuC")
                    ),
                ),
                oci("crun", place, true, true)?,
                oci("runc", place, true, true)?,
                Contender::new("podman", &podman("--memory 64m --pids-limit 64", &root)),
            ],
            Duration::from_millis(60),
        ),
        "links" => made(
            "one link alone, with nothing to do",
            vec![
                Contender::new("the app alone", &format!("{root}/app")),
                Contender::new("env", &format!("env {root}/app")),
                Contender::new(
                    "priv-drop (seccomp and all)",
                    &format!("{} {root}/app", tool("priv-drop")),
                ),
                Contender::new(
                    "priv-drop --caps all --seccomp none",
                    &format!("{} --caps all --seccomp none {root}/app", tool("priv-drop")),
                ),
                Contender::new(
                    "ns-unshare --uts",
                    &format!("{} --uts {root}/app", tool("ns-unshare")),
                ),
                Contender::new(
                    "mini-init --subreaper",
                    &format!("{} --subreaper {root}/app", tool("mini-init")),
                ),
            ],
            millisecond,
        ),
        "pipeline" => {
            let chain = format!("cg-enter -- {}", chain("-mpniuC"));
            let path = format!("PATH={}:$PATH", place.folder().join("tools").display());
            let pipe = chain.replace(" -- /app", " /app").replace(" -- ", " | ");
            made(
                "the five tools in both spellings, typed at a shell",
                vec![
                    Contender::line("the chain", &format!("{path}; {chain}")),
                    Contender::line("the pipeline", &format!("{path}; {pipe}")),
                ],
                millisecond,
            )
        }
        _ => return Err(std::io::Error::other(format!("no such suite: {name}"))),
    })
}

/// Neither the floor nor bubblewrap loads a filter.
fn without_seccomp(chain: &str) -> String {
    chain.replace("priv-drop --", "priv-drop --seccomp none --")
}

/// bubblewrap with the same mounts and the same drop.
fn bwrap(kinds: &str, root: &str) -> String {
    format!(
        "bwrap --unshare-pid --unshare-ipc --unshare-uts {kinds} --bind {root} / --proc /proc \
         --dev /dev --mqueue /dev/mqueue --ro-bind /sys /sys --tmpfs /run --tmpfs /tmp \
         --cap-drop ALL --die-with-parent /app"
    )
}

/// podman with a root of its own making and no network.
fn podman(options: &str, root: &str) -> String {
    format!("podman run --rm --network none {options} --rootfs {root} /app")
}

/// Where cg-enter makes a cgroup without limits: in v2, if there is such.
fn floor_cgroup() -> String {
    let own = format!("catena-bench-floor-{}", std::process::id());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let of_kind = |kind: &str| {
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        fields.into_iter().find(|fields| fields[2] == kind).map(|fields| fields[1].to_owned())
    };
    match (of_kind("cgroup2"), of_kind("cgroup")) {
        (Some(point), _) => format!("-I {point}/{own}"),
        (None, Some(point)) => format!("-C {point}/{own}"),
        (None, None) => String::new(),
    }
}

/// Where cg-enter makes cgroups for the two limits: the hierarchies that hold the controllers.
fn floor_limits() -> String {
    let own = format!("catena-bench-floor-{}", std::process::id());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let holder = |controller: &str| {
        mounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let has = fields[3].split(',').any(|option| option == controller);
            (fields[2] == "cgroup" && has).then(|| format!("{}/{own}", fields[1]))
        })
    };
    match (holder("memory"), holder("pids")) {
        (Some(memory), Some(pids)) => {
            format!("-C {memory} -L memory.limit_in_bytes=67108864 -C {pids} -L pids.max=64")
        }
        _ => format!("-I /sys/fs/cgroup/{own} -L memory.max=67108864 -L pids.max=64"),
    }
}

/// An OCI runtime with a bundle of the same namespaces and mounts.
fn oci(runtime: &str, place: &Place, net: bool, limits: bool) -> Result<Contender> {
    let name = format!("{runtime}-{net}-{limits}");
    let bundle = place.folder().join(&name);
    fs::create_dir_all(&bundle)?;
    let mut kinds = vec!["pid", "mount", "uts", "ipc", "cgroup"];
    if net {
        kinds.push("network");
    }
    let mount = |kind: &str, place: &str, options: &[&str]| json!({"destination": place, "type": kind, "source": kind, "options": options});
    let safe = ["nosuid", "noexec", "nodev"];
    let sys = match net {
        true => mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
        false => {
            json!({"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "ro"]})
        }
    };
    let mut linux = json!({
        "namespaces": kinds.iter().map(|kind| json!({"type": kind})).collect::<Vec<_>>(),
        "maskedPaths": ["/proc/acpi", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if limits {
        linux["cgroupsPath"] = json!(format!("/catena-bench-{name}"));
        linux["resources"] = json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 64}});
    }
    let config = json!({
        "ociVersion": "1.0.0",
        "root": {"path": place.root()},
        "process": {
            "args": ["/app"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "noNewPrivileges": true,
            "env": ["PATH=/"], "capabilities": {},
        },
        "mounts": [
            mount("proc", "/proc", &safe), mount("tmpfs", "/dev", &["nosuid", "mode=755"]),
            mount("devpts", "/dev/pts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("tmpfs", "/dev/shm", &safe), mount("mqueue", "/dev/mqueue", &safe), sys,
            mount("tmpfs", "/run", &["nosuid", "nodev"]), mount("tmpfs", "/tmp", &["nosuid", "nodev"]),
        ],
        "linux": linux,
    });
    fs::write(bundle.join("config.json"), config.to_string())?;
    let option = if runtime == "crun" && !limits { " --cgroup-manager=disabled" } else { "" };
    let state = place.folder().join("state").join(&name);
    let id = format!("catena-bench-{}", std::process::id());
    Ok(Contender::new(
        runtime,
        &format!(
            "{runtime}{option} --root {} run --bundle {} {id}",
            state.display(),
            bundle.display()
        ),
    ))
}

/// Those whose program is there; of the others a line tells.
pub fn present(contenders: Vec<Contender>) -> Vec<Contender> {
    let path = std::env::var("PATH").unwrap_or_default();
    let exists = |word: &std::path::Path| {
        word.is_absolute() && word.is_file()
            || path.split(':').any(|folder| std::path::Path::new(folder).join(word).is_file())
    };
    let (present, absent): (Vec<_>, Vec<_>) =
        contenders.into_iter().partition(|contender| exists(contender.words[0].as_ref()));
    for contender in absent {
        eprintln!("left out: {} is not installed", contender.name);
    }
    present
}
