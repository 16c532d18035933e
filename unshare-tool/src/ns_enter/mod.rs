//! `ns-enter`: joins a running container.
//!
//! Creating a container may be many execs; joining one must not be. Between the first setns(2) and
//! the app there is no exec, nothing of the host is held open, and nothing in the container may look
//! at this process: it is not dumpable, so ptrace(2) and /proc/PID are refused to everybody
//! without capabilities on the host.

mod cgroups;
mod explain;
mod ids;
mod inside;
mod privileges;
mod sealed;
mod seccomp;
mod target;
mod toolbox;

use std::convert::Infallible;
use std::path::PathBuf;

use chain::procfs::Procfs;
use chain::{Error, Explanation, Lead, LinkArgs, Next, Result, ResultExt, Role};

use crate::namespaces::Kind;
use inside::Entry;
use seccomp::SeccompArgs;
use target::Target;

/// Run COMMAND in a running container: in its namespaces, cgroup and root, with its privileges
#[derive(Debug, clap::Parser)]
#[command(name = "ns-enter", version, after_long_help = include_str!("help.txt"))]
pub struct NsEnter {
    /// Join the mount namespace
    #[arg(short = 'm', long)]
    mount: bool,
    /// Join the PID namespace
    #[arg(short = 'p', long)]
    pid: bool,
    /// Join the network namespace
    #[arg(short = 'n', long)]
    net: bool,
    /// Join the UTS namespace (host name)
    #[arg(short = 'u', long)]
    uts: bool,
    /// Join the IPC namespace
    #[arg(short = 'i', long)]
    ipc: bool,
    /// Join the cgroup, and the cgroup namespace
    #[arg(short = 'C', long)]
    cgroup: bool,
    /// Join the user namespace
    #[arg(short = 'U', long)]
    user: bool,
    /// Join the time namespace
    #[arg(short = 'T', long)]
    time: bool,

    /// Stay in your own cgroup: the container's limits don't count for COMMAND
    #[arg(long, conflicts_with = "cgroup")]
    no_cgroup: bool,
    /// Keep all privileges that the namespaces joined give, as root inside
    #[arg(long)]
    privileged: bool,
    #[command(flatten)]
    seccomp: SeccompArgs,

    /// Bring the programs of DIR along, first in PATH, read-only and for COMMAND alone; they must be
    /// linked statically
    #[arg(long, value_name = "DIR")]
    toolbox: Option<PathBuf>,
    /// Start in DIR of the container; otherwise where its process is
    #[arg(long, value_name = "DIR")]
    chdir: Option<PathBuf>,
    /// Put COMMAND in a new session: it can't push input into your terminal, and has no job control
    #[arg(long)]
    new_session: bool,

    /// The container: a process id (of its own, or of the chain that it was started by), or a
    /// cgroup's name as cg-stat prints it
    #[arg(value_name = "TARGET")]
    target: String,

    #[command(flatten)]
    link: LinkArgs,
}

/// The whole of `ns-enter`'s `main`.
pub fn main() -> ! {
    chain::main_after::<NsEnter>(sealed::run_from_copy)
}

impl chain::Tool for NsEnter {
    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn explain(&self, to: &mut Explanation) -> Result<()> {
        self.say(to);
        Ok(())
    }

    fn run(self, mut next: Next) -> Result<Infallible> {
        next.refuse_folders()?;
        let procfs = Procfs::open()?;
        refuse_dumpable_credentials(&procfs)?;
        let target = Target::find(&procfs, &self.target)?;
        let asked = self.kinds();
        let kinds = target.kinds_to_join(&procfs, &asked)?;
        let entry = Entry::prepare(&self, &procfs, target, kinds, asked.is_empty(), &mut next)?;
        drop(procfs);
        not_dumpable()?;
        if !entry.joins(Kind::Pid) {
            entry.go_in()?;
            return self.start(entry, next);
        }
        let lead = if self.new_session { Lead::Session } else { Lead::Group };
        match next.fork_into(|| entry.go_in())? {
            Role::Child(next) => {
                next.lead(lead)?;
                self.start(entry, next)
            }
            Role::Monitor(mut monitor) => {
                drop(entry);
                monitor.child_leads(lead)?;
                monitor.run(|_| Ok(()))
            }
        }
    }
}

impl NsEnter {
    fn kinds(&self) -> Vec<Kind> {
        let asked = [
            (self.mount, Kind::Mount),
            (self.pid, Kind::Pid),
            (self.net, Kind::Net),
            (self.uts, Kind::Uts),
            (self.ipc, Kind::Ipc),
            (self.cgroup, Kind::Cgroup),
            (self.user, Kind::User),
            (self.time, Kind::Time),
        ];
        asked.into_iter().filter(|(on, _)| *on).map(|(_, kind)| kind).collect()
    }

    fn start(&self, entry: Entry, mut next: Next) -> Result<Infallible> {
        let filters = entry.settle(&mut next)?;
        if let Some(folder) = &self.chdir {
            inside::change_directory(folder)?;
        }
        next.exec_app(|| filters.load())
    }
}

/// No process of the container may look at this one from here on.
fn not_dumpable() -> Result<()> {
    nix::sys::prctl::set_dumpable(false).or_fail("can't become not dumpable")
}

/// A change of credentials makes the process as dumpable as this knob says.
fn refuse_dumpable_credentials(procfs: &Procfs) -> Result<()> {
    let knob = "sys/fs/suid_dumpable";
    if procfs.read(knob)?.trim() == "1" {
        return Err(Error::new("refused to enter a container")
            .reason("any process there could look into this one")
            .hint("sysctl fs.suid_dumpable=0"));
    }
    Ok(())
}
