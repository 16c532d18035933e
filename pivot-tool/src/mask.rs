//! Files of procfs and sysfs that tell or change too much about the host.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use chain::{Error, Result, ResultExt};
use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, openat};

use crate::mount::{Mount, NOEXEC, RDONLY, SAFE, Setting, attach_failed};
use crate::{device, place};

/// Hidden below /proc.
pub const PROC_HIDDEN: &[&str] = &[
    "acpi",
    "asound",
    "interrupts",
    "kallsyms",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];
/// Read-only below /proc.
pub const PROC_READ_ONLY: &[&str] = &["bus", "fs", "irq", "sys", "sysrq-trigger"];
/// Hidden below /sys.
pub const SYS_HIDDEN: &[&str] = &["firmware", "fs/selinux", "devices/virtual/powercap"];
const CPUS: &str = "devices/system/cpu";

/// What covers the hidden.
#[derive(Debug)]
pub struct Masks {
    null: OwnedFd,
    /// An empty folder, once it is mounted somewhere: each further one is a copy.
    empty: Option<Mount>,
}

impl Masks {
    /// Opens the host's null device, after checking that it is one.
    pub fn new() -> Result<Self> {
        Ok(Masks { null: device::open(device::NULL)?, empty: None })
    }

    /// Hides what exists of `names` below `top`.
    pub fn hide_all(&mut self, top: &Mount, names: &[impl AsRef<Path>]) -> Result<()> {
        for name in names {
            if let Some(place) = existing(top.as_fd(), name.as_ref())? {
                self.hide(place, name.as_ref())?;
            }
        }
        Ok(())
    }

    /// Hides `place`.
    pub fn hide(&mut self, place: OwnedFd, name: &Path) -> Result<()> {
        let failed = |errno| attach_failed("can't hide", name, errno);
        let mode = fstat(&place).or_fail_on("can't examine", name)?.st_mode;
        if FileType::from_raw_mode(mode) != FileType::Directory {
            return device::mount(&self.null)?.attach(place).map_err(failed);
        }
        if let Some(empty) = &self.empty {
            return Mount::copy_of(empty, false)
                .and_then(|copy| copy.attach(place))
                .map_err(failed);
        }
        let settings = [Setting::Value("mode", "0555"), Setting::Value("size", "4k")];
        let empty = Mount::new("tmpfs", &settings, SAFE | NOEXEC | RDONLY)?;
        empty.attach(place).map_err(failed)?;
        self.empty = Some(empty);
        Ok(())
    }
}

/// Makes what exists of `names` below `top` read-only.
pub fn make_all_read_only(top: &Mount, names: &[impl AsRef<Path>]) -> Result<()> {
    for name in names {
        if let Some(place) = existing(top.as_fd(), name.as_ref())? {
            make_read_only(place, name.as_ref())?;
        }
    }
    Ok(())
}

/// Makes `place` read-only, all that is mounted there included.
pub fn make_read_only(place: OwnedFd, name: &Path) -> Result<()> {
    let failed = |errno| attach_failed("can't make read-only", name, errno);
    let copy = Mount::copy_of(&place, true).map_err(failed)?;
    copy.restrict(RDONLY)?;
    copy.attach(place).map_err(failed)
}

/// The folders of sysfs whose counters tell what the host's other work does (CVE-2025-31133's
/// list): one a processor.
pub fn thermal_throttle(sys: BorrowedFd<'_>) -> Result<Vec<PathBuf>> {
    let what = "can't list";
    let Some(cpus) = existing(sys, Path::new(CPUS))? else {
        return Ok(Vec::new());
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listing = openat(cpus, ".", flags, Mode::empty()).or_fail_on(what, CPUS)?;
    let mut folders = Vec::new();
    for entry in Dir::new(listing).or_fail_on(what, CPUS)? {
        let entry = entry.or_fail_on(what, CPUS)?;
        let name = entry.file_name().to_string_lossy();
        let number = name.strip_prefix("cpu").unwrap_or_default();
        if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            folders.push(Path::new(CPUS).join(&*name).join("thermal_throttle"));
        }
    }
    Ok(folders)
}

fn existing(top: BorrowedFd<'_>, name: &Path) -> Result<Option<OwnedFd>> {
    match place::open_plain(top, name, OFlags::PATH) {
        Ok(place) => Ok(Some(place)),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(errno) => {
            let name: &OsStr = name.as_os_str();
            Err(Error::new("can't look up").object(name).because(errno))
        }
    }
}
