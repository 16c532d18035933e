//! What the app starts with: environment, working directory, and what happens if the parent of
//! this process ends.

use chain::signal::Signal;
use chain::{Error, Next, Result, ResultExt};

use crate::arguments::EnvironmentArgs;

impl EnvironmentArgs {
    pub(crate) fn apply(&self, next: &mut Next) {
        if self.clear_env {
            next.environment().clear();
        }
        for (name, value) in &self.env {
            next.environment().set(name, value);
        }
    }

    /// Goes to `--chdir`, which must lie in the current root: a descriptor of a folder outside
    /// (/proc/self/fd/N) would lead out of the container.
    pub(crate) fn change_directory(&self) -> Result<()> {
        let Some(folder) = &self.chdir else { return Ok(()) };
        let what = "can't change to the directory";
        nix::unistd::chdir(folder).or_fail_on(what, folder)?;
        let place = nix::unistd::getcwd().or_fail_on(what, folder)?;
        if !place.is_absolute() {
            return Err(Error::new(what).object(folder).reason("it lies outside of the root"));
        }
        Ok(())
    }
}

/// Asks for `signal` at the death of the parent, which may have happened already.
pub(crate) fn follow_parent(signal: Signal) -> Result<()> {
    let what = "can't ask for a signal at the parent's death";
    let parent = nix::unistd::getppid();
    let number =
        nix::sys::signal::Signal::try_from(signal.number()).or_fail_on(what, signal.to_string())?;
    nix::sys::prctl::set_pdeathsig(number).or_fail(what)?;
    if nix::unistd::getppid() != parent {
        return Err(Error::new("the parent of this process is gone"));
    }
    Ok(())
}
