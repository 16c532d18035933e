//! Roots that fs-pivot makes of layers and images, and that keep their changes to themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use catena_tests::pivot::{can_pivot, pivot, rootfs};
use catena_tests::tree::Tree;
use catena_tests::{Chain, Scratch, User, any, each_user, host, like, need};

each_user![if can_pivot;
    an_overlay_keeps_the_lower_folder,
    lower_folders_are_stacked,
    an_ephemeral_root_is_gone_at_the_end,
    the_hosts_own_root_as_ephemeral,
    layers_must_lie_apart,
    an_ephemeral_root_with_mounts_below_it,
    a_squashfs_image_is_mounted_by_root_only,
    an_erofs_image_is_mounted_by_root_only,
];

fn an_overlay_keeps_the_lower_folder(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let (upper, work) = (scratch.folder("upper", user), scratch.folder("work", user));
    root.file("etc/old", "old\n");
    let line = format!(
        "ns-unshare -- fs-pivot --overlay {root} --upper {} --work {} -- sh -c",
        upper.display(),
        work.display()
    );
    let script = "cat /etc/old && echo new >/etc/new && rm /etc/passwd && ls /etc";
    Chain::new(user, &line).arg(script).run().expect(0, "old\ngroup\nnew\nold\n", "");
    assert!(root.join("etc/passwd").exists() && !root.join("etc/new").exists());
    assert_eq!(fs::read_to_string(upper.join("etc/new")).expect("read"), "new\n");
    // What stands in the upper folder is there again the next time.
    Chain::new(user, &line).arg("cat /etc/new; ls /etc").run().expect(
        0,
        "new\ngroup\nnew\nold\n",
        "",
    );
}

fn lower_folders_are_stacked(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let layer = scratch.folder("layer", user);
    scratch.folder("layer/etc", user);
    scratch.file("layer/etc/passwd", "from the layer\n");
    let line = format!(
        "ns-unshare -- fs-pivot --ephemeral --overlay {}:{root} -- cat /etc/passwd",
        layer.display()
    );
    Chain::new(user, &line).run().expect(0, "from the layer\n", "");
}

fn an_ephemeral_root_is_gone_at_the_end(user: User) {
    let root = rootfs(user);
    let before = host::paths(root.path());
    let script = "echo new >/etc/new && cat /etc/new && rm -r /home /etc/group && ls /etc";
    let outcome = pivot(user, "--ephemeral", &root).args(["sh", "-c", script]).run();
    outcome.expect(0, "new\nnew\npasswd\n", "");
    assert_eq!(host::paths(root.path()), before);
    let look = pivot(user, "--ephemeral", &root).args(["ls", "/etc"]).run();
    look.expect(0, "group\npasswd\n", "");
}

fn the_hosts_own_root_as_ephemeral(user: User) {
    let name = format!("/usr/catena-test-{}-{}", std::process::id(), user.uid());
    let script = format!("echo new >{name} && cat {name} && cat /etc/passwd");
    let outcome =
        Chain::new(user, "ns-unshare -- fs-pivot --ephemeral / -- sh -c").arg(&script).run();
    let users = fs::read_to_string("/etc/passwd").expect("passwd");
    outcome.expect(0, format!("new\n{users}"), "");
    assert!(!fs::exists(&name).expect("look"));
    if !user.is_root() {
        // Without the tool there is no writing there at all.
        Chain::new(user, "touch").arg(&name).run().expect(1, "", any());
    }
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
    // One that is mounted on is another folder than the one that would be shown.
    let below = "fs-pivot: can't use as a layer: '/': a file system is mounted below it, at *\n";
    layers(&format!("/:{root}"), "").expect(125, "", like(below));
}

fn an_ephemeral_root_with_mounts_below_it(user: User) {
    let root = rootfs(user);
    fs::create_dir_all(root.join("var/mounted")).expect("make folders");
    fs::create_dir(root.join("var/mounted/under")).expect("make a folder");
    root.file("top", "top\n");
    let image = Tree::of(root.path());
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

/// Makes an image of a folder with this program.
fn image_of(folder: &Path, scratch: &Scratch, program: &str) -> Result<PathBuf, String> {
    let package = if program == "mkfs.erofs" { "erofs-utils" } else { "squashfs-tools" };
    need::program(program).map_err(|error| format!("{error}: apt install {package}"))?;
    let image = scratch.join(program);
    let quiet = Path::new(if program == "mkfs.erofs" { "--quiet" } else { "-quiet" });
    let words = match program {
        "mkfs.erofs" => [quiet, &image, folder],
        _ => [folder, &image, quiet],
    };
    let made = Command::new(program).args(words).output().expect("start it");
    assert!(image.is_file() && made.status.success(), "{made:?}");
    fs::set_permissions(&image, PermissionsExt::from_mode(0o644)).expect("chmod");
    Ok(image)
}

fn a_squashfs_image_is_mounted_by_root_only(user: User) {
    an_image_is_mounted_by_root_only(user, "mksquashfs");
}

fn an_erofs_image_is_mounted_by_root_only(user: User) {
    an_image_is_mounted_by_root_only(user, "mkfs.erofs");
}

fn an_image_is_mounted_by_root_only(user: User, program: &str) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let image = need!(image_of(root.path(), &scratch, program));
    let before = fs::read(&image).expect("read");
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
        let read_only = like("touch: /etc/x: Read-only file system\n");
        run("--image", "cat /etc/group >/tmp/x; touch /etc/x").expect(1, "", read_only);
        run("--image --ephemeral", "touch /etc/x && ls /etc").expect(0, "group\npasswd\nx\n", "");
    }
    assert!(fs::read(&image).expect("read") == before);
}
