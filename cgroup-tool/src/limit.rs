//! Limits: the interface file of cgroup v2 that each means, and its value.

use chain::{Error, Result};

use crate::cpu::Bandwidth;
use crate::device::{IoMax, IoWeight};
use crate::v1;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The option, for messages.
    pub option: String,
    /// The interface file of v2; its first part is the controller's name.
    pub file: String,
    /// The value.
    pub value: Value,
}

/// The value of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An amount, `None` being no limit.
    Amount(Option<u64>),
    /// CPU time.
    Bandwidth(Bandwidth),
    /// Limits of a device.
    IoMax(IoMax),
    /// Shares of a device, or of all.
    IoWeight(IoWeight),
    /// What v1 and v2 have in common.
    Text(String),
    /// Word for word, to just this file (`--set`).
    Literal(String),
}

/// One write to an interface file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The interface file.
    pub file: String,
    /// What is written.
    pub value: String,
    /// The file that shows whether it is in force.
    pub shown_by: String,
}

impl Setting {
    /// One write to an interface file.
    pub fn new(file: impl Into<String>, value: impl ToString) -> Self {
        let file = file.into();
        Setting { shown_by: file.clone(), file, value: value.to_string() }
    }
}

impl Limit {
    /// A limit that `option` asked for.
    pub fn new(option: &str, file: impl Into<String>, value: Value) -> Self {
        Limit { option: option.to_owned(), file: file.into(), value }
    }

    /// The controller that has the file.
    pub fn controller(&self) -> &str {
        self.file.split_once('.').map_or(&self.file, |(controller, _)| controller)
    }

    /// Whether the file belongs to the cgroup itself and not to a controller.
    pub fn is_core(&self) -> bool {
        self.controller() == "cgroup"
    }

    /// What is written in a v2 hierarchy.
    pub fn on_v2(&self) -> Setting {
        let value = match &self.value {
            Value::Amount(Some(amount)) => amount.to_string(),
            Value::Amount(None) => "max".to_owned(),
            Value::Bandwidth(Bandwidth { quota: Some(quota), period }) => {
                format!("{quota} {period}")
            }
            Value::Bandwidth(Bandwidth { quota: None, period }) => format!("max {period}"),
            Value::IoMax(IoMax { device, limits }) => {
                let limit = |(key, limit): &(String, Option<u64>)| match limit {
                    Some(limit) => format!(" {key}={limit}"),
                    None => format!(" {key}=max"),
                };
                device.0.clone() + &limits.iter().map(limit).collect::<String>()
            }
            Value::IoWeight(IoWeight { device, weight }) => {
                let device = device.as_ref().map_or("default", |device| &device.0);
                format!("{device} {weight}")
            }
            Value::Text(text) | Value::Literal(text) => text.clone(),
        };
        let mut setting = Setting::new(&self.file, value);
        // CPUs that the parent doesn't have are taken, and ignored.
        if let ("cpuset.cpus" | "cpuset.mems", Value::Text(_)) = (self.file.as_str(), &self.value) {
            setting.shown_by.push_str(".effective");
        }
        setting
    }

    /// What is written in a v1 hierarchy; `all` that was asked for, since some depend on others.
    pub fn on_v1(&self, all: &[Limit]) -> Result<Vec<Setting>> {
        v1::translate(self, all)
    }
}

/// Reads `FILE=VALUE` of `--set`.
pub fn parse_set(text: &str) -> Result<(String, String), String> {
    let (file, value) = text.split_once('=').ok_or("not FILE=VALUE")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
    if !file.contains('.') || file.starts_with('.') || !file.bytes().all(is_plain) {
        return Err("FILE is an interface file's name, like memory.high".to_owned());
    }
    // Written, these move processes or start things; they are no settings.
    let acts = [
        "cgroup.procs",
        "cgroup.threads",
        "cgroup.kill",
        "cgroup.event_control",
        "cgroup.subtree_control",
    ];
    if acts.contains(&file) {
        return Err(format!("{file} is not a setting"));
    }
    if value.is_empty() || value.contains(char::is_control) {
        return Err("VALUE is one line and not empty".to_owned());
    }
    Ok((file.to_owned(), value.to_owned()))
}

/// The error of a limit that this host has no controller for.
pub fn no_controller(limit: &Limit) -> Error {
    Error::new(format!("can't set {}: no controller", limit.option)).object(limit.controller())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        let max = Limit::new("--memory-max", "memory.max", Value::Amount(Some(4096)));
        assert_eq!(max.controller(), "memory");
        assert_eq!(max.on_v2(), Setting::new("memory.max", "4096"));
        let cpu = Bandwidth { quota: None, period: 5 };
        assert_eq!(
            Limit::new("", "cpu.max", Value::Bandwidth(cpu)).on_v2(),
            Setting::new("cpu.max", "max 5")
        );
    }

    #[test]
    fn set() {
        assert_eq!(parse_set("memory.high=1G"), Ok(("memory.high".into(), "1G".into())));
        assert_eq!(parse_set("io.max=8:0 rbps=1"), Ok(("io.max".into(), "8:0 rbps=1".into())));
        for text in [
            "",
            "=",
            "memory.high",
            "memory.high=",
            "memory.high=1\n2",
            "../x.y=1",
            "/memory.max=1",
            ".x=1",
            "tasks=1",
            "cgroup.procs=1",
            "cgroup.kill=1",
            "a b.c=1",
        ] {
            assert!(parse_set(text).is_err(), "{text}");
        }
    }
}
