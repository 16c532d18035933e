//! fs-pivot's options beyond the usual, and what becomes of the image: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use catena_tests::{Chain, Rootfs, Scratch, User, any, each_user, like, need};

each_user![if can_pivot;
    missing_mountpoints_are_scaffolded,
    a_root_of_one_program_suffices,
    too_many_entries_are_an_error,
    nothing_is_made_in_a_bound_folder,
    mounts_lie_in_the_order_of_the_command_line,
    a_dangling_link_leads_to_a_place_inside,
    layers_must_lie_apart,
    an_ephemeral_root_with_mounts_below_it,
    each_default_can_be_chosen,
    a_mask_and_a_read_only_path,
    files_of_its_own,
    a_device_is_shown,
    a_mount_is_given_as_a_descriptor,
    owners_are_mapped_by_root_only,
    an_image_is_mounted_by_root_only,
    a_second_pivot,
];

fn can_pivot(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Rootfs::new(user).map(drop)
}

fn rootfs(user: User) -> Rootfs {
    Rootfs::new(user).expect("asked before")
}

fn pivot(user: User, options: &str, root: &Path) -> Chain {
    Chain::new(user, &format!("ns-unshare -- fs-pivot {options} {} --", root.display()))
}

/// An image before and after: all about its files but the time of the last access. A change of
/// the content, the owner, the mode or an extended attribute sets the time of the last change; the
/// programs, which are links that all images share, have only the others.
struct Image<'a> {
    folder: &'a Path,
    before: BTreeSet<String>,
}

impl<'a> Image<'a> {
    fn of(folder: &'a Path) -> Self {
        Image { folder, before: state(folder) }
    }

    #[track_caller]
    fn is_unchanged(&self) {
        let after = state(self.folder);
        let differences: Vec<_> = self.before.symmetric_difference(&after).collect();
        assert!(differences.is_empty(), "{differences:#?}");
    }
}

fn state(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let data = fs::symlink_metadata(&path).expect("examine");
        let mut line = format!("{} {} {:o}", path.display(), data.ino(), data.mode());
        if data.is_dir() {
            left.extend(
                fs::read_dir(&path).expect("list").map(|entry| entry.expect("list").path()),
            );
        }
        if data.is_dir() || data.nlink() == 1 {
            line += &format!(" {}.{}", data.ctime(), data.ctime_nsec());
        }
        found.insert(line);
    }
    found
}

fn missing_mountpoints_are_scaffolded(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user);
    scratch.file("data/file", "data\n");
    root.file("etc/config", "config\n");
    symlink("config", root.join("etc/link")).expect("symlink");
    let image = Image::of(root.path());
    let options = format!(
        "--bind {data}:/etc/new/deep --ro-bind {data}/file:/etc/file --tmpfs /var/a/b --bind \
         {data}:/top",
        data = data.display()
    );
    let script = "cat /etc/new/deep/file /etc/file /etc/link /top/file && ls /etc && \
                  touch /etc/new/deep/x /var/a/b/x && touch /etc/x";
    let outcome = pivot(user, &options, root.path()).args(["sh", "-c", script]).run();
    let list = "data\ndata\nconfig\ndata\nconfig\nfile\ngroup\nlink\nnew\npasswd\n";
    outcome.expect(1, list, like("touch: /etc/x: Read-only file system\n"));
    image.is_unchanged();
    assert!(data.join("x").exists());
}

fn a_root_of_one_program_suffices(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let bare = scratch.folder("bare", user);
    fs::copy(root.join("bin/busybox"), bare.join("busybox")).expect("copy");
    let image = Image::of(&bare);
    let script = "/busybox ls / && /busybox touch /tmp/x /run/x && /busybox touch /x";
    let outcome = pivot(user, "", &bare).args(["/busybox", "sh", "-c", script]).run();
    outcome.expect(1, "busybox\ndev\nproc\nrun\nsys\ntmp\n", like("touch: /x: Read-only*"));
    for options in ["--ephemeral", "--overlay", "--read-only"] {
        pivot(user, options, &bare).args(["/busybox", "true"]).run().expect(0, "", "");
    }
    image.is_unchanged();
}

fn too_many_entries_are_an_error(user: User) {
    let root = rootfs(user);
    for number in 0..300 {
        root.file(&format!("etc/{number}"), "");
    }
    let start = |options: &str| pivot(user, options, root.path()).arg("true").run();
    start("").expect(0, "", "");
    let refused = "fs-pivot: can't make a mountpoint: *over 256 entries\nhint: *--ephemeral\n";
    start("--tmpfs /etc/new").expect(125, "", like(refused));
    start("--ephemeral --tmpfs /etc/new").expect(0, "", "");
}

fn nothing_is_made_in_a_bound_folder(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user);
    let bind = format!("--bind {0}:/mnt --bind {0}:/mnt/below", data.display());
    let outcome = pivot(user, &bind, root.path()).arg("true").run();
    outcome.expect(125, "", like("fs-pivot: can't make a mountpoint: '/mnt/below': *\nhint: *\n"));
    assert_eq!(fs::read_dir(&data).expect("list").count(), 0);
}

