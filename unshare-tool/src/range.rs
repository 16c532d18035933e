//! Ranges of ids as user_namespaces(7) maps them, and the files that grant them: pure functions.

use std::fmt::Write;
use std::str::FromStr;

use chain::accounts;

/// The kernel takes no more lines in a map (Linux 4.15).
const MOST_RANGES: usize = 340;

/// One line of an id map: `count` ids from `inside` on are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first id in the new namespace.
    pub inside: u32,
    /// The first id in the namespace of the caller.
    pub outside: u32,
    /// How many ids, at least one.
    pub count: u32,
}

impl Range {
    /// One id.
    pub fn single(inside: u32, outside: u32) -> Self {
        Range { inside, outside, count: 1 }
    }

    /// Whether `id` of the caller's namespace is mapped.
    pub fn holds(&self, id: u32) -> bool {
        id >= self.outside && id - self.outside < self.count
    }
}

/// Takes `IN:OUT:N`.
impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not IN:OUT:N, three numbers");
        let fields: Vec<&str> = text.split(':').collect();
        let [inside, outside, count] = fields[..] else { return Err(wrong()) };
        let number = |field| accounts::id(field).ok_or_else(wrong);
        let range =
            Range { inside: number(inside)?, outside: number(outside)?, count: number(count)? };
        let ends = |first: u32| first.checked_add(range.count).is_some();
        if range.count == 0 || !ends(range.inside) || !ends(range.outside) {
            return Err(format!("'{text}' is empty or goes beyond the last id"));
        }
        Ok(range)
    }
}

/// Refuses a map that the kernel would refuse with EINVAL, and says why.
pub fn check(map: &[Range]) -> Result<(), String> {
    if map.len() > MOST_RANGES {
        return Err(format!("more than {MOST_RANGES} ranges"));
    }
    for (index, a) in map.iter().enumerate() {
        for b in &map[index + 1..] {
            let overlaps = |x: u32, y: u32| x < y + b.count && y < x + a.count;
            if overlaps(a.inside, b.inside) || overlaps(a.outside, b.outside) {
                return Err(format!("'{}' and '{}' overlap", print(a), print(b)));
            }
        }
    }
    Ok(())
}

fn print(range: &Range) -> String {
    format!("{}:{}:{}", range.inside, range.outside, range.count)
}

/// The map in the form that uid_map and gid_map take.
pub fn to_map_file(map: &[Range]) -> String {
    map.iter().fold(String::new(), |mut text, range| {
        writeln!(text, "{} {} {}", range.inside, range.outside, range.count)
            .expect("a String takes all");
        text
    })
}

/// The identity of every id that exists in a namespace whose own map file this is.
pub fn identity(map_file: &str) -> Option<Vec<Range>> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let (Some(Ok(inside)), Some(Ok(_)), Some(Ok(count)), None) = (
            numbers.next(),
            numbers.next().map(|n: Result<u32, _>| n),
            numbers.next(),
            numbers.next(),
        ) else {
            return None;
        };
        Some(Range { inside, outside: inside, count })
    };
    map_file.lines().map(line).collect()
}

/// The ranges that a text in the form of subuid(5) grants to `names`: a login name, an id.
pub fn granted(text: &str, names: &[&str]) -> Vec<(u32, u32)> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [name, first, count] = fields[..] else { return None };
        let (first, count) = (accounts::id(first)?, accounts::id(count)?);
        let fits = count > 0 && first.checked_add(count).is_some();
        (names.contains(&name) && fits).then_some((first, count))
    };
    text.lines().filter_map(line).collect()
}

/// `own` as 0, and the granted ranges one after the other from 1 on.
pub fn with_subordinates(own: u32, granted: &[(u32, u32)]) -> Result<Vec<Range>, String> {
    let mut map = vec![Range::single(0, own)];
    let mut inside = 1_u32;
    for &(outside, count) in granted {
        map.push(Range { inside, outside, count });
        inside = inside.checked_add(count).ok_or("more ids than there are")?;
    }
    check(&map).map(|()| map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        text.parse().unwrap()
    }

    #[test]
    fn form() {
        assert_eq!(range("0:1000:1"), Range::single(0, 1000));
        for text in ["", "0:1", "0:1:0", "0:1:2:3", "-1:0:1", "0:4294967294:2", "a:b:c", "0: 1:1"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }

    #[test]
    fn overlaps_are_refused_on_either_side() {
        assert_eq!(check(&[range("0:1000:1"), range("1:100000:65536")]), Ok(()));
        assert!(check(&[range("0:1000:2"), range("1:5000:1")]).is_err());
        assert!(check(&[range("0:1000:2"), range("5:1001:1")]).is_err());
        assert!(check(&vec![range("0:0:1"); 341]).is_err());
    }

    #[test]
    fn identity_of_the_initial_namespace_and_of_a_container() {
        let initial = "         0          0 4294967295\n";
        assert_eq!(to_map_file(&identity(initial).unwrap()), "0 0 4294967295\n");
        let nested = "0 1000 1\n1 100000 65536\n";
        assert_eq!(to_map_file(&identity(nested).unwrap()), "0 0 1\n1 1 65536\n");
        assert_eq!(identity("0 0\n"), None);
    }

    #[test]
    fn subordinate_ids() {
        let text = "web:100000:65536\n1000:200000:10\nother:1:1\nweb:bad:1\nweb:5:0\n";
        let granted = granted(text, &["web", "1000"]);
        assert_eq!(granted, [(100_000, 65_536), (200_000, 10)]);
        let map = with_subordinates(1000, &granted).unwrap();
        assert_eq!(to_map_file(&map), "0 1000 1\n1 100000 65536\n65537 200000 10\n");
        assert!(with_subordinates(1000, &[(1000, 5)]).is_err());
    }
}
