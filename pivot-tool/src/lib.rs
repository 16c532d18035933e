//! fs-pivot: builds a mount tree and makes it the root.
//!
//! Everything is done on descriptors: a mount is made detached, gets its attributes, and is
//! attached to a place that was opened inside the new root ([`place`]). No path of the new root is
//! ever resolved against the old one, so that no symbolic link of an image leads out.

#![forbid(unsafe_code)]

#[cfg(all(feature = "weakened", not(debug_assertions)))]
compile_error!("the feature 'weakened' is for the tests, and never for a release");

use std::convert::Infallible;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use chain::procfs::Procfs;
use chain::rare::{self, Rare};
use chain::{Errno, Error, Explanation, LinkArgs, Next, PathForm, Result, ResultExt};
use rustix::fs::OFlags;

use crate::defaults::{Cgroups, Defaults, Dev, Kernel};
use crate::extras::Extras;
use crate::fill::Host;
use crate::given::Given;
use crate::idmap::{Namespaces, Range};
use crate::private::Propagation;
use crate::spec::Extra;

mod defaults;
mod device;
mod explain;
mod extras;
mod files;
mod fill;
mod given;
pub mod idmap;
mod image;
mod mask;
mod mount;
mod notify;
mod overlay;
mod pivot;
pub mod place;
mod private;
mod root;
mod scaffold;
pub mod spec;
mod tree;

const HELP: &str = "\
Without --overlay and --ephemeral ROOT itself is shown, nosuid and nodev, with all that is \
mounted below it. Nothing is ever made in it: where a mountpoint is missing, the folder is shown \
by a read-only tmpfs that holds its entries and the mountpoint.

--ephemeral of a folder that has other file systems mounted below it (as / has) makes one overlay \
for each of its top folders. A top folder with mounts below it, and each top file, is shown \
read-only; /proc, /sys, /dev, /run and /tmp are new ones anyway, unless --no-defaults is given. \
In a user namespace, files whose owners it does not map can't be changed, in a copy neither; and \
before Linux 6.6 a changed folder of ROOT can't be removed, nor a removed one made again.

A /proc that is masked is no secret from a program that keeps CAP_SYS_ADMIN: let priv-drop follow, \
or 'ns-unshare --user --mount', below which no mask can be taken off.";

const HOSTS: &str = "/etc/hosts";
const MACHINE_ID: &str = "/etc/machine-id";

/// The value of `--idmap`: a list, but given once.
#[derive(Debug, Clone)]
struct Idmap(Vec<Range>);

fn parse_idmap(text: &str) -> Result<Idmap> {
    idmap::parse(text).map(Idmap)
}

/// Build a mount tree and make it the root of what follows
#[derive(Debug, clap::Parser)]
#[command(name = "fs-pivot", version, after_help = HELP)]
pub struct FsPivot {
    /// The folder that becomes the root; with --overlay LOWER[:LOWER...], uppermost first; with
    /// --image a file
    #[arg(value_name = "ROOT")]
    root: PathBuf,

    #[command(flatten)]
    options: Rare<Options>,

    #[command(flatten)]
    link: LinkArgs,
}

/// What the root is made of, and what is mounted in it.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Show the folders of ROOT as one, read-only unless there is an upper layer
    #[arg(long)]
    overlay: bool,

    /// ROOT is a squashfs or erofs image: as root of the host's user namespace only
    #[arg(long, conflicts_with_all = ["overlay", "upper"])]
    image: bool,

    /// Keep changes in UPPER, on top of ROOT; the folder WORK must be empty and on the same file
    /// system
    #[arg(long, value_name = "UPPER", requires = "work", conflicts_with = "ephemeral")]
    upper: Option<PathBuf>,

    /// The work folder of the overlay
    #[arg(long, value_name = "WORK", requires = "upper")]
    work: Option<PathBuf>,

    /// Keep changes in memory only; they are gone in the end
    #[arg(long)]
    ephemeral: bool,

    /// Make the root read-only, all that is mounted below it too
    #[arg(long, conflicts_with_all = ["upper", "ephemeral"])]
    read_only: bool,

    /// Show the files of ROOT with other owners: as root only, DISK-SHOWN-COUNT, several joined by +
    #[arg(long, value_name = "MAP", value_parser = parse_idmap, conflicts_with_all = ["overlay", "ephemeral", "upper"])]
    idmap: Option<Idmap>,

    /// Mount no /proc, /sys, /dev, /run, /tmp but those that are asked for
    #[arg(long)]
    no_defaults: bool,

    /// Which /proc [default: new]
    #[arg(long, value_name = "KIND")]
    proc: Option<Kernel>,

    /// Which /sys [default: new if the network namespace is one's own, else bind]
    #[arg(long, value_name = "KIND")]
    sys: Option<Kernel>,

    /// Show the cgroups at /sys/fs/cgroup read-only, or so that those below one's own can be changed
    #[arg(long, value_name = "KIND", default_value = "ro")]
    cgroup: Cgroups,

    /// Which /dev [default: minimal]
    #[arg(long, value_name = "KIND")]
    dev: Option<Dev>,

    /// Make an /etc/hosts with the loopback and the own host name
    #[arg(long)]
    etc_hosts: bool,

    /// Make an /etc/machine-id of random
    #[arg(long)]
    machine_id: bool,

    #[command(flatten)]
    extras: Extras,

    /// Whether later mounts of the host show up in what is bound
    #[arg(long, value_name = "KIND", default_value = "private")]
    propagation: Propagation,

    /// The current root is the initramfs: cover it, since it can't be left
    #[arg(long)]
    on_rootfs: bool,

    /// Start in DIR of the new root [default: /]
    #[arg(long, value_name = "DIR")]
    chdir: Option<PathBuf>,
}

