//! The values of the options that mount something.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use chain::{Error, Result};
use rustix::mount::MountAttrFlags;

use crate::idmap::{self, Range};
use crate::mount::{NOEXEC, RDONLY, SAFE};

/// Something to do in the new root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extra {
    /// Show a file or folder of the host.
    Bind {
        /// Where it is on the host.
        source: PathBuf,
        /// Where it goes.
        place: PathBuf,
        /// What may not be done there.
        attributes: MountAttrFlags,
        /// With all that is mounted below it.
        recursive: bool,
        /// Other owners than it has.
        idmap: Vec<Range>,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Where it goes.
        place: PathBuf,
        /// What may not be done there.
        attributes: MountAttrFlags,
        /// Settings of tmpfs(5): name and value.
        settings: Vec<(String, String)>,
    },
    /// The message queues of the IPC namespace.
    Mqueue(PathBuf),
    /// A device of the host, at the same place.
    Device(PathBuf),
    /// A mount that a descriptor holds.
    Descriptor {
        /// The descriptor.
        fd: RawFd,
        /// Where it goes.
        place: PathBuf,
    },
    /// A copy of a file of the host.
    Copy {
        /// Where it is on the host.
        source: PathBuf,
        /// Where it goes.
        place: PathBuf,
    },
    /// Hide what is there.
    Mask(PathBuf),
    /// Make it read-only.
    ReadOnly(PathBuf),
}

impl Extra {
    /// Where something is mounted that needs a mountpoint.
    pub fn place(&self) -> Option<&Path> {
        match self {
            Extra::Bind { place, .. }
            | Extra::Tmpfs { place, .. }
            | Extra::Mqueue(place)
            | Extra::Device(place)
            | Extra::Descriptor { place, .. }
            | Extra::Copy { place, .. } => Some(place),
            Extra::Mask(_) | Extra::ReadOnly(_) => None,
        }
    }
}

/// `SRC:DST[:OPTS]`.
pub fn bind(text: &OsStr, mut attributes: MountAttrFlags) -> Result<Extra> {
    let fields = split(text);
    let (source, place, options) = match fields.as_slice() {
        [source, place] => (source, place, None),
        [source, place, options] => (source, place, Some(options)),
        _ => return Err(Error::new("not SRC:DST[:OPTS] ('\\:' is a colon in a name)")),
    };
    if source.is_empty() {
        return Err(Error::new("SRC is empty"));
    }
    let mut recursive = true;
    let mut idmap = Vec::new();
    for option in options.map(words).transpose()?.into_iter().flatten() {
        match option.as_str() {
            "ro" => attributes |= RDONLY,
            "noexec" => attributes |= NOEXEC,
            "nosuid" => attributes |= MountAttrFlags::MOUNT_ATTR_NOSUID,
            "nodev" => attributes |= MountAttrFlags::MOUNT_ATTR_NODEV,
            "suid" => attributes -= MountAttrFlags::MOUNT_ATTR_NOSUID,
            "dev" => attributes -= MountAttrFlags::MOUNT_ATTR_NODEV,
            "rec" => recursive = true,
            "norec" => recursive = false,
            _ => match option.strip_prefix("idmap=") {
                Some(ranges) => idmap = idmap::parse(ranges)?,
                None => return Err(unknown(&option)),
            },
        }
    }
    let (source, place) = (PathBuf::from(source), destination(place)?);
    Ok(Extra::Bind { source, place, attributes, recursive, idmap })
}

/// `DST[:OPTS]`.
pub fn tmpfs(text: &OsStr) -> Result<Extra> {
    let fields = split(text);
    let (place, options) = match fields.as_slice() {
        [place] => (place, None),
        [place, options] => (place, Some(options)),
        _ => return Err(Error::new("not DST[:OPTS]")),
    };
    let mut attributes = SAFE;
    let mut settings = vec![("mode".to_owned(), "0755".to_owned())];
    for option in options.map(words).transpose()?.into_iter().flatten() {
        match option.split_once('=') {
            Some((name @ ("size" | "mode" | "nr_inodes"), value)) if !value.is_empty() => {
                settings.retain(|(old, _)| old != name);
                settings.push((name.to_owned(), value.to_owned()));
            }
            None if option == "ro" => attributes |= RDONLY,
            None if option == "noexec" => attributes |= NOEXEC,
            _ => return Err(unknown(&option)),
        }
    }
    let place = destination(place)?;
    Ok(Extra::Tmpfs { place, attributes, settings })
}

