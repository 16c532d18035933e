//! What a PID 1 that calls reboot(2) comes to: a system as the app is switched off, not killed.

use chain::Status;
use chain::signal::Signal;

/// The container asks to be started again: systemd-nspawn(1)'s status for it, so that a unit's
/// `RestartForceExitStatus=133` does that.
const START_AGAIN: u8 = 133;

/// How a PID namespace whose PID 1 ended like this is seen from outside.
///
/// In there reboot(2) ends PID 1 with SIGINT for a halt or a power-off, and with SIGHUP for a
/// restart (pid_namespaces(7)). Nothing else does: the kernel keeps signals for which it has no
/// handler from a PID 1, other than KILL, STOP and those for faults of its own.
pub fn seen_outside(status: Status) -> Status {
    match status {
        Status::Signaled(Signal::INT) => Status::Exited(0),
        Status::Signaled(Signal::HUP) => Status::Exited(START_AGAIN),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_deaths_are_what_they_are() {
        for status in [Status::Exited(0), Status::Exited(133), Status::Signaled(Signal::KILL)] {
            assert_eq!(seen_outside(status), status);
        }
    }
}