impl Deref for FsPivot {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.options
    }
}

impl rare::Group for Options {}

impl chain::Tool for FsPivot {
    const PATHS: &'static [(&'static str, PathForm)] = &[
        ("root", PathForm::ColonListWith("--overlay")),
        ("upper", PathForm::Whole),
        ("work", PathForm::Whole),
        ("bind", PathForm::BeforeColon),
        ("ro-bind", PathForm::BeforeColon),
        ("copy-up", PathForm::BeforeColon),
    ];

    const WITHOUT_EXEC: bool = true;

    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn explain(&self, to: &mut Explanation) -> Result<()> {
        self.say(to)
    }

    fn run(self, mut next: Next) -> Result<Infallible> {
        // Before anything of this process's own can have the number that --mount-fd names.
        let given = Given::take(&mut next, &self.extras)?;
        let procfs = Procfs::open()?;
        private::check(&procfs, next.mount_namespace())?;
        pivot::check_rootfs(self.on_rootfs, &procfs)?;
        private::cut_off(self.propagation)?;
        if !next.has_detached_toolbox() {
            next.set_toolbox(pivot::detach_toolbox()?);
        }
        let old = place::host("/".as_ref(), OFlags::DIRECTORY)?;
        let idmaps = Namespaces::make(self.maps(), &procfs)?;
        let host = Host { procfs: &procfs, root: &old, idmaps: &idmaps, given: &given };
        let defaults = self.defaults();
        let socket = notify::find(next.environment(), defaults.scratch)?;

        let parts = self.parts(&defaults, socket.as_ref().map(|socket| socket.place.clone()))?;
        let (mut tree, seal) = self.source(&parts).attach(&host)?;
        defaults.mount(&mut tree, &procfs)?;
        if self.etc_hosts {
            host.write(&mut tree, HOSTS, &files::hosts())?;
        }
        if self.machine_id {
            host.write(&mut tree, MACHINE_ID, &files::machine_id()?)?;
        }
        for extra in &self.extras.0 {
            host.mount(&mut tree, extra)?;
        }
        if let Some(socket) = socket {
            socket.show(&mut tree, next.environment())?;
        }

        let folder = tree
            .open(self.chdir(), OFlags::PATH | OFlags::DIRECTORY)
            .or_fail_on("can't change to", self.chdir())
            .map_err(|error| self.explain_chdir(error, &defaults))?;
        let root = tree.finish(seal)?;
        if self.on_rootfs {
            pivot::cover_with(&root, folder, self.chdir())?;
        } else {
            pivot::leave_for(&root, folder, self.chdir())?;
        }
        next.exec()
    }
}

impl FsPivot {
    fn chdir(&self) -> &Path {
        self.chdir.as_deref().unwrap_or(Path::new("/"))
    }

    fn maps(&self) -> impl Iterator<Item = &[Range]> {
        let of_root = self.idmap.iter().map(|idmap| idmap.0.as_slice());
        let of_binds = self.extras.0.iter().filter_map(|extra| match extra {
            Extra::Bind { idmap, .. } => Some(idmap.as_slice()),
            _ => None,
        });
        of_root.chain(of_binds)
    }

    /// A folder that ROOT has may be hidden by what is mounted over it.
    fn explain_chdir(&self, error: Error, defaults: &Defaults) -> Error {
        let tops = defaults.tops();
        let over = tops.iter().find(|top| self.chdir().starts_with(Path::new("/").join(top)));
        match over {
            Some(top) if error.errno() == Some(Errno::ENOENT) => {
                let folder = self.chdir().display();
                error.hint(format!(
                    "a new /{top} hides what ROOT has there: --bind {folder}:{folder} shows the host's"
                ))
            }
            _ => error,
        }
    }

    fn defaults(&self) -> Defaults {
        let wanted = !self.no_defaults;
        Defaults {
            proc: self.proc.unwrap_or(if wanted { Kernel::New } else { Kernel::None }),
            sys: self.sys.or(if wanted { None } else { Some(Kernel::None) }),
            cgroups: self.cgroup,
            dev: self.dev.unwrap_or(if wanted { Dev::Minimal } else { Dev::None }),
            scratch: wanted,
        }
    }

    /// What the root is made from, as far as it has to be worked out; `socket` is the place of one.
    fn parts(&self, defaults: &Defaults, socket: Option<PathBuf>) -> Result<Parts> {
        let layers = if self.overlay {
            spec::paths(self.root.as_os_str())?
        } else {
            vec![self.root.clone()]
        };
        let tops = defaults.tops();
        let mut places: Vec<PathBuf> = tops.iter().map(|name| Path::new("/").join(name)).collect();
        places.extend(self.extras.0.iter().filter_map(|extra| extra.place()).map(PathBuf::from));
        places.extend(socket);
        let made = [(self.etc_hosts, HOSTS), (self.machine_id, MACHINE_ID)];
        places.extend(made.iter().filter(|(wanted, _)| *wanted).map(|(_, path)| path.into()));
        Ok(Parts { layers, tops, places })
    }

    fn source<'a>(&'a self, parts: &'a Parts) -> root::Source<'a> {
        let upper = self.upper.as_deref().zip(self.work.as_deref());
        root::Source {
            layers: &parts.layers,
            image: self.image,
            upper,
            ephemeral: self.ephemeral,
            read_only: self.read_only || (self.overlay && upper.is_none() && !self.ephemeral),
            idmap: self.idmap.as_ref().map_or(&[], |idmap| &idmap.0),
            covered: &parts.tops,
            places: &parts.places,
        }
    }
}

/// What a [`root::Source`] refers to.
#[derive(Debug)]
struct Parts {
    layers: Vec<PathBuf>,
    tops: Vec<&'static str>,
    places: Vec<PathBuf>,
}
