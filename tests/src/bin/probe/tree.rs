//! Being a process tree.

use catena_tests::process_trees::{End, Node};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, raise, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, getpid, pause, setsid};

use crate::act::child;

/// Does what the app does that `seed` stands for.
pub fn grow(seed: u64) -> i32 {
    live(&Node::app(seed))
}

fn live(node: &Node) -> i32 {
    if node.new_session {
        // The app leads a session already.
        let _ = setsid();
    }
    if node.deaf {
        let term = SigSet::from(Signal::SIGTERM);
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&term), None).expect("sigprocmask");
    }
    let mut children = Vec::new();
    for next in &node.children {
        match child().expect("fork") {
            ForkResult::Child => std::process::exit(live(next)),
            ForkResult::Parent { child } => children.push(child),
        }
    }
    if node.pauses {
        children.push(pause_for_a_moment());
    }
    if node.waits {
        children.into_iter().for_each(|pid| _ = waitpid(pid, None));
    }
    match node.end {
        End::Exit(status) => status,
        End::Signal(number) => die(number),
        End::Never => hold(),
        End::Stop => {
            raise(Signal::SIGSTOP).expect("raise");
            hold()
        }
    }
}

/// Stops; a child sees that and continues this process.
fn pause_for_a_moment() -> Pid {
    let parent = getpid();
    let helper = match child().expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let is_stopped = || {
                let stat = std::fs::read_to_string(format!("/proc/{parent}/stat"));
                stat.is_ok_and(|stat| {
                    stat.rsplit_once(") ").is_some_and(|(_, s)| s.starts_with('T'))
                })
            };
            while !is_stopped() {
                std::thread::yield_now();
            }
            kill(parent, Signal::SIGCONT).expect("kill");
            std::process::exit(0)
        }
    };
    raise(Signal::SIGSTOP).expect("raise");
    helper
}

fn die(number: i32) -> i32 {
    // SAFETY: both take integers; no core of a test is of any use.
    unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(number, libc::SIG_DFL);
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
        libc::kill(libc::getpid(), number);
    }
    97
}

fn hold() -> i32 {
    loop {
        pause();
    }
}
