//! As much of Redis's protocol as it takes to ask a server for one thing.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends one command on a new connection, and returns the answer as text; a list has a line for each item.
pub(super) fn command(port: u16, password: Option<&str>, words: &[&str]) -> Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    if let Some(password) = password {
        stream.write_all(&request(&["AUTH", password]))?;
        answer(&mut reader)?;
    }
    stream.write_all(&request(words))?;
    answer(&mut reader)
}

fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    bytes
}

fn answer(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    let Some((kind, rest)) = line.split_at_checked(1) else { bail!("Redis closed the connection") };
    match kind {
        "+" | ":" => Ok(rest.to_owned()),
        "-" => bail!("Redis answered: {rest}"),
        "$" if rest == "-1" => Ok(String::new()),
        "$" => {
            let mut bytes = vec![0; length(rest)? + 2];
            reader.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        "*" if rest == "-1" => Ok(String::new()),
        "*" => {
            let items: Result<Vec<_>> = (0..length(rest)?).map(|_| answer(reader)).collect();
            Ok(items?.join("\n"))
        }
        _ => bail!("Redis answered {line:?}, which is not its protocol"),
    }
}

fn length(text: &str) -> Result<usize> {
    text.parse().with_context(|| format!("Redis answered with the length {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_answer_is_read() {
        for (bytes, expected) in [
            ("+PONG\r\n", Ok("PONG")),
            (":42\r\n", Ok("42")),
            ("$5\r\na\r\nbc\r\n", Ok("a\r\nbc")),
            ("$-1\r\n", Ok("")),
            ("*3\r\n$1\r\na\r\n:2\r\n*1\r\n+c\r\n", Ok("a\n2\nc")),
            ("-LOADING it loads\r\n", Err("Redis answered: LOADING it loads")),
            ("", Err("Redis closed the connection")),
            ("HTTP/1.1\r\n", Err("Redis answered \"HTTP/1.1\", which is not its protocol")),
        ] {
            let seen = answer(&mut bytes.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(seen.as_deref().map_err(String::as_str), expected, "{bytes:?}");
        }
    }
}
