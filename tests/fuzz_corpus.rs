//! What the fuzzers start from, and what they have found, held to the same claims: fuzz/src.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod claims;

/// The corpus of one target.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|entry| entry.expect("list").path()).collect()
}

#[test]
fn all_of_it_is_as_claimed() {
    for (target, check) in claims::TARGETS {
        let inputs = corpus(target);
        assert!(inputs.len() > 2, "{target}: {inputs:?}");
        for path in inputs {
            let input = fs::read(&path).expect("read");
            catch_unwind(|| check(&input)).unwrap_or_else(|_| panic!("{}", path.display()));
        }
    }
}

#[test]
fn each_target_is_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let entries = fs::read_dir(folder).expect("the targets");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("list").path().file_stem().expect("a name").to_owned())
        .collect();
    names.sort();
    let known: Vec<_> = claims::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known);
}

/// A resolver that goes by path is found out by most of the corpus.
#[test]
fn a_careless_resolver_is_found_out() {
    let found_out = corpus("resolver").into_iter().filter(|path| {
        let input = fs::read(path).expect("read");
        let check = || claims::resolver::check_with(&input, claims::resolver::careless);
        catch_unwind(check).is_err()
    });
    assert!(found_out.count() > 3);
}
