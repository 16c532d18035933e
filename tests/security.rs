//! SECURITY.md: each threat has its row, and each row a test that says whose it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../SECURITY.md");
    fs::read_to_string(path).expect("SECURITY.md")
}

/// The rows of threats: id and tests.
fn rows(text: &str) -> Vec<(String, String)> {
    let row = |line: &str| {
        let cells: Vec<_> = line.strip_prefix("| ")?.split(" | ").collect();
        let [id, _, _, tests] = cells[..] else { return None };
        let is_id = |id: &str| id.starts_with(['F', 'H']) && id[1..].parse::<u32>().is_ok();
        is_id(id).then(|| (id.to_lowercase(), tests.to_owned()))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn each_threat_has_a_row_and_a_test_of_its_name() {
    let text = text();
    let rows = rows(&text);
    let fatal = (1..=12).map(|number| format!("f{number}"));
    let high = [1, 2, 4, 5, 6, 7, 8, 9, 11, 12, 13].map(|number| format!("h{number}"));
    let known: BTreeSet<String> = fatal.chain(high).collect();
    assert_eq!(rows.iter().map(|(id, _)| id.clone()).collect::<BTreeSet<_>>(), known);
    for (id, tests) in rows {
        // Some rows are served by tests that show more than them.
        let own = tests.contains(&format!("`{id}_")) || tests.contains(&format!("_{id}_"));
        assert!(own, "{id}: {tests}");
    }
}

#[test]
fn each_known_escape_is_tried() {
    let text = text().to_lowercase().replace('-', "_");
    for year_and_number in [
        "2016_9962",
        "2017_5226",
        "2019_5736",
        "2021_30465",
        "2022_0492",
        "2024_21626",
        "2025_31133",
        "2025_52565",
        "2025_52881",
    ] {
        // Once as what it is, once as a test's name.
        let count = text.matches(&format!("cve_{year_and_number}")).count();
        assert!(count >= 2, "CVE {year_and_number}: {count}");
    }
}

/// A test that bears the id of a threat stands in the table: none is forgotten there.
#[test]
fn no_test_of_a_threat_is_missing() {
    let text = text();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(folder).expect("list").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        for line in fs::read_to_string(&path).expect("read").lines() {
            let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next())
            else {
                continue;
            };
            let id = name.split('_').next().unwrap_or_default();
            let is_id = id.starts_with(['f', 'h']) && id[1..].parse::<u32>().is_ok();
            let is_there = || text.contains(&format!("`{name}`"));
            assert!(!is_id || is_there(), "{}: {name}", path.display());
        }
    }
}
