//! A mountpoint is an absolute path below the root, and no option takes away what another asked for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use pivot_tool::idmap;
use pivot_tool::spec::{self, Extra};
use rustix::mount::MountAttrFlags;

/// One option's value.
pub fn check(input: &[u8]) {
    let value = OsStr::from_bytes(input);
    let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    for extra in [
        spec::bind(value, safe | read_only),
        spec::bind(value, safe),
        spec::tmpfs(value),
        spec::copy(value),
        spec::descriptor(value),
    ]
    .into_iter()
    .flatten()
    {
        let place = extra.place().expect("each of these has one");
        assert!(place.is_absolute() && place.components().count() > 1, "{place:?}");
        match extra {
            Extra::Tmpfs { attributes, settings, .. } => {
                assert!(attributes.contains(safe));
                for (name, value) in settings {
                    assert!(["size", "mode", "nr_inodes"].contains(&&*name) && !value.is_empty());
                    assert!(!value.contains(','), "{value:?} would be two settings");
                }
            }
            Extra::Descriptor { fd, .. } => assert!(fd > 2),
            Extra::Bind { source, .. } => assert!(!source.as_os_str().is_empty()),
            _ => {}
        }
    }
    // Read-only once asked for is read-only, whatever else the options say.
    if let Ok(Extra::Bind { attributes, .. }) = spec::bind(value, safe | read_only) {
        assert!(attributes.contains(read_only));
    }
    for path in spec::paths(value).unwrap_or_default() {
        assert!(!path.as_os_str().is_empty());
    }
    if let Some(text) = super::text(input)
        && idmap::parse(text).is_ok()
    {
        assert!(text.bytes().all(|byte| byte.is_ascii_digit() || b"+-".contains(&byte)));
    }
}
