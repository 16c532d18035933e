//! How long a message of sd_notify(3) takes to the service manager, with and without a bridge on
//! the way.

use std::io::{Error, Result};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::measure::now;
use crate::place::Place;
use crate::report;
use crate::stats::Summary;

/// The pause between two messages.
const PAUSE: Duration = Duration::from_micros(300);

/// Has a process send `count` messages to this one, first straight, then by notify-bridge.
pub fn measure(place: &Place, count: usize) -> Result<Value> {
    let path = place.folder().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let bench = std::env::current_exe()?;
    let bridge = place.tool("notify-bridge");
    let mut rows = Vec::new();
    for (name, before) in [("straight", None), ("by notify-bridge", Some(&bridge))] {
        let mut command = Command::new(before.unwrap_or(&bench));
        if before.is_some() {
            command.arg("--").arg(&bench);
        }
        command.arg("--send").arg(count.to_string());
        let mut child = command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).spawn()?;
        let mut times = Vec::with_capacity(count);
        while times.len() < count {
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer)?;
            let ended = now();
            let text = String::from_utf8_lossy(&buffer[..length]);
            let sent = text.lines().find_map(|line| line.strip_prefix("STATUS=")?.parse().ok());
            times.extend(sent.map(|sent: f64| ended - sent));
        }
        // The bridge asks in the end whether all has arrived (BARRIER=1): with the message the
        // descriptor in it is closed, which is the answer.
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        while child.try_wait()?.is_none() {
            let _ = socket.recv(&mut [0; 4096]);
        }
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        rows.push((name.to_owned(), Summary::of(times)));
    }
    std::fs::remove_file(&path)?;
    Ok(report::summaries_to_json("a message of sd_notify(3) to the service manager", &rows))
}

/// The other side: sends the time, `count` times.
pub fn send(count: usize) -> Result<()> {
    let path = std::env::var_os("NOTIFY_SOCKET").ok_or_else(|| Error::other("no NOTIFY_SOCKET"))?;
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    for _ in 0..count {
        std::thread::sleep(PAUSE);
        socket.send(format!("STATUS={}", now()).as_bytes())?;
    }
    Ok(())
}
