//! priv-drop --landlock on kernels whose Landlock is older than what is asked for, or not there.

use catena_tests::{Chain, Scratch, User, each_user, here_or_elsewhere, like};

each_user![if User::can_isolate;
    an_older_landlock_is_an_error_unless_that_is_allowed,
    no_landlock_is_an_error_unless_that_is_allowed,
];

const HINT: &str = "hint: strict rules need Linux 6.10 with 'landlock' among its security modules; \
                    --try-landlock does what this kernel can\n";

fn version() -> u32 {
    chain::sys::landlock_version().unwrap_or(0)
}

/// Runs a shell that may read all files, and write to `open` but not to `closed`, in `scratch`.
fn start(user: User, scratch: &Scratch, options: &str) -> catena_tests::Outcome {
    let line = format!("ns-unshare -- priv-drop {options} -- sh -c");
    let script = "echo > open/file && echo open; echo > closed/file && echo closed; true";
    Chain::new(user, &line).arg(script).directory(scratch.path()).run()
}

fn scratch(user: User) -> (Scratch, String) {
    let scratch = Scratch::new(user);
    let (open, _) = (scratch.folder("open", user), scratch.folder("closed", user));
    let files = format!("--landlock ro:/ --landlock rw:{}", open.display());
    (scratch, files)
}

fn an_older_landlock_is_an_error_unless_that_is_allowed(user: User) {
    let older = match version() {
        // It knows all files' rights that are tested here, and no TCP.
        version @ (1 | 2) => Ok(version),
        version => Err(format!("Landlock is of version {version}, 1 or 2 is needed")),
    };
    let version = here_or_elsewhere!(older);
    let (scratch, files) = scratch(user);
    let asked = [
        (files.clone(), "truncate(2), ioctl(2) of devices"),
        (
            format!("{files} --landlock-tcp-bind 80 --landlock-tcp-connect none"),
            "truncate(2), TCP ports to bind, TCP ports to connect to, ioctl(2) of devices",
        ),
    ];
    let reason = format!("this kernel's Landlock is of version {version}");
    for (options, lacking) in asked {
        let strict = start(user, &scratch, &options);
        let message = "priv-drop: can't put the Landlock rules in force";
        strict.expect(125, "", format!("{message}: '{lacking}': {reason}\n{HINT}"));
        let lenient = start(user, &scratch, &format!("{options} --try-landlock"));
        let warning = format!("priv-drop: not in force: '{lacking}': {reason}\n");
        let denied = "sh: *closed/file: Permission denied\n";
        lenient.expect(0, "open\n", like(format!("{warning}{denied}")));
    }
    // Ports alone: nothing is left of that, and nothing else is forbidden.
    let lenient = start(user, &scratch, "--landlock-tcp-bind 80 --try-landlock");
    let warning = format!("priv-drop: not in force: 'TCP ports to bind': {reason}\n");
    lenient.expect(0, "open\nclosed\n", warning);
}

fn no_landlock_is_an_error_unless_that_is_allowed(user: User) {
    let absent = match version() {
        0 => Ok(()),
        version => Err(format!("Landlock is there, of version {version}")),
    };
    here_or_elsewhere!(absent);
    let (scratch, files) = scratch(user);
    let reason = "Landlock is not among this kernel's security modules";
    let lacking = "files, truncate(2), ioctl(2) of devices";
    let message =
        format!("priv-drop: can't put the Landlock rules in force: '{lacking}': {reason}");
    start(user, &scratch, &files).expect(125, "", format!("{message}\n{HINT}"));
    let lenient = start(user, &scratch, &format!("{files} --try-landlock"));
    lenient.expect(
        0,
        "open\nclosed\n",
        format!("priv-drop: not in force: '{lacking}': {reason}\n"),
    );
}