fn mounts_lie_in_the_order_of_the_command_line(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let file = scratch.file("file", "text\n");
    let bind = format!("--ro-bind {}:/mnt/file", file.display());
    let look = |options: &str| pivot(user, options, root.path()).args(["ls", "/mnt"]).run();
    look(&format!("--tmpfs /mnt {bind}")).expect(0, "file\n", "");
    look(&format!("{bind} --tmpfs /mnt")).expect(0, "", "");
}

fn a_dangling_link_leads_to_a_place_inside(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let file = scratch.file("file", "nameserver ::1\n");
    // As systemd-resolved leaves it; the new /run is empty.
    symlink("../run/resolve/stub.conf", root.join("etc/resolv.conf")).expect("symlink");
    let bind = format!("--ro-bind {}:/etc/resolv.conf", file.display());
    let outcome = pivot(user, &bind, root.path()).args(["cat", "/etc/resolv.conf"]).run();
    outcome.expect(0, "nameserver ::1\n", "");
}

fn layers_must_lie_apart(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let layers = |lower: &str, rest: &str| {
        Chain::new(user, &format!("ns-unshare -- fs-pivot --overlay {lower} {rest} -- true")).run()
    };
    let apart = "fs-pivot: can't overlay: *: it lies in another layer, *\n";
    layers(&format!("{root}:{root}"), "").expect(125, "", like(apart));
    layers(&format!("{root}:{root}/etc"), "").expect(125, "", like(apart));
    scratch.folder("one", user);
    let one = scratch.join("one").display().to_string();
    let same = format!("--upper {one} --work {one}");
    layers(&root.to_string(), &same).expect(125, "", like(apart));
    let inside = format!("--upper {root}/etc --work {one}");
    layers(&root.to_string(), &inside).expect(125, "", like(apart));
    let other = format!("--upper {one} --work /dev/shm");
    let systems = "fs-pivot: can't overlay: *: --upper and --work lie in different file systems\n";
    layers(&root.to_string(), &other).expect(125, "", like(systems));
    let below = "fs-pivot: can't use as a layer: '/': a file system is mounted below it, at *\n";
    layers(&format!("/:{root}"), "").expect(125, "", like(below));
}

fn an_ephemeral_root_with_mounts_below_it(user: User) {
    let root = rootfs(user);
    fs::create_dir_all(root.join("var/mounted")).expect("make folders");
    fs::create_dir(root.join("var/mounted/under")).expect("make a folder");
    root.file("top", "top\n");
    let image = Image::of(root.path());
    let script = format!(
        "mount -t tmpfs none {root}/var/mounted && touch {root}/var/mounted/file && \
         exec ns-unshare -m -p -- fs-pivot --ephemeral {root} -- sh -c '\
         ls / /var/mounted && cat /top && touch /etc/x /x && touch /var/x'"
    );
    let outcome = Chain::new(user, "unshare -r -m sh -c").arg(script).run();
    let list = "/:\nbin\ndev\netc\nhome\nmnt\nproc\nrun\nsys\ntmp\ntop\nvar\n\n\
                /var/mounted:\nfile\ntop\n";
    outcome.expect(1, list, like("touch: /var/x: Read-only file system\n"));
    image.is_unchanged();
}

fn each_default_can_be_chosen(user: User) {
    let root = rootfs(user);
    let kinds = |options: &str| {
        let seen = pivot(user, options, root.path()).arg("/bin/probe").see();
        let mut tops: Vec<_> = seen
            .mounts
            .iter()
            .filter(|mount| {
                ["/proc", "/sys", "/dev", "/run", "/tmp"].contains(&mount.point.as_str())
            })
            .map(|mount| format!("{}:{}", mount.point, mount.kind))
            .collect();
        tops.sort();
        tops.join(" ")
    };
    assert_eq!(kinds(""), "/dev:tmpfs /proc:proc /run:tmpfs /sys:sysfs /tmp:tmpfs");
    assert_eq!(kinds("--no-defaults --proc=new"), "/proc:proc");
    assert_eq!(kinds("--sys=none --dev=none"), "/proc:proc /run:tmpfs /tmp:tmpfs");
    assert!(kinds("--dev=host").starts_with("/dev:"));
    assert_eq!(kinds("--proc=bind --sys=bind"), kinds(""));
    let list = pivot(user, "--proc=none", root.path()).args(["ls", "/proc"]).run();
    list.expect(0, "", "");
}

fn a_mask_and_a_read_only_path(user: User) {
    let root = rootfs(user);
    root.file("etc/secret", "secret\n");
    let options = "--mask /home --mask /etc/secret --read-only-path /var";
    let script = "ls /home && cat /etc/secret && touch /etc/x && touch /var/x";
    fs::write(root.join("home/file"), "").expect("write");
    let outcome = pivot(user, options, root.path()).args(["sh", "-c", script]).run();
    outcome.expect(1, "", like("touch: /var/x: Read-only file system\n"));
    let missing = pivot(user, "--mask /none", root.path()).arg("true").run();
    missing.expect(125, "", like("fs-pivot: *'/none': No such file or directory\n"));
}

