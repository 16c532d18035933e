//! The pipeline spelling: `cg-enter | ns-unshare | mini-init app` becomes the exec chain.

mod handoff;
mod holders;
mod origin;
mod peek;
mod process;
mod upstream;

use std::ffi::OsStr;
use std::io::Read;

use crate::error::{Error, Result, ResultExt};
use crate::plan::{MOST_TEXT, Plan};

pub use handoff::give;

/// The plan of the stages before this one: empty if there are none.
pub fn receive() -> Result<Plan> {
    match upstream::find()? {
        Some(upstream) => handoff::take(&upstream),
        None => Ok(Plan::default()),
    }
}

/// The plan in `file`, `-` being standard input.
pub fn load(file: &OsStr) -> Result<Plan> {
    let what = "can't read the plan";
    let mut text = Vec::new();
    let limit = MOST_TEXT as u64 + 1;
    if file == "-" {
        std::io::stdin().take(limit).read_to_end(&mut text).or_fail_on(what, file)?;
    } else {
        let opened = std::fs::File::open(file).or_fail_on(what, file)?;
        opened.take(limit).read_to_end(&mut text).or_fail_on(what, file)?;
    }
    Plan::parse(&text).map_err(|reason| Error::new(what).object(file).reason(reason))
}
