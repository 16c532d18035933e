//! The id maps of the container, as they are seen from here.

/// A /proc/PID/uid_map or gid_map: inside, outside, count.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ids(Vec<(u32, u32, u32)>);

impl Ids {
    /// What an id that is not mapped looks like inside (sysctl kernel.overflowgid).
    pub(super) const UNMAPPED: u32 = 65534;

    /// Every id is itself.
    pub(super) fn identity() -> Self {
        Ids(vec![(0, 0, u32::MAX)])
    }

    /// Lines that are no ranges count as absent, so that their ids are not mapped.
    pub(super) fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut fields = line.split_whitespace().map(|field| field.parse().ok());
            Some((fields.next()??, fields.next()??, fields.next()??))
        };
        Ids(text.lines().filter_map(line).collect())
    }

    /// What the container calls id `outside`.
    pub(super) fn inside(&self, outside: u32) -> Option<u32> {
        let ranges = self.0.iter();
        ranges
            .filter_map(|(inside, first, count)| {
                let offset = outside.checked_sub(*first).filter(|offset| offset < count)?;
                inside.checked_add(offset)
            })
            .next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_translated() {
        let map = Ids::parse("         0       1000          1\n  1 100000 65536\nnonsense\n");
        assert_eq!(map.inside(1000), Some(0));
        assert_eq!(map.inside(100_032), Some(33));
        assert_eq!(map.inside(165_535), Some(65536));
        for unmapped in [0, 999, 1001, 165_536, u32::MAX] {
            assert_eq!(map.inside(unmapped), None);
        }
        assert_eq!(Ids::identity().inside(4242), Some(4242));
    }
}
