//! What of a message is handed on.

use crate::message::{self, Malformed};

/// Which fields the app may send.
#[derive(Debug, Clone)]
pub struct Policy {
    allowed: Vec<&'static str>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { allowed: vec!["READY", "STATUS", "STOPPING"] }
    }
}

impl Policy {
    /// The message to hand on; none if nothing in it is allowed.
    pub fn judge(&self, datagram: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        let fields = message::parse(datagram)?;
        let allowed = fields.into_iter().filter(|f| self.allowed.contains(&f.key));
        let text = message::print(allowed);
        Ok((!text.is_empty()).then_some(text))
    }
}
