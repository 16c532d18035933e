//! `ns-enter --explain`. The container isn't looked at: what it looks like may not be this user's to see.

use chain::Explanation;
use chain::explain::word;

use super::NsEnter;
use crate::namespaces::Kind;

impl NsEnter {
    pub(super) fn say(&self, to: &mut Explanation) {
        let asked = self.kinds();
        to.step(format!(
            "finds the process of {}, and holds on to it by a pidfd",
            word(&self.target)
        ));
        to.step("becomes not dumpable: nobody in the container can look into this process");
        if (asked.is_empty() || self.cgroup) && !self.no_cgroup {
            to.step("moves into the container's cgroup: its limits count");
        }
        let names: Vec<&str> = asked.iter().copied().map(Kind::name).collect();
        to.step(match asked.is_empty() {
            true => "joins those of its namespaces that differ from the present ones".to_owned(),
            false => format!("joins its namespaces: {}", names.join(" ")),
        });
        let has = |kind| asked.is_empty() || asked.contains(&kind);
        if has(Kind::Pid) {
            to.step("stays as the monitor of the app: forwards signals, ends with its status");
        }
        if has(Kind::Mount) {
            to.step("makes the container's root its root");
            to.change(chain::explain::ROOT);
        }
        if let Some(folder) = &self.toolbox {
            to.step(format!(
                "shows the programs of {} to the app alone, first in PATH",
                word(folder)
            ));
        }
        if has(Kind::Mount) || has(Kind::Pid) || has(Kind::User) {
            to.step(match self.privileged {
                true => "keeps all privileges that the joined namespaces give, as root inside".to_owned(),
                false => format!(
                    "takes on the ids, capabilities, no_new_privs and labels of its process, and {}",
                    self.seccomp.summary()
                ),
            });
        }
        if self.new_session {
            to.step("starts the app in a new session");
        }
        if let Some(folder) = &self.chdir {
            to.step(format!("starts it in {} of the container", word(folder)));
        }
        to.precede_app();
    }
}
