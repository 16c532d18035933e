//! Links and folders of an image that are exchanged while fs-pivot works on it (threat F5).
//!
//! `RACES=long` (make test-races) races for minutes; without it for a second each.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use catena_tests::pivot::{can_pivot, isolations, pivots, rootfs};
use catena_tests::{Chain, Rootfs, Scratch, Seen, User, each_user, host, need, toolbox};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

each_user![if can_pivot;
    f5_no_link_leads_a_mountpoint_out,
    f5_no_race_leads_a_mountpoint_out,
    f5_cve_2021_30465_no_race_in_a_shared_volume_leads_a_mountpoint_out,
];

/// Folders outside, each with a file whose loss or company would show.
fn outside(scratch: &Scratch, user: User) -> std::path::PathBuf {
    let outside = scratch.folder("outside", user);
    for name in ["dev", "mnt", "pts", "shm"] {
        scratch.folder(&format!("outside/{name}"), user);
        scratch.file(&format!("outside/{name}/file"), "");
    }
    outside
}

fn f5_no_link_leads_a_mountpoint_out(user: User) {
    let scratch = Scratch::new(user);
    let outside = outside(&scratch, user);
    let before = host::paths(&outside);
    let data = scratch.folder("data", user);
    let up = "../".repeat(20);
    for target in [outside.display().to_string(), format!("{up}{}", outside.display())] {
        for name in ["dev", "proc", "sys", "run", "tmp", "mnt", "etc"] {
            let root = rootfs(user);
            fs::remove_dir_all(root.join(name)).expect("remove");
            symlink(&target, root.join(name)).expect("symlink");
            let data = data.display();
            let options = format!(
                "--bind {data}:/mnt/new/deep --tmpfs /etc/new --etc-hosts --copy-up /etc/passwd \
                 --bind {data}:/tmp/new"
            );
            for kind in ["", "--ephemeral"] {
                for chain in pivots(user, &format!("{kind} {options}"), &root) {
                    let outcome = chain.arg("true").run();
                    assert_eq!(host::paths(&outside), before, "{name}\n{outcome}");
                }
            }
        }
    }
    // By path it leads out.
    let root = rootfs(user);
    fs::remove_dir(root.join("mnt")).expect("remove");
    symlink(&outside, root.join("mnt")).expect("symlink");
    Chain::new(user, &format!("mkdir -p {root}/mnt/new/deep")).run().expect(0, "", "");
    assert_ne!(host::paths(&outside), before);
}

/// What the containers of a race are made by: the path of fs-pivot, and in which namespaces.
struct Maker<'a> {
    user: User,
    isolation: &'a str,
    program: &'a str,
}

/// What is exchanged, and in what.
struct Race<'a> {
    folder: &'a Path,
    /// A place and the link which takes its place, in `folder`.
    pairs: &'a [(&'a str, &'a str)],
    options: &'a str,
    root: &'a Rootfs,
    /// Where nothing may be made.
    outside: &'a Path,
}

