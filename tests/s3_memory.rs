//! What an object of 100 MiB costs, unchanged and changed: the real HTTP client against a server on the
//! loopback, which makes the object as it sends it. Alone in its process, whose memory it measures as
//! Linux tells it.
#![cfg(all(feature = "s3", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::fs;
use std::io::{BufRead, BufReader, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use lambda_cache::sources::s3;
use lambda_cache::{Cache, Mode};

const MIB: u64 = 1024 * 1024;
const SIZE: u64 = 100 * MIB;
/// CRC-32 of so many zeros.
const CHECKSUM: &str = "SygjmA==";

/// An object of zeros: its size is its version.
#[derive(Default)]
struct Server {
    size: AtomicU64,
    /// The status and the length of the body of each answer.
    answers: Mutex<Vec<(u16, u64)>>,
}

impl Server {
    fn start() -> Result<(Arc<Self>, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (server, address) = (Arc::new(Self::default()), listener.local_addr()?);
        let serving = Arc::clone(&server);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (server, connection) = (Arc::clone(&serving), connection.unwrap());
                // It ends with the connection.
                std::thread::spawn(move || server.serve(connection));
            }
        });
        Ok((server, address))
    }

    fn serve(&self, mut connection: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(connection.try_clone()?);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            self.answer(&head, &mut connection)?;
        }
    }

    fn answer(&self, head: &str, connection: &mut TcpStream) -> Result<()> {
        let size = self.size.load(Ordering::Relaxed);
        let etag = format!("\"{size}\"");
        let asked = head.to_ascii_lowercase();
        if asked.contains(&format!("if-none-match: {etag}")) {
            write!(connection, "HTTP/1.1 304 Not Modified\r\netag: {etag}\r\n\r\n")?;
            self.answers.lock().unwrap().push((304, 0));
            return Ok(());
        }
        write!(connection, "HTTP/1.1 200 OK\r\netag: {etag}\r\ncontent-length: {size}\r\n")?;
        if size == SIZE {
            write!(connection, "x-amz-checksum-crc32: {CHECKSUM}\r\n")?;
        }
        write!(connection, "\r\n")?;
        let zeros = [0; 64 * 1024];
        let mut left = size;
        while left > 0 {
            let part = left.min(zeros.len() as u64);
            connection.write_all(&zeros[..part as usize])?;
            left -= part;
        }
        self.answers.lock().unwrap().push((200, size));
        Ok(())
    }

    fn answers(&self) -> Vec<(u16, u64)> {
        std::mem::take(&mut self.answers.lock().unwrap())
    }

    fn config(address: SocketAddr) -> SdkConfig {
        let credentials = Credentials::new("key", "secret", None, None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(format!("http://{address}"))
            .build()
    }
}

/// `VmRSS`, what is in memory now, or `VmHWM`, the most that ever was; in bytes.
fn memory(which: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[tokio::test]
async fn an_object_of_100_mib_costs_little_memory_when_it_changes_and_no_body_when_it_does_not() {
    let (server, address) = Server::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.bin");
    let builder = Cache::builder(&Server::config(address)).mode(Mode::OnDemand);
    let mut builder = builder.operation_timeout(Duration::from_secs(50));
    let file = builder.add(s3::object("s3://models/model.bin").to_file(&path));
    let entry = s3::object("s3://models/model.bin").max_bytes(SIZE).name("memory").lazy();
    let bytes = builder.add(entry);
    server.size.store(1024, Ordering::Relaxed);
    // Everything is loaded that has nothing to do with the object's size.
    let cache = builder.spawn().await.unwrap();
    assert_eq!(server.answers(), [(200, 1024)]);

    let base = memory("VmRSS");
    server.size.store(SIZE, Ordering::Relaxed);
    cache.refresh(file).await.unwrap();
    let cost = memory("VmHWM") - base;
    assert_eq!(fs::metadata(&path).unwrap().len(), SIZE);
    assert_eq!(server.answers(), [(200, SIZE)]);
    assert!(cost < 32 * MIB, "{} KiB", cost / 1024);

    for _ in 0..2 {
        cache.refresh(file).await.unwrap();
        assert_eq!(server.answers(), [(304, 0)]);
    }

    // What is measured is what it seems to be.
    assert_eq!(cache.get(bytes).await.unwrap().len() as u64, SIZE);
    let cost = memory("VmHWM") - base;
    assert!(cost >= SIZE, "{} KiB", cost / 1024);
}
