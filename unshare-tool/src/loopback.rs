//! The loopback interface of a new network namespace, brought up by rtnetlink(7).

use chain::{Errno, Error, Result, ResultExt};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

const RTM_NEWLINK: u16 = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST_ACK: u16 = 1 | 4;
const IFF_UP: u32 = 1;
/// The loopback interface is the first of every network namespace.
const LOOPBACK_INDEX: u32 = 1;
/// struct nlmsghdr and struct ifinfomsg.
const LENGTH: u32 = 16 + 16;

/// Brings it up.
pub fn bring_up() -> Result<()> {
    let what = "can't bring the loopback interface up";
    let kind = (AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC);
    let socket = socket_with(kind.0, kind.1, kind.2, None).or_fail(what)?;
    send(&socket, &request(), SendFlags::empty()).or_fail(what)?;
    let mut answer = [0; 256];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty()).or_fail(what)?;
    match error_code(&answer[..length]) {
        Some(0) => Ok(()),
        Some(code) => Err(Error::new(what).because(Errno::from_raw(-code))),
        None => Err(Error::new(what).reason("the kernel's answer is no acknowledgement")),
    }
}

fn request() -> Vec<u8> {
    let sequence = 1_u32;
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(RTM_NEWLINK.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // Port id of the sender: the kernel fills it in. Then family and type: unspecified.
    bytes.extend([0; 4 + 4]);
    bytes.extend(LOOPBACK_INDEX.to_ne_bytes());
    bytes.extend(IFF_UP.to_ne_bytes());
    bytes.extend(IFF_UP.to_ne_bytes());
    bytes
}

/// The code in a message of type NLMSG_ERROR: 0, or a negative errno.
fn error_code(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let code = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_has_the_length_it_states() {
        assert_eq!(request().len(), LENGTH as usize);
    }

    #[test]
    fn a_short_answer_is_none() {
        assert_eq!(error_code(&[0; 10]), None);
    }
}
