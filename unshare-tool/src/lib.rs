//! `ns-unshare`: creates namespaces and the id maps of a user namespace.

#![forbid(unsafe_code)]

mod explain;
mod loopback;
mod maps;
mod namespaces;
pub mod ns_enter;
mod outsider;
mod pin;
pub mod range;
mod reboot;

use std::convert::Infallible;
use std::ffi::OsString;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::path::PathBuf;

use chain::monitor::Rewrite;
use chain::procfs::Procfs;
use chain::rare::{self, Rare};
use chain::signal::Signal;
use chain::{
    Error, Explanation, Fork, LinkArgs, Monitor, Next, PathForm, Result, ResultExt, Role, namespace,
};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use maps::{MapArgs, Maps};
use namespaces::{Kind, Kinds};
use pin::Pin;

/// Create namespaces, all but time unless some are named, and run COMMAND in them
#[derive(Debug, clap::Parser)]
#[command(name = "ns-unshare", version)]
pub struct NsUnshare {
    /// New mount namespace
    #[arg(short = 'm', long)]
    mount: bool,
    /// New PID namespace: COMMAND is its PID 1
    #[arg(short = 'p', long)]
    pid: bool,
    /// New network namespace, with nothing but a loopback interface; pinned at FILE so that others can enter it: the one that is pinned there already, if any
    #[arg(short = 'n', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    net: Option<Option<PathBuf>>,
    /// New UTS namespace (host name); at FILE, as for --net
    #[arg(short = 'u', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    uts: Option<Option<PathBuf>>,
    /// New IPC namespace; at FILE, as for --net
    #[arg(short = 'i', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    ipc: Option<Option<PathBuf>>,
    /// New cgroup namespace; at FILE, as for --net
    #[arg(short = 'C', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    cgroup: Option<Option<PathBuf>>,
    /// New user namespace
    #[arg(short = 'U', long)]
    user: bool,
    /// New time namespace
    #[arg(short = 'T', long)]
    time: bool,

    #[command(flatten)]
    maps: Rare<MapArgs>,

    #[command(flatten)]
    options: Rare<Options>,

    #[command(flatten)]
    link: LinkArgs,
}

/// What is done in the new namespaces.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Don't make these new after all
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    share: Vec<Kind>,

    /// The host name inside
    #[arg(long, value_name = "NAME")]
    hostname: Option<OsString>,

    /// What mounts made on the host afterwards do in a new mount namespace
    #[arg(long, value_name = "MODE", default_value = "private")]
    propagation: Propagation,

    /// Mount a procfs of the new PID namespace at /proc (the default with --pid and --mount)
    #[arg(long, overrides_with = "no_mount_proc")]
    mount_proc: bool,
    /// Don't
    #[arg(long)]
    no_mount_proc: bool,

    /// What COMMAND gets when this process, its monitor, is ended by SIGKILL [default: KILL]
    #[arg(long, value_name = "SIGNAL")]
    kill_signal: Option<Signal>,

    /// What COMMAND gets in place of SIGTERM (systemd: RTMIN+3)
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<Signal>,
}

impl Deref for NsUnshare {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.options
    }
}

impl rare::Group for Options {
    const PREFIXES: &'static [&'static str] = &[
        "--share",
        "--hostname",
        "--propagation",
        "--mount-proc",
        "--no-mount-proc",
        "--kill-signal",
        "--stop-signal",
    ];
}

/// Mount propagation (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Propagation {
    #[default]
    /// Nothing passes, in either direction
    Private,
    /// The host's mounts appear inside
    Slave,
    /// Mounts appear on both sides
    Shared,
    /// As the host has it
    Unchanged,
}

