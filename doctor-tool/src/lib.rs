//! `chain-doctor`: tries on this host, as this user, what the tools do, one thing after the other.
//!
//! Each check is a chain that a user could type, run in a child: what it says when it fails is what
//! the tool itself says, with the knob that helps.

#![forbid(unsafe_code)]

mod attempt;
mod checks;
mod findings;
mod probes;

use std::io::Write;

use chain::{Error, Result, ResultExt};

use attempt::Toolbox;
use findings::Findings;

/// The status where the main job does not work.
const NOT_HERE: u8 = 1;

/// Try what the tools do on this host, and say what it takes where something is not allowed
#[derive(Debug, clap::Parser)]
#[command(name = "chain-doctor", version)]
pub struct ChainDoctor {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl chain::Act for ChainDoctor {
    fn run(self) -> Result<u8> {
        let toolbox = Toolbox::beside_this_program()?;
        let findings = Findings::of(&toolbox)?;
        let text = match self.json {
            true => serde_json::to_string(&findings)
                .map(|json| json + "\n")
                .map_err(|error| Error::new("can't write JSON").reason(error.to_string()))?,
            false => findings.to_string(),
        };
        std::io::stdout().write_all(text.as_bytes()).or_fail("can't print")?;
        Ok(if findings.works { 0 } else { NOT_HERE })
    }
}
