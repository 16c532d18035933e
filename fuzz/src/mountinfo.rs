//! A path comes out of mountinfo as it went in, whatever bytes it has; and no text, which an image
//! can't write but a kernel may write anew, ends the program.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chain::mountinfo::{below, parse};

/// As the kernel writes a path (seq_path(9) with " \t\n\\").
fn escape(path: &[u8]) -> Vec<u8> {
    let escaped = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![*byte],
    };
    path.iter().flat_map(escaped).collect()
}

/// The input as the file's text, and as a mount point in it.
pub fn check(input: &[u8]) {
    for mount in parse(input).unwrap_or_default() {
        assert!(mount.options.iter().all(|option| mount.has(option)));
    }
    let point = [b"/", input].concat();
    let line =
        [b"36 35 98:0 / ", &*escape(&point), b" rw,nosuid master:1 - ext3 /dev/x ro\n"].concat();
    let mounts = parse(&line).expect("a line as the kernel writes it");
    let [mount] = &mounts[..] else { panic!("{} mounts in one line", mounts.len()) };
    assert_eq!(mount.point, Path::new(OsStr::from_bytes(&point)));
    assert!(mount.has("nosuid") && mount.has("ro") && !mount.has("master:1"));
    assert!(below(&mounts, Path::new("/")).len() <= 1);
}