impl chain::Tool for NsUnshare {
    const PATHS: &'static [(&'static str, PathForm)] = &[
        ("net", PathForm::Whole),
        ("uts", PathForm::Whole),
        ("ipc", PathForm::Whole),
        ("cgroup", PathForm::Whole),
    ];
    const WITHOUT_EXEC: bool = true;

    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn explain(&self, to: &mut Explanation) -> Result<()> {
        let kinds = self.kinds()?;
        let known = kinds.has(Kind::User) && !to.is_changed(chain::explain::IDS);
        let maps = known.then(|| self.maps.resolve(&Procfs::open()?)).transpose()?;
        self.say(&kinds, maps.as_ref(), to);
        Ok(())
    }

    fn run(self, next: Next) -> Result<Infallible> {
        let mut kinds = self.kinds()?;
        let procfs = Procfs::open()?;
        let pins = Pin::open_all(self.files())?;
        // Before the new user namespace, in which this process has no power over them.
        pins.iter().try_for_each(Pin::enter)?;
        pins.iter().filter(|pin| pin.is_there()).for_each(|pin| kinds.remove(pin.kind()));
        let maps = kinds.has(Kind::User).then(|| self.maps.resolve(&procfs)).transpose()?;
        let enter_own = |next| self.furnish(&kinds, maps.as_ref(), next)?.exec();
        if !kinds.has(Kind::Pid) {
            enter(&kinds, maps.as_ref(), &pins, &procfs)?;
            return enter_own(next);
        }
        let how =
            Fork { namespaces: kinds.flags(), death_signal: self.kill_signal(), ..Fork::default() };
        let explain = |error| kinds.explain(error);
        if need_outsider(maps.as_ref(), &pins) {
            let from_outside = |pid: i32| {
                check_numbers(&procfs)?;
                let pid = pid.to_string();
                maps.as_ref().map_or(Ok(()), |maps| maps.write(&procfs, &pid))?;
                pins.iter().try_for_each(|pin| pin.hold(&procfs, &pid))
            };
            return match next.fork(&how, from_outside).map_err(explain)? {
                Role::Child(next) => enter_own(next),
                Role::Monitor(monitor) => self.watch(monitor),
            };
        }
        let child = |next| {
            let write = |maps: &Maps| maps.write(&procfs, &procfs.own_id()?);
            maps.as_ref().map_or(Ok(()), write)?;
            enter_own(next)
        };
        self.watch(next.spawn(&how, child).map_err(explain)?)
    }
}

impl NsUnshare {
    fn kill_signal(&self) -> Signal {
        self.kill_signal.unwrap_or(Signal::KILL)
    }

    fn kinds(&self) -> Result<Kinds> {
        let asked = [
            (self.mount, Kind::Mount),
            (self.pid, Kind::Pid),
            (self.net.is_some(), Kind::Net),
            (self.uts.is_some(), Kind::Uts),
            (self.ipc.is_some(), Kind::Ipc),
            (self.cgroup.is_some(), Kind::Cgroup),
            (self.user, Kind::User),
            (self.time, Kind::Time),
        ];
        let asked: Vec<Kind> =
            asked.into_iter().filter(|(on, _)| *on).map(|(_, kind)| kind).collect();
        let kinds = Kinds::chosen(&asked, &self.share);
        let needs = |option: &str, kind: &str| {
            Err(Error::new(format!("{option} needs a new {kind} namespace"))
                .hint(format!("add --{kind}")))
        };
        if self.hostname.is_some() && !kinds.has(Kind::Uts) {
            return needs("--hostname", "uts");
        }
        if self.mount_proc && !kinds.has(Kind::Mount) {
            return needs("--mount-proc", "mount");
        }
        if self.mount_proc && !kinds.has(Kind::Pid) {
            return needs("--mount-proc", "pid");
        }
        if self.stop_signal.is_some() && !kinds.has(Kind::Pid) {
            return needs("--stop-signal", "pid");
        }
        match self.files().find(|(kind, _)| self.share.contains(kind)) {
            Some((_, file)) => {
                Err(Error::new("--share contradicts the file of a namespace").object(file))
            }
            None => Ok(kinds),
        }
    }

    /// The files that namespaces are or will be pinned at.
    fn files(&self) -> impl Iterator<Item = (Kind, &PathBuf)> {
        let named = [
            (&self.net, Kind::Net),
            (&self.uts, Kind::Uts),
            (&self.ipc, Kind::Ipc),
            (&self.cgroup, Kind::Cgroup),
        ];
        named
            .into_iter()
            .filter_map(|(option, kind)| option.as_ref()?.as_ref().map(|file| (kind, file)))
    }

    /// The monitor's part, until PID 1 of the new namespace has ended.
    fn watch(&self, mut monitor: Monitor) -> Result<Infallible> {
        if let Some(signal) = self.stop_signal {
            let mut rewrite = Rewrite::default();
            rewrite.set(Signal::TERM, Some(signal));
            monitor.rewrite(rewrite);
        }
        let status = monitor.wait(&mut [])?;
        monitor.finish(reboot::seen_outside(status))
    }

