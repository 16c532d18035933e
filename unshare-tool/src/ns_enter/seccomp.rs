//! Which seccomp filters COMMAND gets.

use chain::{Errno, Error, Next, Result, ResultExt, sys};
use confine::seccomp::{CapabilitySet, Choice, Filters, Source};

/// What the command line says of them.
#[derive(Debug, clap::Args)]
pub(super) struct SeccompArgs {
    /// Take this filter in place of the container's: default, or a profile in OCI or Moby form
    #[arg(long, value_name = "PROFILE", conflicts_with_all = ["no_seccomp", "privileged"])]
    seccomp: Option<Choice>,
    /// Take this compiled filter, as priv-drop does
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_seccomp", "privileged"])]
    seccomp_bpf: Option<Source>,
    /// Run COMMAND without the seccomp filter that the container has
    #[arg(long)]
    no_seccomp: bool,
}

impl SeccompArgs {
    /// In words.
    pub(super) fn summary(&self) -> &'static str {
        match (&self.seccomp, &self.seccomp_bpf) {
            _ if self.no_seccomp => "no seccomp filter",
            (None, None) => "its seccomp filters",
            _ => "the seccomp filter that is named, not its own",
        }
    }

    /// Those for COMMAND, which is to have the capabilities `left`, where process `pid` has the
    /// seccomp mode `mode` (/proc/PID/status).
    pub(super) fn filters(
        &self,
        pid: i32,
        mode: &str,
        left: CapabilitySet,
        next: &mut Next,
    ) -> Result<Filters> {
        let mut filters = Filters::default();
        if let Some(choice) = &self.seccomp {
            filters.add_profile(choice, left, next)?;
        }
        if let Some(source) = &self.seccomp_bpf {
            filters.add_compiled(source, next)?;
        }
        let is_chosen = self.no_seccomp || self.seccomp.is_some() || self.seccomp_bpf.is_some();
        if !is_chosen && mode != "0" {
            for (program, flags) in copies(pid)? {
                filters.add_copy(program, flags)?;
            }
        }
        Ok(filters)
    }
}

/// The kernel shows filters to the host's root alone, lest they be evaded.
fn copies(pid: i32) -> Result<Vec<sys::SeccompFilter>> {
    let what = "can't copy the seccomp filter of the container's process";
    let hint = "--seccomp default or --seccomp FILE asks for the profile anew, --no-seccomp does \
                without; the host's root can copy it, where it is under no filter itself";
    let traced = "is another process tracing it? --seccomp PROFILE needs no copy";
    let copies = sys::seccomp_filters(pid).or_fail_on(what, pid.to_string()).map_err(|error| {
        let is_root = nix::unistd::Uid::effective().is_root();
        match error.errno() {
            Some(Errno::EPERM) if is_root => error.hint(traced),
            _ => error.hint(hint),
        }
    })?;
    match copies.is_empty() {
        // SECCOMP_MODE_STRICT, under which no program can be started.
        true => Err(Error::new(what).object(pid.to_string()).reason("it has none").hint(hint)),
        false => Ok(copies),
    }
}
