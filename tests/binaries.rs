//! The binaries themselves: static, and without unsafe code of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use catena_tests::{Chain, Scratch, User, any, need, toolbox};

/// The folders of the tools' sources.
const TOOLS: [&str; 7] = [
    "caps-tool",
    "cgroup-tool",
    "doctor-tool",
    "init-tool",
    "notify-tool",
    "pivot-tool",
    "unshare-tool",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// The types of an ELF file's program headers.
fn program_headers(path: &Path) -> Vec<u32> {
    let file = fs::read(path).expect("read");
    assert_eq!(&file[..6], b"\x7fELF\x02\x01", "{} is no 64-bit ELF file", path.display());
    let number = |at: usize, length: usize| {
        file[at..at + length].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (start, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    let kind = |index| u32::try_from(number(start + index * size, 4)).expect("four bytes");
    (0..count).map(kind).collect()
}

const PT_INTERP: u32 = 3;

/// A loader named by the binary would be the image's, run with the chain's privileges.
#[test]
fn f1_no_tool_names_a_loader() {
    for tool in toolbox::TOOLS {
        assert!(!program_headers(&toolbox::tool(tool)).contains(&PT_INTERP), "{tool}");
    }
    assert!(!program_headers(toolbox::probe()).contains(&PT_INTERP), "the probe");
    let dynamic = program_headers(Path::new("/bin/sh"));
    assert!(dynamic.contains(&PT_INTERP), "a dynamic program would not be noticed");
}

/// The Rust files below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false => {
                found.extend(Some(path).filter(|path| path.extension().is_some_and(|e| e == "rs")))
            }
        }
    }
    found
}

/// Whether a file has code that the compiler does not check.
fn has_unsafe(path: &Path) -> bool {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    let unchecked = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe("];
    let text = fs::read_to_string(path).expect("read");
    text.lines().map(code).any(|line| unchecked.iter().any(|word| line.contains(word)))
}

#[test]
fn unsafe_stands_in_one_place() {
    let workspace = workspace();
    let mut seen = false;
    for folder in TOOLS.iter().chain(&["chain"]) {
        for file in sources(&workspace.join(folder)) {
            let relative =
                file.strip_prefix(&workspace).expect("below").to_string_lossy().into_owned();
            let allowed = relative.starts_with("chain/src/sys");
            assert!(allowed || !has_unsafe(&file), "{relative}");
            seen |= allowed && has_unsafe(&file);
        }
    }
    assert!(seen, "no unsafe code was found where there is some");
}

#[test]
fn each_tool_forbids_unsafe() {
    for folder in TOOLS {
        let library = workspace().join(folder).join("src/lib.rs");
        let text = fs::read_to_string(&library).expect("read");
        assert!(text.contains("\n#![forbid(unsafe_code)]\n"), "{}", library.display());
    }
}

/// Further modules may come; `main.rs` stays what starts the library.
#[test]
fn a_main_is_a_few_lines() {
    for folder in TOOLS {
        for file in sources(&workspace().join(folder).join("src")) {
            if file.ends_with("src/main.rs")
                || file.parent().is_some_and(|parent| parent.ends_with("bin"))
            {
                let lines = fs::read_to_string(&file).expect("read").lines().count();
                assert!(lines <= 12, "{}: {lines} lines", file.display());
            }
        }
    }
}

/// Who may start a setuid copy would have its owner run any command.
#[test]
fn f12_a_setuid_copy_refuses() {
    if !User::suite_is_root() {
        need::skip("only root can make a program setuid for another");
        return;
    }
    let scratch = Scratch::new(User::Ordinary);
    for tool in toolbox::TOOLS.into_iter().filter(|tool| *tool != "chain-doctor") {
        let copy = scratch.join(tool);
        fs::copy(toolbox::tool(tool), &copy).expect("copy");
        let started = |mode| {
            fs::set_permissions(&copy, PermissionsExt::from_mode(mode)).expect("chmod");
            Chain::new(User::Ordinary, "").arg(&copy).arg("--help").run()
        };
        started(0o755).expect(0, any(), "");
        let said = format!("{tool}: refused to run setuid, setgid or with file capabilities\n");
        started(0o4755).expect(125, "", said.as_str());
        started(0o2755).expect(125, "", said.as_str());
    }
}

/// What `make dist` has made: how large each tool is, in KiB. A twentieth more or less is a difference to
/// be looked at; `WRITE_TABLE=1` writes the table anew. With another C library (dist/LIBC) they are of
/// other sizes.
#[test]
fn release_binaries_have_these_sizes() {
    let folder = toolbox::folder();
    let libc = fs::read_to_string(folder.join("LIBC")).unwrap_or_default();
    if libc.trim() != "musl-gcc" {
        // Not a release, or one of another kind: nothing is said of its size.
        return;
    }
    let size = |tool: &str| fs::metadata(toolbox::tool(tool)).expect("a tool").len().div_ceil(1024);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sizes.txt");
    if std::env::var_os("WRITE_TABLE").is_some() {
        let table: String =
            toolbox::TOOLS.iter().map(|tool| format!("{tool} {}\n", size(tool))).collect();
        fs::write(&file, table).expect("write the table");
        return;
    }
    let table = fs::read_to_string(&file).expect("the table");
    let known: Vec<(&str, u64)> = table
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(tool, size)| (tool, size.parse().expect("a size")))
        .collect();
    assert_eq!(known.len(), toolbox::TOOLS.len());
    for (tool, known) in known {
        let now = size(tool);
        assert!(now.abs_diff(known) * 20 <= known, "{tool}: {now} KiB, not {known}");
    }
}