/// `SRC[:DST]`, DST being the same path unless it is said.
pub fn copy(text: &OsStr) -> Result<Extra> {
    let fields = split(text);
    let (source, place) = match fields.as_slice() {
        [source] => (source, source),
        [source, place] => (source, place),
        _ => return Err(Error::new("not FILE[:DST]")),
    };
    Ok(Extra::Copy { source: source.into(), place: destination(place)? })
}

/// `FD:DST`.
pub fn descriptor(text: &OsStr) -> Result<Extra> {
    let fields = split(text);
    let [fd, place] = fields.as_slice() else {
        return Err(Error::new("not FD:DST"));
    };
    let fd = fd.to_str().and_then(|fd| fd.parse().ok()).filter(|fd| *fd > 2);
    let fd = fd.ok_or_else(|| Error::new("FD is not a number above 2"))?;
    Ok(Extra::Descriptor { fd, place: destination(place)? })
}

/// A list of paths separated by colons.
pub fn paths(text: &OsStr) -> Result<Vec<PathBuf>> {
    let paths = split(text);
    if paths.iter().any(|path| path.is_empty()) {
        return Err(Error::new("a layer's name is empty").object(text));
    }
    Ok(paths.into_iter().map(PathBuf::from).collect())
}

/// A place in the new root, other than the root itself.
pub fn destination(place: &OsStr) -> Result<PathBuf> {
    let path = PathBuf::from(place);
    if !path.is_absolute() {
        return Err(Error::new("DST must begin with '/'"));
    }
    if path.components().count() < 2 {
        return Err(Error::new("DST can't be the root itself"));
    }
    Ok(path)
}

fn unknown(option: &str) -> Error {
    Error::new(format!("unknown option '{}'", option.escape_default()))
}

fn words(options: &OsString) -> Result<Vec<String>> {
    let text = options.to_str().ok_or_else(|| Error::new("OPTS is not UTF-8"))?;
    Ok(text.split(',').map(str::to_owned).collect())
}

/// Splits at colons; a backslash takes the special meaning off the byte after it.
fn split(text: &OsStr) -> Vec<OsString> {
    let mut fields = vec![Vec::new()];
    let mut bytes = text.as_bytes().iter().copied();
    while let Some(byte) = bytes.next() {
        let last = fields.last_mut().expect("there is always one");
        match byte {
            b':' => fields.push(Vec::new()),
            b'\\' => last.push(bytes.next().unwrap_or(b'\\')),
            _ => last.push(byte),
        }
    }
    fields.into_iter().map(OsString::from_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds() {
        let read = |text: &str| bind(text.as_ref(), SAFE);
        let Ok(Extra::Bind { source, place, attributes, recursive, .. }) =
            read(r"a\:b:/c:ro,dev,norec")
        else {
            panic!("refused");
        };
        assert_eq!((source, place), ("a:b".into(), "/c".into()));
        assert_eq!(attributes, MountAttrFlags::MOUNT_ATTR_NOSUID | RDONLY);
        assert!(!recursive);
        for text in ["", "a", "a:b", ":/b", "a:/", "a:/b:x", "a:/b:", "a:/b:ro:ro", "a:/.:ro"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tmpfs_settings() {
        let Ok(Extra::Tmpfs { settings, .. }) = tmpfs("/x:size=1M,mode=1777".as_ref()) else {
            panic!("refused");
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(settings, [pair("size", "1M"), pair("mode", "1777")]);
        for text in ["x", "/x:uid=0", "/x:size", "/x:size=", "/x:a:b"] {
            assert!(tmpfs(text.as_ref()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_backslash_at_the_end_is_itself() {
        assert_eq!(split(r"a\".as_ref()), [r"a\"]);
        assert_eq!(split(r"\\:".as_ref()), [r"\", ""]);
        assert!(paths("a::b".as_ref()).is_err());
    }
}
