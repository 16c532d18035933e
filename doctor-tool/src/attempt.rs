//! One try: a chain of our own tools, run in a child.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chain::{Error, Result, ResultExt};

/// How long one try may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The folder of the tools: the one that this program is in.
pub struct Toolbox(PathBuf);

impl Toolbox {
    /// Where the tools are.
    pub fn beside_this_program() -> Result<Toolbox> {
        let path = std::env::current_exe().or_fail("can't find out where this program is")?;
        let folder = path.parent().unwrap_or(&path).to_owned();
        for name in ["cg-enter", "ns-unshare", "fs-pivot", "priv-drop", "mini-init"] {
            if !folder.join(name).is_file() {
                let error = Error::new("a tool is not in the folder of this program");
                return Err(error.object(folder.join(name)).hint("the tools belong together"));
            }
        }
        Ok(Toolbox(folder))
    }

    /// Runs `chain`, with nothing on its standard input; what it said if it failed.
    pub fn attempt(&self, chain: &str) -> Result<Option<String>> {
        let mut children: Vec<Child> = Vec::new();
        for stage in chain.split(" | ") {
            let input = match children.last_mut().and_then(|before| before.stdout.take()) {
                Some(pipe) => Stdio::from(pipe),
                None => Stdio::null(),
            };
            let is_last = chain.ends_with(stage);
            let mut words = stage.split_whitespace();
            let mut command = Command::new(self.0.join(words.next().unwrap_or_default()));
            command.args(words).stdin(input).stderr(Stdio::piped());
            command.stdout(if is_last { Stdio::null() } else { Stdio::piped() });
            command.current_dir("/");
            children.push(command.spawn().or_fail("can't start a tool")?);
        }
        let mut said = None;
        let deadline = Instant::now() + LIMIT;
        for mut child in children {
            said = said.or(refusal(&mut child, deadline)?);
        }
        Ok(said)
    }
}

/// What `child` said, if it failed.
fn refusal(child: &mut Child, deadline: Instant) -> Result<Option<String>> {
    let status = loop {
        if let Some(status) = child.try_wait().or_fail("can't wait for a tool")? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().and_then(|()| child.wait()).or_fail("can't end a tool")?;
            return Ok(Some(format!("not done after {} seconds", LIMIT.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    if status.success() {
        return Ok(None);
    }
    let mut said = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_string(&mut said).or_fail("can't read what a tool says")?;
    }
    let said = said.trim_end();
    Ok(Some(if said.is_empty() { status.to_string() } else { said.to_owned() }))
}

/// The first line of a file of the kernel's, if there is one.
pub fn first_line(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    text.lines().next().map(ToOwned::to_owned)
}
