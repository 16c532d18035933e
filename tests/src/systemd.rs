//! A host of its own with a real systemd, made of our own tools.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::{Cell, Chain, Outcome, Running, User, need, toolbox};

/// How long it may take to boot, and a unit to get where it is to get.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running systemd, PID 1 of its namespaces. It is gone when this is dropped.
#[derive(Debug)]
pub struct Systemd {
    chain: Running,
    pid: i32,
}

impl Systemd {
    /// Boots a host with this machine's own system, or says why that can't be done here.
    pub fn boot() -> Result<Systemd, String> {
        Systemd::boot_from("/", &[])
    }

    /// As [`Systemd::boot`], its root cgroup having no process but its own: it can give `option`'s
    /// controller, which must be in cgroup v2, to the cgroups below. (Otherwise the monitors of its
    /// chain are in the way.)
    pub fn boot_with(controller: &str, option: &str) -> Result<Systemd, String> {
        Systemd::ask_for()?;
        let cell = Rc::new(Cell::with_v2(User::Root, controller)?);
        let make = Chain::new(User::Root, &format!("cg-enter --name host {option} -- true"));
        make.in_cell(&cell).run().expect(0, "", "");
        let line = format!(
            "cg-enter -- ns-unshare --mount-proc --share=user --share=cgroup -- \
             cg-enter --parent {} --name host -- ns-unshare -C --",
            cell.path_v2().display()
        );
        Systemd::wait_for_boot(to_host(&line, "/", &[]).in_cell(&cell))
    }

    /// Boots a host with the Debian tree at `root`; each of `binds` is `SRC:DST`, shown in it.
    pub fn boot_from(root: impl AsRef<OsStr>, binds: &[String]) -> Result<Systemd, String> {
        Systemd::ask_for()?;
        Systemd::wait_for_boot(to_host("cg-enter -- ns-unshare --share=user --", root, binds))
    }

    /// Boots a system as the app of a container of `user`'s. `root` are the options of fs-pivot and
    /// its ROOT; `words` stand on the command line, after the variables among them: systemd takes it
    /// for the kernel's there (kernel-command-line(7)).
    pub fn in_container(user: User, root: &str, words: &str) -> Result<Systemd, String> {
        Systemd::ask_for()?;
        user.can_isolate()?;
        // A map that is not whole is what systemd knows a user namespace by.
        let map = match user {
            User::Root => "--map-users 0:0:65536 --map-groups 0:0:65536",
            User::Ordinary => "--map-root",
        };
        let line = format!(
            "cg-enter -- ns-unshare --stop-signal RTMIN+3 {map} -- fs-pivot --cgroup rw {root} -- \
             ns-unshare --mount --propagation shared -- priv-drop --caps all,-SYS_RAWIO -- env container=catena {words}"
        );
        Systemd::wait_for_boot(Chain::new(user, &line))
    }

    fn ask_for() -> Result<(), String> {
        if !User::suite_is_root() {
            return Err("only root boots a systemd".into());
        }
        if !Path::new("/lib/systemd/systemd").is_file() {
            return Err("no systemd: apt install systemd dbus".into());
        }
        ["nsenter", "dbus-daemon", "python3"]
            .iter()
            .try_for_each(|name| need::program(name).map(drop))
    }

