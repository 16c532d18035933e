//! The binaries themselves: static, and without unsafe code of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use catena_tests::scratch::give;
use catena_tests::{Chain, Scratch, User, any, need, toolbox};

/// The folders of the tools' sources.
const TOOLS: [&str; 8] = [
    "all-tools",
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

/// The type of each of an ELF file's program headers, and the size that it has in memory.
fn program_headers(path: &Path) -> Vec<(u32, usize)> {
    let file = fs::read(path).expect("read");
    assert_eq!(&file[..6], b"\x7fELF\x02\x01", "{} is no 64-bit ELF file", path.display());
    let number = |at: usize, length: usize| {
        file[at..at + length].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (start, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    let kind = |at| u32::try_from(number(at, 4)).expect("four bytes");
    let header = |index| start + index * size;
    (0..count).map(|index| (kind(header(index)), number(header(index) + 0x28, 8))).collect()
}

fn has(path: &Path, kind: u32) -> bool {
    program_headers(path).iter().any(|(found, _)| *found == kind)
}

const PT_INTERP: u32 = 3;
const PT_TLS: u32 = 7;

/// A loader named by the binary would be the image's, run with the chain's privileges. The file is the
/// same whoever runs it, in whatever namespaces.
#[test]
fn f1_no_tool_names_a_loader() {
    for tool in toolbox::TOOLS {
        assert!(!has(&toolbox::tool(tool), PT_INTERP), "{tool}");
    }
    assert!(!has(toolbox::probe(), PT_INTERP), "the probe");
    assert!(has(Path::new("/bin/sh"), PT_INTERP), "a dynamic program would not be noticed");
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
    // It refuses before it makes any namespace: which kind that is makes no difference.
    for (user, owner) in [(User::Ordinary, User::Root), (User::Root, User::Ordinary)] {
        let scratch = Scratch::new(user);
        for tool in toolbox::TOOLS.into_iter().filter(|tool| *tool != "chain-doctor") {
            let copy = scratch.program(tool, &toolbox::tool(tool));
            give(&copy, owner);
            let started = |mode| {
                fs::set_permissions(&copy, PermissionsExt::from_mode(mode)).expect("chmod");
                Chain::new(user, "").arg(&copy).arg("--help").run()
            };
            started(0o755).expect(0, any(), "");
            let said = format!("{tool}: refused to run setuid, setgid or with file capabilities\n");
            started(0o4755).expect(125, "", said.as_str());
            started(0o2755).expect(125, "", said.as_str());
        }
    }
    // Another program is its owner's.
    let scratch = Scratch::new(User::Ordinary);
    let probe = scratch.program("probe", toolbox::probe());
    fs::set_permissions(&probe, PermissionsExt::from_mode(0o4755)).expect("chmod");
    let seen = Chain::new(User::Ordinary, "").arg(&probe).see();
    assert_eq!(seen.uids, [User::Ordinary.uid(), 0, 0]);
}

/// What `make dist` has made: one program under the names of all tools, of so many KiB. A twentieth more or
/// less is a difference to be looked at; `WRITE_TABLE=1` writes the table anew. With another C library
/// (dist/LIBC) it is of another size.
#[test]
fn a_release_has_this_size() {
    if !is_release_with_musl() {
        return;
    }
    let now = fs::metadata(toolbox::tool("cg-enter")).expect("a tool").len().div_ceil(1024);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("sizes.txt");
    if std::env::var_os("WRITE_TABLE").is_some() {
        fs::write(&file, format!("musl-gcc {now}\n")).expect("write the table");
        return;
    }
    let table = fs::read_to_string(&file).expect("the table");
    let known = table.trim().strip_prefix("musl-gcc ").and_then(|size| size.parse().ok());
    let known: u64 = known.expect("a size");
    assert!(now.abs_diff(known) * 20 <= known, "{now} KiB, not {known}");
}

/// What every thread has a copy of fits the room that musl keeps for the first one (`builtin_tls` in its
/// src/env/__init_tls.c): else each start maps a page for it, and each process has that.
#[test]
fn the_thread_locals_of_a_release_take_no_page() {
    if is_release_with_musl() {
        let headers = program_headers(&toolbox::tool("cg-enter"));
        let size = headers.iter().find(|(kind, _)| *kind == PT_TLS).map_or(0, |(_, size)| *size);
        assert!(size <= 104, "{size} bytes");
    }
}

/// Of others, or of what is no release, nothing is said.
fn is_release_with_musl() -> bool {
    let libc = fs::read_to_string(toolbox::folder().join("LIBC")).unwrap_or_default();
    assert!(libc.is_empty() || toolbox::is_one_program());
    libc.trim() == "musl-gcc"
}
