//! cg-enter: swap. In a file of its own, since turning swap on changes what memory limits do.

use std::process::Command;
use std::time::Duration;

use catena_tests::{Cell, Chain, User, any, here_or_elsewhere, need};
use nix::sys::signal::Signal;

fn may_swap() -> Result<(), &'static str> {
    std::env::var_os("CATENA_VM").map(drop).ok_or("its swap is not ours to turn on and off")
}

/// The test machine has a device for this (tests/vm/init); other machines are left alone.
#[test]
fn swap_beyond_the_limit_kills() {
    here_or_elsewhere!(may_swap());
    need!(Cell::with(User::Root, "memory"));
    let on = Command::new("swapon").arg("/dev/zram0").status().expect("swapon");
    assert!(on.success());
    let eat = |options: &str| {
        let line = format!("cg-enter --memory-max 32M {options} -- {{probe}} eat 48000000");
        Chain::new(User::Root, &line).deadline(Duration::from_secs(120)).run()
    };
    eat("").expect(0, "full\n", "");
    eat("--memory-swap-max 8M").expect(Signal::SIGKILL, "", any());
    eat("--memory-swap-max 0").expect(Signal::SIGKILL, "", any());
    let off = Command::new("swapoff").arg("/dev/zram0").status().expect("swapoff");
    assert!(off.success());
}
