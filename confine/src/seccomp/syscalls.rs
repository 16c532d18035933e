//! System calls by name: the numbers that the kernel gave them on the machines we know.

/// The table, as a text: a fact each line, in the order of the names.
const TABLE: &str = include_str!("syscalls.txt");
/// Its head says what it is.
const COUNT: usize = count_lines(TABLE.as_bytes()) - 1;
/// The table as the compiler reads it, so that no program has to: a priv-drop asks for some 350
/// names at its start.
static ROWS: [(&str, Syscall); COUNT] = parse(TABLE.as_bytes());

/// The word of a line that has the numbers of the machine this program is built for.
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
    let index = ROWS.binary_search_by(|row| row.0.cmp(name)).ok()?;
    Some(ROWS[index].1)
}

/// The name of a number here.
pub fn name_of(number: u32) -> Option<&'static str> {
    ROWS.iter().find(|row| row.1 == Syscall::Number(number)).map(|row| row.0)
}

pub(super) const fn count_lines(text: &[u8]) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < text.len() {
        count += (text[at] == b'\n') as usize;
        at += 1;
    }
    count
}

const fn parse(text: &'static [u8]) -> [(&'static str, Syscall); COUNT] {
    let mut rows = [("", Syscall::NotHere); COUNT];
    let (_, mut rest) = cut(text, b'\n');
    let mut row = 0;
    while row < COUNT {
        let (line, after) = cut(rest, b'\n');
        let (name, mut numbers) = cut(line, b' ');
        let mut column = 1;
        while column < COLUMN {
            numbers = cut(numbers, b' ').1;
            column += 1;
        }
        let Ok(name) = std::str::from_utf8(name) else { panic!("a name is plain text") };
        rows[row] = (name, number(cut(numbers, b' ').0));
        rest = after;
        row += 1;
    }
    rows
}

/// What stands before the first `mark`, and what after it.
pub(super) const fn cut(text: &'static [u8], mark: u8) -> (&'static [u8], &'static [u8]) {
    let mut at = 0;
    while at < text.len() && text[at] != mark {
        at += 1;
    }
    let (before, after) = text.split_at(at);
    (before, if after.is_empty() { after } else { after.split_at(1).1 })
}

const fn number(digits: &[u8]) -> Syscall {
    if matches!(digits, b"-") { Syscall::NotHere } else { Syscall::Number(decimal(digits)) }
}

/// The value of a decimal number.
pub(super) const fn decimal(digits: &[u8]) -> u32 {
    let (mut number, mut at) = (0, 0);
    while at < digits.len() {
        assert!(digits[at].is_ascii_digit(), "a number is digits");
        number = number * 10 + (digits[at] - b'0') as u32;
        at += 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_well_formed() {
        assert!(ROWS.is_sorted_by(|a, b| a.0 < b.0), "not in order, or a name stands twice");
        let rows = TABLE.lines().skip(1).map(|line| line.split(' ').collect::<Vec<_>>());
        let rows: Vec<_> = rows.collect();
        assert!(rows.iter().all(|row| row.len() == 3));
        for column in [1, 2] {
            let texts: Vec<_> =
                rows.iter().map(|f| f[column]).filter(|text| *text != "-").collect();
            let numbers: BTreeSet<u32> = texts.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(numbers.len(), texts.len(), "a number stands twice in column {column}");
            assert!(numbers.iter().all(|number| *number < 1000));
        }
        let read: Vec<_> = ROWS.iter().map(|row| row.0).collect();
        assert_eq!(read, rows.iter().map(|row| row[0]).collect::<Vec<_>>());
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