    /// What is done inside, before the next link.
    fn furnish(&self, kinds: &Kinds, maps: Option<&Maps>, mut next: Next) -> Result<Next> {
        if let Some(maps) = maps {
            next.change_credentials(|| maps.enter())?;
            // Who is not root inside loses capabilities by an exec.
            next.exec_anew_unless(rustix::process::geteuid().is_root());
        }
        if let Some(name) = &self.hostname {
            nix::unistd::sethostname(name).or_fail_on("can't set the host name", name)?;
        }
        if kinds.has(Kind::Net) {
            loopback::bring_up()?;
        }
        if kinds.has(Kind::Mount) {
            self.propagation.set()?;
            if kinds.has(Kind::Pid) && !self.no_mount_proc {
                mount_proc()?;
            }
            let procfs = Procfs::open()?;
            // Without a procfs of this PID namespace nothing can be shown to the links to come.
            let own = procfs.own_id().ok();
            let inode =
                own.map(|own| namespace::open(&procfs, &own, "mnt").and_then(namespace::inode));
            next.set_mount_namespace(inode.transpose()?);
        }
        Ok(next)
    }
}

impl Propagation {
    fn meaning(self) -> &'static str {
        match self {
            Propagation::Private => "makes every mount private: mounts pass in no direction",
            Propagation::Slave => {
                "makes every mount a slave: later mounts of the host appear inside"
            }
            Propagation::Shared => "makes every mount shared: later mounts appear on both sides",
            Propagation::Unchanged => "leaves the propagation of mounts as the host has it",
        }
    }

    fn set(self) -> Result<()> {
        let flag = match self {
            Propagation::Private => MsFlags::MS_PRIVATE,
            Propagation::Slave => MsFlags::MS_SLAVE,
            Propagation::Shared => MsFlags::MS_SHARED,
            Propagation::Unchanged => return Ok(()),
        };
        mount(None::<&str>, "/", None::<&str>, flag | MsFlags::MS_REC, None::<&str>)
            .or_fail_on("can't set the mount propagation of", "/")
    }
}

fn mount_proc() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .or_fail_on("can't mount a procfs at", "/proc")
        .map_err(|error| {
            error.hint_if(
                chain::Errno::EPERM,
                "inside another container parts of /proc are masked, and the kernel then allows no new one: --no-mount-proc",
            )
        })
}

/// A child's number means that child only in the procfs of this process's own PID namespace.
fn check_numbers(procfs: &Procfs) -> Result<()> {
    if procfs.own_id()? == std::process::id().to_string() {
        return Ok(());
    }
    Err(Error::new("can't find the child in")
        .object("/proc")
        .reason("it belongs to another PID namespace"))
}

/// Whether it takes a process that stays outside.
fn need_outsider(maps: Option<&Maps>, pins: &[Pin]) -> bool {
    pins.iter().any(|pin| !pin.is_there()) || maps.is_some_and(Maps::need_outsider)
}

/// Enters the namespaces without a fork.
fn enter(kinds: &Kinds, maps: Option<&Maps>, pins: &[Pin], procfs: &Procfs) -> Result<()> {
    let unshare = || {
        let flags = CloneFlags::from_bits_retain(kinds.flags() as i32);
        unshare(flags).or_fail("can't create namespaces").map_err(|error| kinds.explain(error))
    };
    let own = procfs.own_id()?;
    let write_maps = || maps.map_or(Ok(()), |maps| maps.write(procfs, &own));
    if need_outsider(maps, pins) {
        outsider::run(unshare, || {
            write_maps()?;
            pins.iter().try_for_each(|pin| pin.hold(procfs, &own))
        })?;
    } else {
        unshare()?;
        write_maps()?;
    }
    if kinds.has(Kind::Time) {
        // unshare(2) puts only children into it.
        let time = namespace::open(procfs, &own, "time_for_children")?;
        setns(time.as_fd(), CloneFlags::from_bits_retain(libc::CLONE_NEWTIME))
            .or_fail("can't enter the time namespace")?;
    }
    Ok(())
}