impl Race<'_> {
    /// Starts containers for as long as `limit` while the racer races. Gives what went wrong, and
    /// how many have started.
    fn run(&self, maker: &Maker<'_>, limit: Duration) -> (Option<String>, usize) {
        let before = host::paths(self.outside);
        let wanted = mounts(&self.start(maker).expect("where nobody races it starts"));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let racer = scope.spawn(|| self.exchange(&stop));
            let (end, mut started) = (Instant::now() + limit, 0);
            let mut wrong = None;
            while Instant::now() < end && wrong.is_none() {
                if let Some(seen) = self.start(maker) {
                    started += 1;
                    let found = mounts(&seen);
                    let missing = |what: &&Shown| found.get(*what) < wanted.get(*what);
                    let missing: Vec<_> = wanted.keys().filter(missing).collect();
                    if !missing.is_empty() {
                        wrong = Some(format!("it started without {missing:?}"));
                    }
                }
                if host::paths(self.outside) != before {
                    wrong = Some("something was made outside".to_owned());
                }
            }
            stop.store(true, Ordering::Relaxed);
            let raced = racer.join().expect("the racer goes on") > 100;
            assert!(raced || wrong.is_some(), "it did not get to race");
            (wrong, started)
        })
    }

    fn exchange(&self, stop: &AtomicBool) -> u64 {
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            // Twice, so that in the end all is as it was.
            for (place, link) in self.pairs.iter().chain(self.pairs) {
                let [place, link] = [place, link].map(|name| self.folder.join(name));
                renameat2(AT_FDCWD, &place, AT_FDCWD, &link, RenameFlags::RENAME_EXCHANGE)
                    .expect("exchange");
                count += 1;
            }
        }
        count
    }

    /// Starts one; nothing if a folder was gone at the wrong moment, and that was said.
    fn start(&self, maker: &Maker<'_>) -> Option<Seen> {
        let (Maker { user, isolation, program }, Race { options, root, .. }) = (maker, self);
        let line = format!("{isolation} {program} {options} {root} -- /bin/probe");
        let outcome = Chain::new(*user, &line).run();
        let refused = outcome.ended == Some(125.into()) && outcome.stderr.starts_with("fs-pivot: ");
        // Where /proc has just been exchanged there is nothing to report from.
        let seen: Option<Seen> = serde_json::from_str(&outcome.stdout).ok();
        assert!(refused || seen.is_some(), "{outcome}");
        seen.filter(|seen| !seen.mounts.is_empty())
    }

    /// That a careless fs-pivot is found out, and ours does as it should.
    fn judge(&self, user: User) {
        let weakened = need!(toolbox::weakened("fs-pivot")).display().to_string();
        for isolation in isolations(user) {
            let weak = Maker { user, isolation, program: &weakened };
            let (wrong, started) = self.run(&weak, Duration::from_secs(20));
            assert!(wrong.is_some(), "{started} careless starts were not found out");
            self.clean();
            let long = std::env::var_os("RACES").is_some_and(|value| value == "long");
            let limit = Duration::from_secs(if long { 60 } else { 1 });
            let ours = Maker { user, isolation, program: "fs-pivot" };
            let (wrong, started) = self.run(&ours, limit);
            assert_eq!(wrong, None, "{isolation}");
            assert!(started > 0 || !long, "{isolation}: no container ever started");
        }
    }

    /// Removes what the careless one made.
    fn clean(&self) {
        for path in host::paths(self.outside).iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

/// What a mount shows: the type of its file system, and which folder of that.
type Shown = (String, String);

/// How often each is shown, under whatever name: who exchanges the folders that a container lies on
/// exchanges its mountpoints too.
fn mounts(seen: &Seen) -> BTreeMap<Shown, usize> {
    let mut count = BTreeMap::new();
    for mount in &seen.mounts {
        *count.entry((mount.kind.clone(), mount.root.clone())).or_default() += 1;
    }
    count
}

/// Links to `outside` beside the places that are named.
fn with_links<'a>(
    folder: &Path,
    names: &[&'a str],
    links: &'a [String],
    outside: &Path,
) -> Vec<(&'a str, &'a str)> {
    let pair = |(name, link): (&&'a str, &'a String)| {
        symlink(outside, folder.join(link)).expect("symlink");
        (*name, link.as_str())
    };
    names.iter().zip(links).map(pair).collect()
}

fn link_names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{name}.link")).collect()
}

fn f5_no_race_leads_a_mountpoint_out(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let outside = outside(&scratch, user);
    let data = scratch.folder("data", user);
    for place in ["var/place", "var/place/mnt"] {
        fs::create_dir(root.join(place)).expect("make a folder");
    }
    let names = ["dev", "proc", "sys", "run", "tmp", "mnt", "var/place"];
    let links = link_names(&names);
    let pairs = with_links(root.path(), &names, &links, &outside);
    let options = format!(
        "--bind {0}:/mnt --tmpfs /var/place/mnt --bind {0}:/var/place/mnt/new/deep",
        data.display()
    );
    Race { folder: root.path(), pairs: &pairs, options: &options, root: &root, outside: &outside }
        .judge(user);
}

fn f5_cve_2021_30465_no_race_in_a_shared_volume_leads_a_mountpoint_out(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let outside = outside(&scratch, user);
    let (volume, data) = (scratch.folder("volume", user), scratch.folder("data", user));
    fs::create_dir(volume.join("target")).expect("make a folder");
    let links = link_names(&["target"]);
    let pairs = with_links(&volume, &["target"], &links, &outside);
    let options =
        format!("--bind {}:/mnt --ro-bind {}:/mnt/target", volume.display(), data.display());
    Race { folder: &volume, pairs: &pairs, options: &options, root: &root, outside: &outside }
        .judge(user);
}
