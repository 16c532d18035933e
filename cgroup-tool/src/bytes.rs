//! Reading the kernel's small files: one read(2) where one suffices. (std::fs::File would ask for
//! the size and the offset first, and read once more at the end; cg-stat reads thousands.)

use std::os::fd::AsFd;

use rustix::io::{Errno, read, retry_on_intr};

/// The whole of a file of cgroupfs or procfs.
pub fn all(fd: impl AsFd) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = retry_on_intr(|| read(&fd, &mut buffer))?;
        bytes.extend_from_slice(&buffer[..length]);
        // These file systems stop before the end only where the next line doesn't fit in.
        if length < buffer.len() / 2 {
            return Ok(bytes);
        }
    }
}
