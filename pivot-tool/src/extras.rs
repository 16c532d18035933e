//! The options that mount something, kept in the order of the command line: what is mounted later
//! lies on top.

use std::ffi::OsStr;

use chain::Result;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::mount::{RDONLY, SAFE};
use crate::spec::{self, Extra};

/// All of them, whatever their names.
#[derive(Debug, Clone, Default)]
pub struct Extras(pub Vec<Extra>);

type Parse = fn(&OsStr) -> Result<Extra>;

/// Name, value, help and parser of each.
const OPTIONS: &[(&str, &str, &str, Parse)] = &[
    (
        "bind",
        "SRC:DST[:OPTS]",
        "Show SRC of the host at DST, what is mounted below it too. OPTS, separated by commas: ro, \
         noexec, norec; suid and dev, which lift nosuid and nodev; idmap=MAP as for --idmap. '\\:' \
         is a colon in a name",
        |text| spec::bind(text, SAFE),
    ),
    ("ro-bind", "SRC:DST[:OPTS]", "Show it read-only, all that is mounted below it too", |text| {
        spec::bind(text, SAFE | RDONLY)
    }),
    (
        "tmpfs",
        "DST[:OPTS]",
        "Mount an empty tmpfs at DST. OPTS, separated by commas: size=, mode=, nr_inodes=, ro, \
         noexec",
        spec::tmpfs,
    ),
    ("mqueue", "DST", "Mount the message queues of the IPC namespace at DST", |text| {
        spec::destination(text).map(Extra::Mqueue)
    }),
    ("dev-node", "PATH", "Show the device node PATH of the host at the same path", |text| {
        spec::destination(text).map(Extra::Device)
    }),
    (
        "mount-fd",
        "FD:DST",
        "Attach at DST the detached mount that descriptor FD holds (open_tree(2), fsmount(2))",
        spec::descriptor,
    ),
    (
        "copy-up",
        "FILE[:DST]",
        "Put a private copy of FILE of the host at DST, or at the same path (/etc/resolv.conf)",
        spec::copy,
    ),
    ("mask", "PATH", "Hide PATH: a folder shows as empty, a file as the null device", |text| {
        spec::destination(text).map(Extra::Mask)
    }),
    ("read-only-path", "PATH", "Make PATH read-only, all that is mounted below it too", |text| {
        spec::destination(text).map(Extra::ReadOnly)
    }),
];

impl Args for Extras {
    fn augment_args(command: Command) -> Command {
        OPTIONS.iter().fold(command, |command, &(name, value, help, parse)| {
            let parser = OsStringValueParser::new().try_map(move |text| parse(&text));
            command.arg(
                Arg::new(name)
                    .long(name)
                    .value_name(value)
                    .help(help)
                    .action(ArgAction::Append)
                    .value_parser(parser),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Extras {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Vec::new();
        for &(name, ..) in OPTIONS {
            let indices = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<Extra>(name).into_iter().flatten();
            found.extend(indices.zip(values.cloned()));
        }
        found.sort_by_key(|(index, _)| *index);
        Ok(Extras(found.into_iter().map(|(_, extra)| extra).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_command_line_is_kept() {
        let words = ["x", "--tmpfs=/a", "--mask=/b", "--bind=c:/c", "--tmpfs=/d", "--mask=/e"];
        let matches = Extras::augment_args(Command::new("x")).try_get_matches_from(words).unwrap();
        let extras = Extras::from_arg_matches(&matches).unwrap().0;
        let kind = |extra: &Extra| match extra {
            Extra::Tmpfs { .. } => "tmpfs",
            Extra::Bind { .. } => "bind",
            Extra::Mask(_) => "mask",
            _ => "other",
        };
        let kinds: Vec<_> = extras.iter().map(kind).collect();
        assert_eq!(kinds, ["tmpfs", "mask", "bind", "tmpfs", "mask"]);
    }
}
