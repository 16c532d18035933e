//! cg-signal: act on all that is in a cgroup.
#![forbid(unsafe_code)]

fn main() {
    chain::act::<cgroup_tool::cg_signal::CgSignal>()
}
