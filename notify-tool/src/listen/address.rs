//! What to open, as the command line says it: `KIND:ADDRESS[,KEY=VALUE...]`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// One descriptor to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// The name in LISTEN_FDNAMES.
    pub name: Option<String>,
    /// Who may use a socket or FIFO in the file system.
    pub mode: Option<u32>,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `tcp:` and `udp:`.
    Internet(Transport, SocketAddr),
    /// `unix:` and `unix-dgram:`: a path, or `@` and a name in the abstract namespace.
    Unix(Transport, PathBuf),
    /// `fifo:`.
    Fifo(PathBuf),
}

/// Connections or single messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A stream.
    Stream,
    /// Datagrams.
    Datagram,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) =
            text.split_once(':').ok_or("expected tcp:, udp:, unix:, unix-dgram: or fifo:")?;
        let mut parts = rest.split(',');
        let place = parts.next().filter(|place| !place.is_empty()).ok_or("no address")?;
        let address = match kind {
            "tcp" => Address::Internet(Transport::Stream, internet(place)?),
            "udp" => Address::Internet(Transport::Datagram, internet(place)?),
            "unix" => Address::Unix(Transport::Stream, local(place)?),
            "unix-dgram" => Address::Unix(Transport::Datagram, local(place)?),
            "fifo" if place.starts_with('/') => Address::Fifo(place.into()),
            "fifo" => return Err("expected a path from the root".into()),
            _ => return Err(format!("no kind is called '{kind}'")),
        };
        let mut listen = Listen { address, name: None, mode: None };
        for part in parts {
            match part.split_once('=') {
                Some(("name", value)) => listen.name = Some(name(value)?),
                Some(("mode", value)) if listen.is_file() => listen.mode = Some(mode(value)?),
                Some(("mode", _)) => return Err("mode= is for paths".into()),
                _ => return Err(format!("no option is called '{part}': name=, mode=")),
            }
        }
        Ok(listen)
    }
}

impl Listen {
    /// Whether it is a socket that accept(2) works on.
    pub fn takes_connections(&self) -> bool {
        use Transport::Stream;
        matches!(self.address, Address::Internet(Stream, _) | Address::Unix(Stream, _))
    }

    fn is_file(&self) -> bool {
        match &self.address {
            Address::Internet(..) => false,
            Address::Unix(_, path) => path.is_absolute(),
            Address::Fifo(_) => true,
        }
    }
}

/// A port alone means every address of the host, IPv4's too.
fn internet(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    text.parse().map_err(|_| "expected PORT, ADDRESS:PORT or [IPV6]:PORT".into())
}

fn local(text: &str) -> Result<PathBuf, String> {
    match text.as_bytes() {
        [b'/', ..] | [b'@', _, ..] => Ok(text.into()),
        _ => Err("expected a path from the root, or @NAME".into()),
    }
}

/// A name that sd_listen_fds_with_names(3) can give back.
pub fn name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_graphic() && c != ':' || c == ' ';
    match (1..=255).contains(&text.len()) && text.chars().all(legal) {
        true => Ok(text.to_owned()),
        false => Err("a name has 1 to 255 printable ASCII characters, no colon".into()),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or("expected an octal mode such as 0660".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<Listen>().unwrap().address
    }

    #[test]
    fn kinds() {
        let internet = |transport, text: &str| Address::Internet(transport, text.parse().unwrap());
        assert_eq!(address("tcp:80"), internet(Transport::Stream, "[::]:80"));
        assert_eq!(address("udp:127.0.0.1:53"), internet(Transport::Datagram, "127.0.0.1:53"));
        assert_eq!(address("tcp:[::1]:81"), internet(Transport::Stream, "[::1]:81"));
        assert_eq!(address("unix:@a,b=c".split(',').next().unwrap()), {
            Address::Unix(Transport::Stream, "@a".into())
        });
        assert_eq!(address("fifo:/run/f"), Address::Fifo("/run/f".into()));
    }

    #[test]
    fn options() {
        let listen: Listen = "unix:/run/x.sock,mode=0660,name=web".parse().unwrap();
        assert_eq!((listen.mode, listen.name.as_deref()), (Some(0o660), Some("web")));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "80",
            "tcp:",
            "tcp:http",
            "tcp:65536",
            "tcp:80,mode=0600",
            "unix:",
            "unix:relative",
            "unix:@",
            "unix:/x,mode=8",
            "unix:/x,mode=7777",
            "unix:/x,",
            "unix:/x,name=",
            "unix:/x,name=a:b",
            "fifo:x",
            "sctp:80",
        ] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
