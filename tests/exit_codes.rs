//! The exit status, as in env(1), nice(1) and timeout(1): 125 the tool failed, 126 the command can't
//! be executed, 127 it isn't found, else its own. For each tool, and for all of them in a chain.

use std::fs;

use catena_tests::scratch::write_program;
use catena_tests::{Cell, Chain, Ended, Rootfs, Scratch, User, any, each_user, like, need};
use nix::sys::signal::Signal;

each_user![
    if User::can_isolate;
    the_apps_own_status,
    death_by_signal,
    not_executable,
    not_found,
    never_a_second_candidate,
    wrong_usage,
    help_is_no_failure,
    names_are_escaped,
];

/// A chain to try, up to its last `--`.
struct Tried {
    /// The tool that the app is started by, or that is to fail.
    tool: &'static str,
    /// What stands before the app.
    line: String,
    /// What is on stderr in any case.
    said: &'static str,
    /// Whether PID 1 stands between the app and us: it can't die by a signal, it says 128+n.
    init: bool,
}

/// Each tool by itself, with no more around it than it needs, and then the whole.
fn all(user: User, root: &Rootfs) -> Vec<Tried> {
    let tried = |tool, line: &str, said, init| Tried { tool, line: line.to_owned(), said, init };
    let mut all = vec![
        tried("ns-unshare", "ns-unshare --", "", false),
        tried("ns-unshare", "ns-unshare --share=pid --", "", false),
        tried("fs-pivot", &format!("ns-unshare -- fs-pivot {root} --"), "", false),
        tried("fs-pivot", &format!("ns-unshare -- fs-pivot --ephemeral {root} --"), "", false),
        tried("priv-drop", "ns-unshare -- priv-drop --", "", false),
        tried("mini-init", "ns-unshare -- mini-init --", "", true),
        tried("mini-init", "mini-init --", WARNING, false),
        tried("mini-init", "mini-init --subreaper --", "", false),
        tried(
            "mini-init",
            &format!("ns-unshare -- fs-pivot {root} -- priv-drop -- mini-init --"),
            "",
            true,
        ),
    ];
    if Cell::new(user).is_ok() {
        let whole = format!(
            "cg-enter --name web -- ns-unshare -- fs-pivot {root} -- priv-drop -- mini-init --"
        );
        all.push(tried("cg-enter", "cg-enter --", "", false));
        all.push(tried("cg-enter", "cg-enter --name web --", "", false));
        all.push(tried("cg-enter", "cg-enter --name web --rm --", "", false));
        all.push(tried("mini-init", &whole, "", true));
    }
    all
}

const WARNING: &str = "mini-init: not PID 1, so orphans of the app are reaped elsewhere\n\
                       hint: put ns-unshare --pid before it, or say --subreaper\n";

/// The probe's path, in whatever root the chain ends with.
fn probe(tried: &Tried) -> &'static str {
    if tried.line.contains("fs-pivot") { "/bin/probe" } else { "{probe}" }
}

/// A root in which some names stand for what can't be executed; the same outside.
struct Place {
    root: Rootfs,
    scratch: Scratch,
}

impl Place {
    fn new(user: User) -> Result<Place, String> {
        let place = Place { root: Rootfs::new(user)?, scratch: Scratch::new(user) };
        let (outer, inner) = (place.scratch.path().to_owned(), place.root.join("home"));
        for folder in [outer, inner] {
            fs::write(folder.join("plain"), "no program\n").expect("write");
            write_program(&folder.join("garbage"), "\x7fELF and then nothing\n");
            write_program(&folder.join("script"), "#!/none/such\n");
            fs::create_dir(folder.join("folder")).expect("make a folder");
        }
        Ok(place)
    }

    /// The path of an entry, in whatever root the chain ends with.
    fn path(&self, tried: &Tried, name: &str) -> String {
        match tried.line.contains("fs-pivot") {
            true => format!("/home/{name}"),
            false => self.scratch.join(name).display().to_string(),
        }
    }
}

fn the_apps_own_status(user: User) {
    let place = need!(Place::new(user));
    for tried in all(user, &place.root) {
        for status in [0, 1, 42, 124, 125, 126, 127, 128, 137, 255] {
            let chain =
                Chain::new(user, &tried.line).args([probe(&tried), "exit", &status.to_string()]);
            chain.run().expect(status, "", tried.said);
        }
    }
}

