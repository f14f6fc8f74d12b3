//! Whether a broker answers its protocol.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// ApiVersions, version 0, with this correlation and no client id: the one request that every broker answers to anybody.
const REQUEST: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 77, 0xff, 0xff];
const CORRELATION: [u8; 4] = [0, 0, 0, 77];

/// The most that an answer may be: it is a list of some sixty requests.
const LONGEST: u32 = 64 * 1024;

/// Asks which requests the broker knows. Anything but an answer without an error is a no.
pub(super) fn answers(address: SocketAddr) -> bool {
    ask(address).unwrap_or(false)
}

fn ask(address: SocketAddr) -> std::io::Result<bool> {
    let timeout = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(REQUEST)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    if !(10..LONGEST).contains(&u32::from_be_bytes(length)) {
        return Ok(false);
    }
    let mut head = [0; 6];
    stream.read_exact(&mut head)?;
    Ok(head.starts_with(&CORRELATION) && head.ends_with(&[0, 0]))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_an_answer_without_an_error_counts() {
        let good = [&[0, 0, 0, 12][..], &CORRELATION, &[0, 0], &[0, 0, 0, 0, 0, 0]].concat();
        let refused = [&[0, 0, 0, 12][..], &CORRELATION, &[0, 35], &[0, 0, 0, 0, 0, 0]].concat();
        let foreign = b"HTTP/1.1 400 Bad Request\r\n".to_vec();
        for (answer, expected) in [(good, true), (refused, false), (foreign, false), (Vec::new(), false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; REQUEST.len()];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(&answer).unwrap();
                request
            });
            assert_eq!(answers(address), expected);
            assert_eq!(server.join().unwrap(), REQUEST);
        }
    }
}
