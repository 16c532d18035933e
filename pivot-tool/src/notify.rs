//! The socket that NOTIFY_SOCKET names, taken along into the new root.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use chain::environment::Environment;
use chain::{Error, Result, ResultExt};
use rustix::fs::{FileType, OFlags, fstat};

use crate::mount::{Mount, NOEXEC, RDONLY, SAFE};
use crate::place::{self, Kind};
use crate::tree::{Tree, Whose};

const VARIABLE: &str = "NOTIFY_SOCKET";

/// A socket of the old root, and its place in the new one.
#[derive(Debug)]
pub struct Socket {
    old: OwnedFd,
    /// Where it goes.
    pub place: PathBuf,
}

/// The socket that the environment names. An abstract one (sd_notify(3)) has no place in any root.
/// With a /run of our own it goes there, out of sight of the host's paths.
pub fn find(environment: &Environment, own_run: bool) -> Result<Option<Socket>> {
    let Some(path) = environment.get(VARIABLE).map(Path::new) else {
        return Ok(None);
    };
    if !path.is_absolute() {
        return Ok(None);
    }
    let what = "can't take the socket of NOTIFY_SOCKET along";
    let failed = |error: Error| error.hint("unset NOTIFY_SOCKET if it is not to be used");
    let old = place::host(path, OFlags::empty()).map_err(failed)?;
    let mode = fstat(&old).or_fail_on(what, path)?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::Socket {
        return Err(failed(Error::new(what).object(path).reason("not a socket")));
    }
    let place = if own_run { PathBuf::from("/run/notify") } else { path.to_owned() };
    Ok(Some(Socket { old, place }))
}

impl Socket {
    /// Shows it in `tree`, and says so to the links to come. It is read-only, which keeps its owner
    /// and mode from being changed, not messages from being sent.
    pub fn show(&self, tree: &mut Tree, environment: &mut Environment) -> Result<()> {
        let mount = Mount::copy_of(&self.old, false).or_fail_on("can't bind", &self.place)?;
        mount.restrict(SAFE | NOEXEC | RDONLY)?;
        tree.mount(&mount, &self.place, Kind::File, Whose::Bound)?;
        environment.set(VARIABLE, &self.place);
        Ok(())
    }
}
