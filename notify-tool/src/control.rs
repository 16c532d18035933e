//! The ancillary data of a datagram (cmsg(3), unix(7)): descriptors and the sender's process id.

use std::os::fd::RawFd;

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
/// `struct cmsghdr` on 64-bit Linux: length, level, type.
const HEADER: usize = 16;

/// What came beside the bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// Descriptors, which are the receiver's from now on.
    pub descriptors: Vec<RawFd>,
    /// The sender's process id, 0 if the receiver's PID namespace has none for it.
    pub sender: i32,
}

/// Reads what the kernel wrote into the first `length` bytes of `buffer`.
pub fn parse(buffer: &[u64], length: usize) -> Control {
    let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut rest = &bytes[..length.min(bytes.len())];
    let mut control = Control::default();
    while let Some((head, kind, data, next)) = first(rest) {
        match (head, kind) {
            (SOL_SOCKET, SCM_RIGHTS) => control.descriptors.extend(numbers(data)),
            (SOL_SOCKET, SCM_CREDENTIALS) => control.sender = numbers(data).next().unwrap_or(0),
            _ => {}
        }
        rest = next;
    }
    control
}

/// Level, type and data of the first entry, and what follows it.
fn first(bytes: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let size = usize::from_ne_bytes(bytes.get(..8)?.try_into().ok()?);
    let mut kinds = numbers(bytes.get(8..HEADER)?);
    let data = bytes.get(HEADER..size)?;
    let next = bytes.get(size.next_multiple_of(8)..).unwrap_or_default();
    Some((kinds.next()?, kinds.next()?, data, next))
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.chunks_exact(4).filter_map(|four| Some(i32::from_ne_bytes(four.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: i32, data: &[i32]) -> Vec<u8> {
        let mut bytes = (HEADER + data.len() * 4).to_ne_bytes().to_vec();
        for number in [SOL_SOCKET, kind].iter().chain(data) {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn words(bytes: &[u8]) -> Vec<u64> {
        let eight = |eight: &[u8]| u64::from_ne_bytes(eight.try_into().unwrap());
        bytes.chunks(8).map(eight).collect()
    }

    #[test]
    fn descriptors_and_sender() {
        let mut bytes = entry(SCM_CREDENTIALS, &[42, 0, 0]);
        bytes.extend(entry(SCM_RIGHTS, &[5, 6, 7]));
        let expected = Control { descriptors: vec![5, 6, 7], sender: 42 };
        assert_eq!(parse(&words(&bytes), bytes.len()), expected);
    }

    #[test]
    fn nothing_beyond_what_is_there() {
        let bytes = entry(SCM_RIGHTS, &[5, 6]);
        for length in 0..HEADER + 8 {
            assert_eq!(parse(&words(&bytes), length), Control::default());
        }
        assert_eq!(parse(&[0; 4], 32), Control::default());
        assert_eq!(parse(&[u64::MAX; 4], 32), Control::default());
    }
}
