//! fs-pivot: builds a mount tree and makes it the root.
//!
//! Everything is done on descriptors: a mount is made detached, gets its attributes, and is
//! attached to a place that was opened inside the new root ([`place`]). No path of the new root is
//! ever resolved against the old one, so that no symbolic link of an image leads out.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::path::PathBuf;

use chain::procfs::Procfs;
use chain::{LinkArgs, Next, Result, ResultExt};
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::process::umask;

use crate::mount::{Mount, Setting};
use crate::place::Kind;
use crate::spec::{Extra, Extras};
use crate::tree::Tree;

mod defaults;
mod device;
mod mask;
mod mount;
mod mountinfo;
mod notify;
mod overlay;
mod pivot;
mod place;
mod private;
mod root;
mod scaffold;
mod spec;
mod tree;

const HELP: &str = "\
Without --overlay and --ephemeral ROOT itself is shown, nosuid and nodev, with all that is \
mounted below it. Nothing is ever made in it: where a mountpoint is missing, the folder is shown \
by a read-only tmpfs that holds its entries and the mountpoint.

--ephemeral of a folder that has other file systems mounted below it (as / has) makes one overlay \
for each of its top folders. A top folder with mounts below it, and each top file, is shown \
read-only; /proc, /sys, /dev, /run and /tmp are new ones anyway, unless --no-defaults is given.";

/// Build a mount tree and make it the root of what follows
#[derive(Debug, clap::Parser)]
#[command(name = "fs-pivot", version, after_help = HELP)]
pub struct FsPivot {
    /// The folder that becomes the root; with --overlay LOWER[:LOWER...], uppermost first
    #[arg(value_name = "ROOT")]
    root: PathBuf,

    /// Show the folders of ROOT as one, read-only unless there is an upper layer
    #[arg(long)]
    overlay: bool,

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

    /// Mount no /proc, /sys, /dev, /run, /tmp
    #[arg(long)]
    no_defaults: bool,

    #[command(flatten)]
    extras: Extras,

    /// Start in DIR of the new root
    #[arg(long, value_name = "DIR", default_value = "/")]
    chdir: PathBuf,

    #[command(flatten)]
    link: LinkArgs,
}

impl chain::Tool for FsPivot {
    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn run(self, mut next: Next) -> Result<Infallible> {
        // Modes are set as they are written here, whatever the app's mask.
        let mask = umask(Mode::empty());
        let procfs = Procfs::open()?;
        private::check(&procfs, next.mount_namespace())?;
        private::cut_off()?;
        if !next.has_detached_toolbox() {
            next.set_toolbox(pivot::detach_toolbox()?);
        }

        let socket = notify::find(next.environment(), !self.no_defaults)?;
        let mut places: Vec<PathBuf> = self.extras.0.iter().map(|e| e.place().into()).collect();
        if !self.no_defaults {
            places.extend(defaults::places());
        } else if let Some(socket) = &socket {
            places.push(socket.place.clone());
        }

        let (mut tree, seal) = self.attach_root(&procfs, &places)?;
        if !self.no_defaults {
            defaults::mount(&mut tree, &procfs)?;
        }
        for extra in &self.extras.0 {
            mount_extra(&mut tree, extra)?;
        }
        if let Some(socket) = socket {
            socket.show(&mut tree, next.environment())?;
        }
        let folder = tree
            .open(&self.chdir, OFlags::PATH | OFlags::DIRECTORY)
            .or_fail_on("can't change to", &self.chdir)?;
        let root = tree.finish(seal)?;
        pivot::leave_for(&root, folder, &self.chdir, &procfs)?;
        umask(mask);
        next.exec()
    }
}

impl FsPivot {
    fn attach_root(&self, procfs: &Procfs, places: &[PathBuf]) -> Result<(Tree, bool)> {
        let layers = if self.overlay {
            spec::paths(self.root.as_os_str())?
        } else {
            vec![self.root.clone()]
        };
        let upper = self.upper.as_deref().zip(self.work.as_deref());
        let source = root::Source {
            layers: &layers,
            upper,
            ephemeral: self.ephemeral,
            read_only: self.read_only || (self.overlay && upper.is_none() && !self.ephemeral),
            covered: if self.no_defaults { &[] } else { defaults::TOPS },
            places,
        };
        let old = place::host("/".as_ref(), OFlags::DIRECTORY)?;
        source.attach(procfs, &old)
    }
}

fn mount_extra(tree: &mut Tree, extra: &Extra) -> Result<()> {
    match extra {
        Extra::Bind { source, place, attributes, recursive } => {
            let old = place::host(source, OFlags::empty())?;
            let mode = fstat(&old).or_fail_on("can't examine", source)?.st_mode;
            let kind = match FileType::from_raw_mode(mode) {
                FileType::Directory => Kind::Folder,
                _ => Kind::File,
            };
            let mount = Mount::copy_of(old, *recursive).or_fail_on("can't bind", source)?;
            mount.restrict(*attributes)?;
            tree.mount_bound(&mount, place, kind)
        }
        Extra::Tmpfs { place, attributes, settings } => {
            let settings: Vec<_> =
                settings.iter().map(|(name, value)| Setting::Value(name, value)).collect();
            let mount = Mount::new("tmpfs", &settings, *attributes)?;
            tree.mount_own(&mount, place)
        }
    }
}
