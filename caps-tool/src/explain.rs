//! `priv-drop --explain`.

use chain::explain::{IDS, ROOT, word};
use chain::{Error, Explanation, Result};
use rustix::thread::CapabilitySet;

use crate::rlimit::Limit;
use crate::seccomp::Choice;
use crate::settings::Keyring;
use crate::user::{Name, User};
use crate::{PrivDrop, capability};

impl PrivDrop {
    pub(crate) fn say(&self, to: &mut Explanation) -> Result<()> {
        let left = self.capabilities_left(to)?;
        for limit in self.limits() {
            to.step(format!("sets the limit {limit}"));
        }
        if let Some(nice) = self.nice {
            to.step(format!("sets the nice value {nice}"));
        }
        if let Some(score) = self.oom_score_adj {
            to.step(format!("writes {score} to /proc/self/oom_score_adj"));
        }
        if let Some(umask) = self.umask {
            to.step(format!("sets the file mode creation mask {umask}"));
        }
        if self.fix_stdio {
            to.step(
                "gives standard input, output and error to the user below, unless they are devices",
            );
        }
        let names = capability::names(left);
        let names = if names.is_empty() { "none".to_owned() } else { names };
        to.step(format!("drops all capabilities from the bounding set, for good, but: {names}"));
        self.say_ids(to)?;
        to.step(format!("drops all capabilities but: {names}"));
        if let Some(bits) = &self.securebits {
            to.step(format!("sets the secure bits {bits}"));
        }
        to.step("sets no_new_privs: no program that is executed from here on gains privileges");
        if self.keyring == Keyring::New {
            to.step("makes a new session keyring: the caller's keys can't be read");
        }
        for (name, label) in
            [("AppArmor profile", &self.apparmor), ("SELinux context", &self.selinux)]
        {
            if let Some(label) = label {
                to.step(format!("asks for the {name} {} from the next exec on", word(label)));
            }
        }
        self.landlock.say(to);
        self.say_filters(to);
        if self.report {
            to.step("says on standard error what the app may still do");
        }
        Ok(())
    }

    /// In a user namespace of the chain's own all are held.
    fn capabilities_left(&self, to: &Explanation) -> Result<CapabilitySet> {
        match to.is_changed("user") {
            true => {
                self.caps.of(CapabilitySet::all()).map_err(|_| Error::new("no such capability"))
            }
            false => self.left(),
        }
    }

    fn say_ids(&self, to: &mut Explanation) -> Result<()> {
        if !self.keep_groups {
            let groups: Vec<String> = self.groups.iter().map(Name::to_string).collect();
            let list = if groups.is_empty() { "none".to_owned() } else { groups.join(" ") };
            to.step(format!("sets the supplementary groups: {list}"));
        }
        let Some(user) = &self.user else { return Ok(()) };
        if to.is_changed(ROOT) {
            to.step(format!(
                "becomes user and group {user}, by /etc/passwd and /etc/group of the new root"
            ));
        } else {
            let (uid, gid) = User::resolve(user)?;
            to.step(format!("becomes user {uid} and group {gid}"));
        }
        to.change(IDS);
        Ok(())
    }

    fn say_filters(&self, to: &mut Explanation) {
        match self.choice() {
            Choice::Default => to.step("loads the default seccomp filter: system calls that containers have no use for fail"),
            Choice::None => {}
            Choice::File(source) => to.step(format!("loads the seccomp profile {}", word(source.to_string()))),
        }
        if let Some(source) = &self.seccomp_bpf {
            to.step(format!("loads the compiled seccomp filter {}", word(source.to_string())));
        }
        if self.no_nested_userns {
            to.step("loads a seccomp filter against user namespaces, which 32-bit programs can't run below");
        }
        if self.seccomp_log {
            to.step("lets the kernel's log tell of what the filters refuse");
        }
    }

    /// All limits that are set, the one that no core is dumped among them unless it is named.
    pub(crate) fn limits(&self) -> impl Iterator<Item = &Limit> {
        let named_core = self.rlimit.iter().any(|limit| limit.is_about(&Limit::NO_CORE));
        let default = (!named_core).then_some(&Limit::NO_CORE);
        default.into_iter().chain(&self.rlimit)
    }
}
