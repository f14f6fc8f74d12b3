use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);
/// Long enough to see that nothing comes.
const A_WHILE: Duration = Duration::from_millis(200);

/// A proxy in front of a server that sends back what it gets.
fn echo() -> (Runtime, Proxy) {
    let runtime = Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::open(runtime.handle()).unwrap();
    proxy.lead_to(listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut reader = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut reader, &mut stream);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    (runtime, proxy)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends a word and waits for its echo; how long that took.
fn round(stream: &mut TcpStream) -> std::io::Result<Duration> {
    let began = Instant::now();
    stream.write_all(b"word")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"word");
    Ok(began.elapsed())
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn every_byte_arrives_once_in_order_and_so_does_the_end() {
    let (_runtime, proxy) = echo();
    let bytes: Vec<_> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut stream = connect(&proxy);
    let (mut sender, sent) = (stream.try_clone().unwrap(), bytes.clone());
    let sending = std::thread::spawn(move || {
        sender.write_all(&sent).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).unwrap();
    sending.join().unwrap();
    assert!(seen == bytes, "{} bytes of {}", seen.len(), bytes.len());
    assert_eq!(proxy.counts(), (1, 0));
}

#[test]
fn a_cut_ends_old_connections_refuses_new_ones_and_passes() {
    let (_runtime, proxy) = echo();
    let mut old = connect(&proxy);
    round(&mut old).unwrap();
    proxy.set(Mode::Cut);
    let error = old.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    // It may be taken for a moment; nothing comes of it.
    let new = TcpStream::connect(("127.0.0.1", proxy.port()));
    let failed = new.and_then(|mut stream| {
        stream.set_read_timeout(Some(LIMIT))?;
        stream.read_exact(&mut [0])
    });
    assert!(!is_silence(&failed.unwrap_err()));
    assert_eq!(proxy.counts().1, 2);
    proxy.set(Mode::Pass);
    round(&mut connect(&proxy)).unwrap();
}

#[test]
fn half_open_closes_nothing_moves_nothing_and_loses_nothing() {
    let (_runtime, proxy) = echo();
    let mut old = connect(&proxy);
    round(&mut old).unwrap();
    proxy.set(Mode::HalfOpen);
    let mut new = connect(&proxy);
    for stream in [&mut old, &mut new] {
        stream.write_all(b"kept").unwrap();
        stream.set_read_timeout(Some(A_WHILE)).unwrap();
        let error = stream.read(&mut [0; 4]).unwrap_err();
        assert!(is_silence(&error), "{error}");
        stream.set_read_timeout(Some(LIMIT)).unwrap();
    }
    proxy.set(Mode::Pass);
    for stream in [&mut old, &mut new] {
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"kept");
        round(stream).unwrap();
    }
    assert_eq!(proxy.counts(), (2, 0));
}

#[test]
fn half_open_and_then_cut_is_a_reset() {
    let (_runtime, proxy) = echo();
    proxy.set(Mode::HalfOpen);
    let mut stream = connect(&proxy);
    proxy.set(Mode::Cut);
    assert!(!is_silence(&stream.read_exact(&mut [0]).unwrap_err()));
}

#[test]
fn a_delay_counts_for_each_direction_and_not_for_each_piece() {
    let (_runtime, proxy) = echo();
    let mut stream = connect(&proxy);
    round(&mut stream).unwrap();
    let (up, down) = (Duration::from_millis(150), Duration::from_millis(100));
    proxy.set(Mode::Delay { up, down });
    let slow = round(&mut stream).unwrap();
    assert!(slow >= up + down, "{slow:?}");
    // Many pieces are under way at once: a hundred times the delay would be 25 s, and with two at once still 8 s.
    let began = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || (0..100).for_each(|_| writer.write_all(&[7; CHUNK]).unwrap()));
    stream.read_exact(&mut vec![0; 100 * CHUNK]).unwrap();
    writing.join().unwrap();
    assert!(began.elapsed() < LIMIT / 2, "{:?}", began.elapsed());
    proxy.set(Mode::Pass);
    round(&mut stream).unwrap();
}

#[test]
fn a_throttle_lets_so_much_through_per_second() {
    let (_runtime, proxy) = echo();
    let mut stream = connect(&proxy);
    proxy.set(Mode::Throttle(100_000));
    let began = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&[7; 60_000]).unwrap());
    stream.read_exact(&mut [0; 60_000]).unwrap();
    writing.join().unwrap();
    // The last chunk is not waited for on its way.
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
}