fn files_of_its_own(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let file = scratch.file("conf", "of the host\n");
    let image = Image::of(root.path());
    let copy = format!("--copy-up {}:/etc/conf", file.display());
    let script = "cat /etc/conf && echo changed >/etc/conf && cat /etc/conf";
    let outcome = pivot(user, &copy, root.path()).args(["sh", "-c", script]).run();
    outcome.expect(0, "of the host\nchanged\n", "");
    assert_eq!(fs::read_to_string(&file).expect("read"), "of the host\n");
    let line =
        format!("ns-unshare --hostname box -- fs-pivot --etc-hosts {root} -- cat /etc/hosts");
    let hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 box\n";
    Chain::new(user, &line).run().expect(0, hosts, "");
    let id = || pivot(user, "--machine-id", root.path()).args(["cat", "/etc/machine-id"]).run();
    let (one, other) = (id(), id());
    assert!(one.stdout.len() == 33 && one.stdout != other.stdout, "{one}\n{other}");
    image.is_unchanged();
    let endless = pivot(user, "--copy-up /dev/zero:/etc/x", root.path()).arg("true").run();
    endless.expect(125, "", "fs-pivot: can't copy: '/dev/zero': not a regular file\n");
}

fn a_device_is_shown(user: User) {
    let root = rootfs(user);
    let script = "stat -c %t:%T /dev/ptmx-of-the-host /dev/kmsg; chmod 777 /dev/kmsg";
    let outcome = pivot(user, "--dev-node /dev/kmsg", root.path()).args(["sh", "-c", script]).run();
    outcome.expect(1, "1:b\n", like("stat: *\nchmod: *Read-only file system\n"));
    let file = pivot(user, "--dev-node /etc/passwd", root.path()).arg("true").run();
    file.expect(125, "", "fs-pivot: refused: '/etc/passwd': it is not a device node\n");
}

fn a_mount_is_given_as_a_descriptor(user: User) {
    let root = rootfs(user);
    let line = format!("unshare -r -m -p -f fs-pivot --mount-fd 9:/mnt {root} -- true");
    let folder = fs::File::open(root.path()).expect("open");
    let outcome = Chain::new(user, &line).descriptor(9, folder).run();
    outcome.expect(125, "", like("fs-pivot: *\nhint: --mount-fd takes the root of a mount*\n"));
    let closed = Chain::new(user, &line).run();
    closed.expect(125, "", like("fs-pivot: can't mount the descriptor at: '/mnt': *\n"));
}

fn owners_are_mapped_by_root_only(user: User) {
    let root = rootfs(user);
    let only_root = pivot(user, "--idmap 0-5000-10", root.path()).arg("true").run();
    only_root.expect(125, "", like("fs-pivot: *Operation not permitted\nhint: only root may*\n"));
    if user.is_root() {
        let options = "--idmap 0-5000-10 --proc=bind";
        let line = format!("ns-unshare --mount -- fs-pivot {options} {root} -- stat -c %u:%g /etc");
        let outcome = Chain::new(user, &line).run();
        // Not every file system can.
        match outcome.stdout.as_str() {
            "" => outcome.expect(125, "", like("*this file system*can't do it\n")),
            _ => outcome.expect(0, "5000:5000\n", ""),
        };
    }
}

fn an_image_is_mounted_by_root_only(user: User) {
    need!(
        need::program("mksquashfs")
            .map_err(|_| { "mksquashfs is not installed: apt install squashfs-tools".to_owned() })
    );
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let image = scratch.join("image");
    let made = std::process::Command::new("mksquashfs")
        .args([root.path(), &image])
        .args(["-quiet", "-no-progress"])
        .output()
        .expect("mksquashfs");
    assert!(made.status.success(), "{made:?}");
    fs::set_permissions(&image, PermissionsExt::from_mode(0o644)).expect("chmod");
    pivot(user, "--image", &image).arg("true").run().expect(
        125,
        "",
        like("fs-pivot: *\nhint: only root of the host's user namespace may mount an image*\n"),
    );
    let file = root.file("etc/none", "no image\n");
    let other = pivot(user, "--image", &file).arg("true").run();
    other.expect(125, "", like("fs-pivot: not an image: *: neither squashfs nor erofs\n"));
    if user.is_root() {
        let run = |options: &str, script: &str| {
            let image = image.display();
            let line = format!("ns-unshare --mount -- fs-pivot {options} {image} -- sh -c");
            Chain::new(user, &line).arg(script).run()
        };
        run("--image", "cat /etc/group >/tmp/x; touch /etc/x").expect(1, "", any());
        run("--image --ephemeral", "touch /etc/x && ls /etc").expect(0, "group\npasswd\nx\n", "");
    }
}

fn a_second_pivot(user: User) {
    let (root, other) = (rootfs(user), rootfs(user));
    other.file("other", "other\n");
    let line = format!(
        "ns-unshare -- fs-pivot --bind {other}:/mnt {root} -- fs-pivot /mnt -- priv-drop -- \
         mini-init -- cat /other"
    );
    Chain::new(user, &line).run().expect(0, "other\n", "");
}
