//! The descriptors that the next link and the app inherit.

use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};

use super::Next;
use crate::descriptors;
use crate::error::{Error, Result, ResultExt};
use crate::sys;
use crate::terminal::Terminal;
use crate::toolbox::Toolbox;

impl Next {
    /// Lets the app inherit `fds` under the numbers from `first` on, in that order. Our own
    /// descriptors make room; the caller must own no other of those numbers.
    pub fn give(&mut self, first: RawFd, fds: Vec<OwnedFd>) -> Result<()> {
        let numbers = self.place(first, fds)?;
        self.keep.extend(numbers);
        Ok(())
    }

    /// Hands on sockets with their names as systemd does (sd_listen_fds(3)), after those that this
    /// process was itself handed. The caller must own no other descriptor of the numbers from 3 on.
    pub fn listen(&mut self, names: &[String], sockets: Vec<OwnedFd>) -> Result<()> {
        let given = self.listen.len();
        let mut all: Vec<String> = match self.environment.get("LISTEN_FDNAMES") {
            Some(list) if given > 0 => list.to_string_lossy().split(':').map(Into::into).collect(),
            _ => Vec::new(),
        };
        all.resize(given, "unknown".to_owned());
        all.extend_from_slice(names);
        let numbers = self.place(descriptors::LISTEN_FDS_START + given as RawFd, sockets)?;
        self.listen.extend(numbers);
        self.environment.set("LISTEN_FDS", self.listen.len().to_string());
        self.environment.set("LISTEN_FDNAMES", all.join(":"));
        self.environment.set("LISTEN_PID", std::process::id().to_string());
        self.environment.remove("LISTEN_PIDFDID");
        Ok(())
    }

    fn place(&mut self, first: RawFd, fds: Vec<OwnedFd>) -> Result<Range<RawFd>> {
        let what = "can't hand on descriptor";
        let numbers = first..first + fds.len() as RawFd;
        for number in numbers.clone() {
            if self.keep.contains(&number) || self.listen.contains(&number) {
                let error = Error::new(what).object(number.to_string());
                return Err(error.reason("another one has that number already"));
            }
        }
        let above = |fd: &OwnedFd| -> Result<OwnedFd> {
            let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(numbers.end)).or_fail(what)?;
            sys::adopt(number).or_fail(what)
        };
        let toolbox = match &mut self.toolbox {
            Toolbox::Detached(folder) => Some(folder),
            Toolbox::BesideThis => None,
        };
        let terminal = self.terminal.as_mut().map(Terminal::descriptor);
        for own in self.leash.iter_mut().chain(toolbox).chain(terminal) {
            *own = above(own)?;
        }
        let moved: Vec<OwnedFd> = fds.iter().map(above).collect::<Result<_>>()?;
        drop(fds);
        for (fd, number) in moved.into_iter().zip(numbers.clone()) {
            sys::place(fd, number).or_fail_on(what, number.to_string())?;
        }
        Ok(numbers)
    }

    /// Takes descriptor `number`, which the command line names, for this link: the app doesn't
    /// get it.
    pub fn take(&mut self, number: RawFd) -> Result<OwnedFd> {
        let leash = self.leash.as_ref().map(AsRawFd::as_raw_fd);
        let terminal = self.terminal.as_ref().map(Terminal::number);
        let taken = [leash, self.toolbox.descriptor(), terminal].contains(&Some(number));
        if number < 3 || taken || self.listen.contains(&number) {
            return Err(Error::new("can't use descriptor")
                .object(number.to_string())
                .reason("it has another use in this chain"));
        }
        self.keep.retain(|kept| *kept != number);
        sys::adopt(number).or_fail_on("can't use descriptor", number.to_string())
    }

    /// Fails if a folder is among what `--keep-fd` names: from here on nobody may have one.
    pub fn refuse_folders(&self) -> Result<()> {
        self.keep.iter().try_for_each(|fd| descriptors::check_kept(*fd, false))
    }

    /// All descriptors that are the child's and not its monitor's, once the toolbox is closed.
    /// Standard error stays for messages.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let own = [
            self.leash.as_ref().map(AsRawFd::as_raw_fd),
            self.terminal.as_ref().map(Terminal::number),
        ];
        let given = [0, 1].iter().chain(&self.keep).chain(&self.listen).copied();
        own.into_iter().flatten().chain(given).collect()
    }

    /// In the monitor after the fork: drops what is the child's. Standard error stays for messages.
    pub(crate) fn abandon(self) {
        for fd in [0, 1].iter().chain(&self.keep).chain(&self.listen) {
            // They may be one and the same, or closed: nothing to do about either.
            drop(sys::adopt(*fd));
        }
    }
}
