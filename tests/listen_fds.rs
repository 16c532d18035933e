//! listen-fds.