fn death_by_signal(user: User) {
    let place = need!(Place::new(user));
    for tried in all(user, &place.root) {
        // The probe as PID 1 can't kill itself: a shell stands between.
        let first =
            tried.line.contains("ns-unshare --") && !tried.line.contains("--share") && !tried.init;
        for signal in [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGKILL, Signal::SIGSEGV] {
            let status = 128 + signal as i32;
            let expected = if tried.init { Ended::Exit(status) } else { signal.into() };
            let chain = Chain::new(user, &tried.line);
            if first {
                let script = "\"$0\" die \"$1\"; exit $?";
                let chain = chain.args(["/bin/sh", "-c", script, probe(&tried), signal.as_str()]);
                chain.run().expect(status, "", any());
            } else {
                let chain = chain.args([probe(&tried), "die", signal.as_str()]);
                chain.run().expect(expected, "", tried.said);
            }
        }
    }
}

fn not_executable(user: User) {
    let place = need!(Place::new(user));
    for tried in all(user, &place.root) {
        for name in ["plain", "garbage", "folder"] {
            let path = place.path(&tried, name);
            let outcome = Chain::new(user, &tried.line).arg(&path).run();
            let said = format!("{}{}: can't execute: '{path}': *\n", tried.said, tried.tool);
            outcome.expect(126, "", like(said));
        }
        // Found by PATH, and no program: the search goes on, then ends with what it has seen.
        let folder = place.path(&tried, "").trim_end_matches('/').to_owned();
        let outcome = Chain::new(user, &tried.line).arg("plain").env("PATH", folder).run();
        outcome.expect(
            126,
            "",
            like(format!("{}{}: can't execute: 'plain': *\n", tried.said, tried.tool)),
        );
    }
}

fn not_found(user: User) {
    let place = need!(Place::new(user));
    for tried in all(user, &place.root) {
        for name in ["no-such-program", "/none/such", "./none", ""] {
            let outcome = Chain::new(user, &tried.line).arg(name).run();
            outcome.expect(127, "", like(format!("{}{}: *'{name}'*\n", tried.said, tried.tool)));
        }
        // The script is there; its interpreter is not.
        let path = place.path(&tried, "script");
        let outcome = Chain::new(user, &tried.line).arg(&path).run();
        let said = format!("{}{}: can't execute: '{path}': *\nhint: *", tried.said, tried.tool);
        outcome.expect(127, "", like(said));
    }
}

fn never_a_second_candidate(user: User) {
    // execvp(3) hands what is no program to /bin/sh.
    let scratch = Scratch::new(user);
    let script = scratch.script("tool", "echo started\n");
    let outcome = Chain::new(user, "ns-unshare --").arg(&script).run();
    outcome.expect(126, "", like("ns-unshare: can't execute: *\n"));
}

fn wrong_usage(user: User) {
    for tool in catena_tests::toolbox::TOOLS {
        let root = if tool == "fs-pivot" { "/" } else { "" };
        for words in [
            "--no-plan",
            "--no-such-option",
            "--no-such-option -- {probe}",
            "--keep-fd=x -- {probe}",
        ] {
            let outcome = Chain::new(user, &format!("{tool} {words}")).run();
            outcome.expect(
                125,
                "",
                like(format!("{tool}: *\nhint: *'{tool} --help' lists the options\n")),
            );
        }
        // Fewer than three are the app's in any case, and what isn't open can't be kept.
        for number in ["0", "-1", "77"] {
            let line = format!("{tool} --keep-fd={number} {root} -- {{probe}} exit 3");
            Chain::new(user, &line).run().expect(125, "", like(format!("{tool}: *")));
        }
    }
}

fn help_is_no_failure(user: User) {
    for tool in catena_tests::toolbox::TOOLS {
        let help = Chain::new(user, &format!("{tool} --help")).run();
        help.expect(0, like(format!("*Usage: {tool} *")), "");
        let version = like(format!("{tool} {}*\n", env!("CARGO_PKG_VERSION")));
        Chain::new(user, &format!("{tool} --version")).run().expect(0, version, "");
    }
}

fn names_are_escaped(user: User) {
    // A name that would clear the screen and fake a line.
    let outcome = Chain::new(user, "ns-unshare --").arg("\x1b[2J\nall is well").run();
    outcome.expect(127, "", like("ns-unshare: *'\\\\u{1b}[2J\\\\nall is well'*\n"));
}
