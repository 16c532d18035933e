//! What a link is started with: by an exec, or by the link before it in the same process.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::environment::Environment;
use crate::error::Result;
use crate::handover::Handover;

thread_local! {
    /// The first word of the link that this process is by now, if it was not executed as that.
    static FIRST_WORD: Cell<Option<&'static OsStr>> = const { Cell::new(None) };
}

/// The words, the environment and what the link before this one tells it.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) words: Vec<OsString>,
    pub(crate) environment: Environment,
    pub(crate) handover: Option<Handover>,
    /// The link before this one was this process too, and has checked what an exec brings along.
    pub(crate) without_exec: bool,
}

impl Start {
    /// By the exec that began this process's program.
    pub(crate) fn by_exec() -> Result<Self> {
        let mut environment = Environment::of_this_process();
        let handover = Handover::take(&mut environment)?;
        let words = std::env::args_os().collect();
        Ok(Start { words, environment, handover, without_exec: false })
    }

    /// By the link before it, in the same process.
    pub(crate) fn without_exec(
        words: Vec<OsString>,
        environment: Environment,
        handover: Handover,
    ) -> Self {
        FIRST_WORD.set(words.first().map(|word| &*Box::leak(word.clone().into_boxed_os_str())));
        Start { words, environment, handover: Some(handover), without_exec: true }
    }
}

/// The name that this link was started under.
pub(crate) fn own_name() -> String {
    let word = FIRST_WORD.get().map(OsStr::to_owned).or_else(|| std::env::args_os().next());
    let word = word.unwrap_or_default();
    Path::new(&word).file_name().unwrap_or_default().to_string_lossy().into_owned()
}
