//! Help, manual pages, completions and README say the same as the tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use catena_tests::{Chain, Scratch, User, any, like, need};
use chain::names::TOOLS;

fn me() -> User {
    if User::suite_is_root() { User::Root } else { User::Ordinary }
}

fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn text_of(path: &str) -> String {
    std::fs::read_to_string(checkout(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All programs: the links and the doctor.
fn programs() -> Vec<&'static str> {
    TOOLS.iter().copied().chain(["chain-doctor"]).collect()
}

/// The manual page `name` as a reader sees it, without what makes it bold.
fn rendered(folder: &Path, name: &str) -> String {
    let page = Command::new("mandoc").args(["-T", "utf8"]).arg(folder.join(name)).output();
    let page = String::from_utf8(page.expect("mandoc").stdout).expect("UTF-8");
    let mut text = String::new();
    let mut characters = page.chars().peekable();
    while let Some(one) = characters.next() {
        if characters.peek() == Some(&'\u{8}') {
            characters.next();
        } else {
            text.push(one);
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn written_manuals(scratch: &Scratch) -> PathBuf {
    let folder = scratch.path().join("man");
    std::fs::create_dir(&folder).expect("make a folder");
    for page in xtask::manuals() {
        std::fs::write(folder.join(&page.name), page.text).expect("write a page");
    }
    folder
}

#[test]
fn every_program_has_a_manual_page_a_completion_and_three_examples() {
    let commands = xtask::commands();
    let names: Vec<&str> = commands.iter().map(|command| command.get_name()).collect();
    for program in programs() {
        assert!(names.contains(&program), "{program}");
        let examples = chain::help::examples(program);
        let typed = examples.lines().filter(|line| line.starts_with("  ")).count();
        assert_eq!(typed, 3, "{program}");
        assert_eq!(examples.lines().count(), 6, "{program}: one line each");
    }
    assert_eq!(names.len(), programs().len());
}

#[test]
fn every_option_is_in_help_and_manual() {
    need!(need::program("mandoc"));
    let scratch = Scratch::new(me());
    let folder = written_manuals(&scratch);
    for command in xtask::commands() {
        let name = command.get_name();
        let help = Chain::new(me(), &format!("{name} --help")).run();
        help.expect(0, like(format!("*Usage: {name} *Examples:*")), "");
        let help = help.stdout.clone();
        let page = rendered(&folder, &format!("{name}.1"));
        for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
            let spelled = format!("--{option}");
            assert!(help.contains(&spelled), "{name} --help: {spelled}");
            assert!(page.contains(&spelled), "{name}(1): {spelled}");
        }
        let without_blanks = |text: &str| text.split_whitespace().collect::<String>();
        let shown = without_blanks(&page);
        for argument in command.get_arguments() {
            let said = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(shown.contains(&without_blanks(&said)), "{name}(1): {said}");
            assert!(!said.is_empty(), "{name}: {}", argument.get_id());
        }
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "SEE ALSO"] {
            assert!(page.contains(section), "{name}(1): {section}");
        }
        assert!(page.contains("EXIT STATUS"), "{name}(1)");
    }
}

#[test]
fn manual_pages_are_clean() {
    need!(need::program("mandoc"));
    let scratch = Scratch::new(me());
    let folder = written_manuals(&scratch);
    for page in xtask::manuals() {
        let lint = Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .arg(folder.join(&page.name))
            .output()
            .expect("mandoc");
        let said = String::from_utf8_lossy(&lint.stdout).into_owned();
        assert!(lint.status.success() && said.is_empty(), "{}: {said}", page.name);
    }
}

#[test]
fn see_also_names_pages_that_are_there() {
    let pages: Vec<String> = xtask::manuals().into_iter().map(|page| page.name).collect();
    let named = |program: &str| pages.contains(&format!("{program}.1"));
    assert!(programs().into_iter().all(named), "{pages:?}");
    let overview = text_of("docs/man/catena.txt");
    for program in programs() {
        assert!(overview.contains(&format!("`{program}`(1)")), "catena(7): {program}");
        assert!(text_of("README.md").contains(&format!("`{program}`")), "README.md: {program}");
    }
}

#[test]
fn short_help_fits_a_screen() {
    for program in programs() {
        let help = Chain::new(me(), &format!("{program} -h")).run();
        help.expect(0, any(), "");
        let text = help.stdout.clone();
        let lines = text.lines().count();
        assert!(lines <= 50, "{program} -h has {lines} lines");
        let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(width <= 80, "{program} -h is {width} wide:\n{text}");
        let command = xtask::commands().into_iter().find(|one| one.get_name() == program);
        for option in command.iter().flat_map(|one| one.get_arguments()) {
            let spelled = format!("--{}", option.get_long().unwrap_or_default());
            assert!(text.contains(&spelled), "{program} -h: {spelled}");
        }
        let examples = text.split_once("\nExamples:\n").expect("examples").1;
        assert_eq!(examples.lines().filter(|line| line.starts_with("    ")).count(), 3);
        assert!(!text.contains('\u{1b}'), "{program} -h: colour where no terminal is");
    }
}

#[test]
fn help_is_given_for_one_option() {
    let help = |words: &str| Chain::new(me(), words).run();
    let one = "  --pids-max N\n      Number of processes and threads\n";
    help("cg-enter --help pids-max").expect(0, one, "");
    help("cg-enter --help --pids-max").expect(0, one, "");
    help("priv-drop --help tcp").expect(
        0,
        like("*--landlock-tcp-bind*--landlock-tcp-connect*"),
        "",
    );
    let unknown = "cg-enter: no option is called: 'pidsmax'\nhint: 'cg-enter -h' lists them\n";
    help("cg-enter --help pidsmax").expect(125, "", unknown);
    let typed_wrong = like("cg-enter: *'--pids-mx'*\nhint: *'--pids-max'*\n");
    help("cg-enter --pids-mx 5 -- true").expect(125, "", typed_wrong);
}

#[test]
fn each_program_tells_its_version() {
    // What is built to be given away names its commit, where there is one.
    let commit = Command::new("git").args(["rev-parse", "HEAD"]).output();
    let names_commit = std::env::var_os("CATENA_BIN").is_some()
        && commit.is_ok_and(|commit| commit.status.success());
    for program in programs() {
        let version = Chain::new(me(), &format!("{program} -V")).run();
        version.expect(0, any(), "");
        let line = version.stdout.trim_end_matches('\n');
        let rest = line.strip_prefix(&format!("{program} {}", env!("CARGO_PKG_VERSION")));
        let fits = |rest: &str| match names_commit {
            true => rest.starts_with(" (") && rest.ends_with(')'),
            false => rest.is_empty(),
        };
        assert!(rest.is_some_and(fits), "{version}");
    }
}

#[test]
fn completions_are_taken_by_their_shells() {
    let scratch = Scratch::new(me());
    let check = |shell: &str, name: &str, text: &str| {
        let file = scratch.path().join(name);
        std::fs::write(&file, text).expect("write a completion");
        let checked = Command::new(shell).arg("-n").arg(&file).output().expect(shell);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success() && said.is_empty(), "{shell}: {name}: {said}");
    };
    for command in xtask::commands() {
        let one = xtask::bash::completion(&command);
        check("bash", &one.name, &one.text);
    }
    need!(need::program("zsh"));
    for one in xtask::zsh() {
        check("zsh", &one.name, &one.text);
    }
}

/// What bash would offer for `line`, whose last word is being typed.
fn offered(program: &str, words: &[&str]) -> String {
    let command = xtask::commands().into_iter().find(|one| one.get_name() == program);
    let script = xtask::bash::completion(&command.expect("a program"));
    let text = format!(
        "_command_offset() {{ echo \"command from ${{COMP_WORDS[$1]}}\"; }}\n{}\n\
         COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _{}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.text,
        program.replace('-', "_")
    );
    let shell = Command::new("bash").args(["-c", &text, "bash", program]).args(words).output();
    let shell = shell.expect("bash");
    assert!(shell.stderr.is_empty(), "{}", String::from_utf8_lossy(&shell.stderr));
    String::from_utf8(shell.stdout).expect("UTF-8")
}

#[test]
fn bash_completes_options_values_and_commands() {
    assert_eq!(offered("cg-enter", &["--memory-m"]), "--memory-max\n--memory-min\n");
    assert_eq!(offered("fs-pivot", &["--proc", "b"]), "bind\n");
    let of_make = |words: &[&str]| offered("cg-enter", words).starts_with("command from make");
    assert!(of_make(&["--memory-max", "1G", "make", "te"]));
    assert!(of_make(&["--memory-max", "1G", "--", "make", "te"]));
    assert!(of_make(&["--", "make", "-"]));
    assert!(offered("fs-pivot", &["/srv", "sh", "-"]).starts_with("command from sh"));
}

/// What fish offers for `line`.
fn fish_offers(program: &str, line: &str) -> Vec<String> {
    let command = xtask::commands().into_iter().find(|one| one.get_name() == program);
    let script = xtask::fish::completion(&command.expect("a program")).text;
    let scratch = Scratch::new(me());
    let text = format!("{script}\ncomplete -C '{line}'");
    let mut fish = Command::new("fish");
    fish.args(["-c", &text]).env("HOME", scratch.path());
    let shell = fish.output().expect("fish");
    assert!(shell.stderr.is_empty(), "{}", String::from_utf8_lossy(&shell.stderr));
    let said = String::from_utf8(shell.stdout).expect("UTF-8");
    said.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn fish_completes_options_values_and_commands() {
    need!(need::program("fish"));
    assert_eq!(fish_offers("cg-enter", "cg-enter --memory-m"), ["--memory-max", "--memory-min"]);
    assert_eq!(fish_offers("fs-pivot", "fs-pivot --proc b"), ["bind"]);
    let has = |program: &str, line: &str, word: &str| {
        let offered = fish_offers(program, line);
        assert!(offered.iter().any(|one| one == word), "{line}: {word} in {offered:?}");
    };
    has("cg-enter", "cg-enter --memory-max 1G unsh", "unshare");
    has("cg-enter", "cg-enter --memory-max 1G -- unsh", "unshare");
    // COMMAND completes its own options, the tool's are over.
    has("cg-enter", "cg-enter -- ls --al", "--all");
    has("fs-pivot", "fs-pivot --read-only /srv ls --al", "--all");
    assert_eq!(fish_offers("cg-enter", "cg-enter -- ls --memory-m"), Vec::<String>::new());
}

/// zsh on a terminal, as someone types at it: after each line of standard input, which ends in a
/// tab, it has to show the word behind the bar.
const TYPED_AT_ZSH: &str = r#"
import os, pty, select, sys, time
folder, home = sys.argv[1:3]
pid, terminal = pty.fork()
if pid == 0:
    os.execvpe("zsh", ["zsh", "-f", "-i"], {"TERM": "dumb", "HOME": home, "PATH": os.environ["PATH"]})
def wait_for(word):
    shown, end = b"", time.time() + 15
    while word not in shown and time.time() < end:
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536)
    if word not in shown:
        sys.exit(f"not completed to {word!r}: {shown!r}")
os.write(terminal, f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D; echo co''mplete\n".encode())
wait_for(b"\r\ncomplete\r\n")
for line in sys.argv[3:]:
    typed, word = line.encode().split(b"|")
    os.write(terminal, typed + b"\t")
    wait_for(word)
    os.write(terminal, b"\x15")
os.write(terminal, b"exit\n")
"#;

#[test]
fn zsh_completes_options_values_and_commands() {
    need!(need::program("zsh"));
    need!(need::program("python3"));
    let scratch = Scratch::new(me());
    let folder = scratch.path().join("functions");
    std::fs::create_dir(&folder).expect("make a folder");
    for one in xtask::zsh() {
        std::fs::write(folder.join(&one.name), one.text).expect("write a completion");
    }
    let lines = [
        "cg-enter --memory-z|--memory-zswap-max",
        "fs-pivot --proc bi|bind",
        "cg-enter --memory-max 1G unsha|unshare",
        "cg-enter -- ls --almost|--almost-all",
        "cg-enter --memory-max 1G ls --almost|--almost-all",
        "fs-pivot --read-only /srv ls --almost|--almost-all",
    ];
    let mut python = Command::new("python3");
    python.args(["-c", TYPED_AT_ZSH]).arg(&folder).arg(scratch.path()).args(lines);
    let done = python.output().expect("python3");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// What stands in SECURITY.md as a test is one.
#[test]
fn security_names_tests_that_are_there() {
    let text = text_of("SECURITY.md");
    let mut tests = String::new();
    let mut named = 0;
    for word in text.split('`').skip(1).step_by(2) {
        if word.ends_with(".rs") {
            tests = text_of(&format!("tests/{word}"));
        } else if word.contains('_') && !word.contains(' ') {
            assert!(tests.contains(&format!("fn {word}(")), "SECURITY.md: {word}");
            named += 1;
        }
    }
    assert!(named > 20, "only {named} tests are named");
}

/// Each `make TARGET` that is spoken of is there, and so is each file that is linked.
#[test]
fn targets_and_links_are_there() {
    let mut list = Command::new("sh");
    list.args(["-c", "ls Makefile */*.mk"]).current_dir(checkout("."));
    let listed = String::from_utf8(list.output().expect("ls").stdout).expect("UTF-8");
    let makefiles: String = listed.lines().map(|path| format!("\n{}", text_of(path))).collect();
    for path in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"] {
        let text = text_of(path);
        for marked in text.split('`').skip(1).step_by(2).chain(text.lines()) {
            let Some(rest) = marked.trim().strip_prefix("make ") else { continue };
            let target = rest.split_whitespace().next().unwrap_or_default();
            assert!(makefiles.contains(&format!("\n{target}:")), "{path}: make {target}");
        }
        for link in text.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            assert!(target.contains("://") || checkout(target).exists(), "{path}: {target}");
        }
    }
}
