//! System calls by name: the numbers that the kernel gave them on the machines we know.

/// The table, as a text: a fact each line.
const TABLE: &str = include_str!("syscalls.txt");

/// The machine this program is built for: the column of its numbers in the table.
#[cfg(target_arch = "x86_64")]
const COLUMN: usize = 1;
#[cfg(target_arch = "aarch64")]
const COLUMN: usize = 2;

/// What a name means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syscall {
    /// This machine's number of it.
    Number(u32),
    /// A system call that this machine doesn't have: another one's, or the 32-bit kind.
    NotHere,
}

/// What `name` means; `None` if the table has no such name.
pub fn named(name: &str) -> Option<Syscall> {
    let fields = rows().find(|fields| fields[0] == name)?;
    Some(fields[COLUMN].parse().map_or(Syscall::NotHere, Syscall::Number))
}

/// The name of a number here.
pub fn name_of(number: u32) -> Option<&'static str> {
    let text = number.to_string();
    rows().find(|fields| fields[COLUMN] == text).map(|fields| fields[0])
}

fn rows() -> impl Iterator<Item = [&'static str; 3]> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut words = line.split(' ');
        Some([words.next()?, words.next()?, words.next()?])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_well_formed() {
        for column in [1, 2] {
            let texts: Vec<_> = rows().map(|f| f[column]).filter(|text| *text != "-").collect();
            let numbers: BTreeSet<u32> = texts.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(numbers.len(), texts.len(), "a number stands twice in column {column}");
            assert!(numbers.iter().all(|number| *number < 1000));
        }
        let names: BTreeSet<_> = rows().map(|f| f[0]).collect();
        assert_eq!(names.len(), rows().count(), "a name stands twice");
        assert_eq!(TABLE.lines().count(), rows().count() + 1);
    }

    #[test]
    fn the_table_agrees_with_libc() {
        for (name, number) in [
            ("read", libc::SYS_read),
            ("clone", libc::SYS_clone),
            ("execve", libc::SYS_execve),
            ("newfstatat", libc::SYS_newfstatat),
            ("io_pgetevents", 333 - 41 * i64::from(cfg!(target_arch = "aarch64"))),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("mseal", libc::SYS_mseal),
        ] {
            assert_eq!(named(name), Some(Syscall::Number(number as u32)), "{name}");
            assert_eq!(name_of(number as u32), Some(name));
        }
        assert_eq!(named("nonsense"), None);
    }

    #[cfg(target_arch = "aarch64")]
    #[test]
    fn what_is_not_here() {
        assert_eq!(named("open"), Some(Syscall::NotHere));
    }
}