    fn wait_for_boot(chain: Chain) -> Result<Systemd, String> {
        let chain = chain.deadline(Duration::from_secs(600)).start();
        let end = Instant::now() + PATIENCE;
        let pid = loop {
            if let Some(pid) = chain_systemd(&chain) {
                break pid;
            }
            assert!(Instant::now() < end, "too late: the host's chain is no systemd yet");
            if chain.processes().is_empty() {
                chain.finish().expect(0, "", "");
                panic!("the host's chain ended before it was systemd");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let host = Systemd { chain, pid };
        host.wait("it is running", || host.ask("systemctl is-system-running") == "running");
        Ok(host)
    }

    /// Runs a command in the host.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.pid.to_string(), "--"]);
        command.args(line.split_whitespace());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command
    }

    /// What a command in the host prints; nothing is asked about its status.
    pub fn ask(&self, line: &str) -> String {
        let output = self.command(line).output().expect("run nsenter");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Runs a command in the host that must succeed, and gives what it prints.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        let output = self.command(line).output().expect("run nsenter");
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let journal = || self.ask("journalctl --no-pager --lines=12");
        assert!(output.status.success(), "{line}: {out}{err}\n{}", journal());
        out.trim_end().to_owned()
    }

    /// A property of a unit, as systemctl shows it.
    pub fn show(&self, unit: &str, property: &str) -> String {
        self.ask(&format!("systemctl show --value --property {property} {unit}"))
    }

    /// Waits until a property has this value.
    #[track_caller]
    pub fn wait_for(&self, unit: &str, property: &str, value: &str) {
        self.wait(&format!("{property} of {unit} is {value}"), || {
            self.show(unit, property) == value
        });
    }

    /// Waits until `true_at_last` says so.
    #[track_caller]
    pub fn wait(&self, what: &str, mut true_at_last: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !true_at_last() {
            let journal = || self.ask("journalctl --no-pager --lines=12");
            assert!(Instant::now() < end, "too late: {what}\n{}", journal());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes a file of the host.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        let folder = Path::new(path).parent().expect("a file is in a folder");
        self.run(&format!("mkdir -p {}", folder.display()));
        // By a process inside: an owner there may have no number out here.
        let mut tee = self.command(&format!("tee {path}"));
        let mut tee = tee.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("run nsenter");
        tee.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("write to a pipe");
        assert!(tee.wait().expect("wait").success(), "write {path}");
    }

    /// Writes a unit, or a part of one (`NAME.d/PART.conf`), and lets systemd read it.
    #[track_caller]
    pub fn unit(&self, name: &str, text: &str) {
        self.write(&format!("/run/systemd/system/{name}"), text);
        self.run("systemctl daemon-reload");
    }

    /// A service whose app, in a container, says what is written to the FIFO `/srv/NAME`, and is not
    /// told to end yet. `options` are the bridge's, `more` is the unit's.
    #[track_caller]
    pub fn start_speaker(&self, name: &str, options: &str, more: &str) {
        self.run(&format!("mkfifo -m 666 /srv/{name}"));
        self.write(
            &format!("/srv/{name}.py"),
            "import app, os, sys\n\
             while True:\n    \
                 app.notify(open(sys.argv[1]).read().replace('SELF', str(os.getpid())))\n",
        );
        self.unit(
            &format!("{name}.service"),
            &format!(
                "[Service]\nType=notify\nKillMode=mixed\n{more}\n\
                 ExecStart=/usr/local/bin/notify-bridge {options} -- ns-unshare -- fs-pivot / -- \
                 mini-init -- python3 /srv/{name}.py /srv/{name}\n",
            ),
        );
        self.run(&format!("systemctl start --no-block {name}"));
    }

    /// Has a speaker say `message`, in which SELF is its own process id.
    #[track_caller]
    pub fn say(&self, name: &str, message: &str) {
        self.write(&format!("/srv/{name}"), message);
    }

    /// Reads a file of the host.
    pub fn read(&self, path: impl AsRef<OsStr>) -> String {
        let path = self.path(Path::new(path.as_ref()).to_str().expect("UTF-8"));
        fs::read_to_string(&path).unwrap_or_default()
    }

    /// Where a path of the host is outside.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// The processes of a unit, as the host numbers them.
    pub fn processes(&self, unit: &str) -> Vec<i32> {
        let group = self.show(unit, "ControlGroup");
        if group.is_empty() {
            return Vec::new();
        }
        let found =
            self.ask(&format!("find /sys/fs/cgroup{group} -name cgroup.procs -exec cat {{}} +"));
        found.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// The main process of a unit is the bridge, and the app another one.
    #[track_caller]
    pub fn assert_bridged(&self, unit: &str) {
        let main = self.show(unit, "MainPID");
        assert_eq!(self.ask(&format!("cat /proc/{main}/comm")), "notify-bridge");
        assert!(self.processes(unit).len() >= 3, "{:?}", self.processes(unit));
    }

    /// Nothing of a unit is left.
    #[track_caller]
    pub fn assert_gone(&self, unit: &str) {
        assert!(self.processes(unit).is_empty(), "{:?}", self.processes(unit));
        assert_eq!(self.ask("find /run /tmp -maxdepth 2 -name catena-*"), "");
        assert_eq!(self.ask("find /sys/fs/cgroup -name app"), "");
    }

    /// systemd-analyze(1) has nothing to say of the examples, but for what this version of it does
    /// not know yet.
    #[track_caller]
    pub fn examples_are_well_formed(&self) {
        let version = self.run("systemctl --version");
        let version = version.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        let version: u32 = version.expect("a version");
        let units = self.run("find /usr/local/share/catena -name *.service -o -name *.socket");
        assert!(units.lines().count() > 10, "{units}");
        for unit in units.lines().filter(|u| version >= 253 || !u.ends_with("/reload.service")) {
            let output = self.command(&format!("systemd-analyze verify {unit}")).output();
            let output = output.expect("run nsenter");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && said.is_empty(), "{unit}: {said}");
        }
    }

    /// Tells it to halt, and gives how its chain ended.
    #[track_caller]
    pub fn halt(self) -> Outcome {
        // SIGRTMIN+3 of systemd(1).
        let told = Command::new("kill").args(["-s", "37", &self.pid.to_string()]).status();
        assert!(told.expect("run kill").success());
        self.chain.finish()
    }

    /// The chain, once the rest is to be seen from outside.
    pub fn into_chain(self) -> Running {
        self.chain
    }
}

/// What makes a host of the Debian tree at `root` in the namespaces that `line` leads to.
fn to_host(line: &str, root: impl AsRef<OsStr>, binds: &[String]) -> Chain {
    let shown = [
        format!("{}:/usr/local/lib/catena", toolbox::folder().display()),
        format!("{}:/usr/local/share/catena", folder("../examples/systemd").display()),
    ];
    let chain = Chain::new(User::Root, &format!("{line} fs-pivot --ephemeral --no-defaults"));
    let chain =
        shown.iter().chain(binds).fold(chain, |chain, bind| chain.arg("--ro-bind").arg(bind));
    // As text: the checkout has no path in there.
    let script = fs::read_to_string(folder("systemd/host")).expect("read");
    chain.arg(root).args(["--", "sh", "-c"]).arg(script)
}

/// A folder or file of the tests' sources.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The process of the chain that is PID 1 and has become systemd.
fn chain_systemd(chain: &Running) -> Option<i32> {
    chain.processes().into_iter().find(|pid| {
        let file =
            |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let is_init = || {
            let status = file("status");
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("1")
        };
        file("comm") == "systemd\n" && is_init()
    })
}
