//! Clients that mean harm. Whatever they send, others are served, the log is not theirs, and the
//! process stays small.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::client::{self, Connection, get};
use crate::cloud::Cloud;
use crate::sidecar::{Sidecar, TOKEN, setup};

const PATH: &str = "/parameters?name=p";
const LEVEL: &str = "PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL";

async fn start(cloud: &Cloud) -> Sidecar {
    cloud.put_parameter("p", "hush").await;
    let setup = setup("parameters: [{names: [p]}]").variable(LEVEL, "info");
    let sidecar = setup.start(cloud).await;
    serves(&sidecar).await;
    sidecar
}

/// It serves a client that means well, and at once.
async fn serves(sidecar: &Sidecar) {
    let asked = Instant::now();
    assert_eq!(sidecar.get(PATH).await.text(), "hush");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

/// Lines that are not each an event's: somebody else's.
fn foreign_lines(log: &str) -> Vec<&str> {
    let begins = [" INFO ", " WARN ", "ERROR ", "DEBUG "];
    log.lines().filter(|line| !begins.iter().any(|it| line.starts_with(it))).collect()
}

/// Something between a request and noise.
fn garbage(random: &mut fastrand::Rng) -> Vec<u8> {
    const PIECES: [&[u8]; 24] = [
        b"GET ",
        b"GET /parameters?name=p HTTP/1.1\r\n",
        b"Host: localhost\r\n",
        b"\r\n\r\n",
        b"\r\n",
        b"\n",
        b"\0",
        b" HTTP/1.1\r\n",
        b" HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"?name=",
        b"%",
        b"%00",
        b"%ff",
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"ffffffffffffffff\r\n",
        b"5\r\nhello\r\n",
        b"\x16\x03\x01",
        b"Expect: 100-continue\r\n",
        b"Connection: upgrade\r\n",
        b"http://[::1/",
        b"\xf0\x9f\x98\x80",
    ];
    let mut bytes = Vec::new();
    for _ in 0..random.usize(1..12) {
        match random.u8(0..10) {
            0 => bytes.extend((0..random.usize(1..400)).map(|_| random.u8(..))),
            1 => bytes.extend(PIECES[random.usize(..PIECES.len())].repeat(random.usize(1..2000))),
            _ => bytes.extend(PIECES[random.usize(..PIECES.len())]),
        }
    }
    bytes
}

#[tokio::test]
async fn whatever_bytes_come_others_are_served_and_the_log_is_not_theirs() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..40 {
        let clients = (0..10).map(|n| {
            let bytes = garbage(&mut random);
            let port = if n % 2 == 0 { sidecar.declared } else { sidecar.on_demand };
            async move {
                let mut connection = Connection::open(port).await;
                // It may hang up in the middle.
                connection.send(bytes).await.ok();
                let reply =
                    tokio::time::timeout(Duration::from_millis(50), connection.reply()).await;
                if let Ok(Some(reply)) = reply {
                    assert_eq!(reply.header("cache-control"), Some("no-store"), "{reply:?}");
                }
            }
        });
        join_all(clients).await;
    }
    serves(&sidecar).await;
    let log = sidecar.log();
    assert_eq!(foreign_lines(&log), [""; 0]);
    assert!(!log.contains("panic"), "{log}");
}

#[tokio::test]
async fn a_client_that_asks_and_asks_and_does_not_listen_is_cut_off() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    let mut deaf = Connection::open(sidecar.declared).await;
    let requests = get(PATH, &[]).repeat(1000);
    let asks = async { while deaf.send(&requests).await.is_ok() {} };
    let others = async {
        for _ in 0..20 {
            serves(&sidecar).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let cut_off = tokio::time::timeout(Duration::from_secs(20), asks);
    let (cut_off, ()) = tokio::join!(cut_off, others);
    cut_off.expect("an end to it");
}

#[tokio::test]
async fn a_body_without_end_is_refused_and_not_read() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    let mut connection = Connection::open(sidecar.declared).await;
    connection.send(get(PATH, &["Transfer-Encoding: chunked"])).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let sends = async {
        let mut sent = 0_usize;
        while connection.send(&chunk).await.is_ok() {
            sent += chunk.len();
        }
        sent
    };
    let sent = tokio::time::timeout(Duration::from_secs(20), sends).await.expect("an end to it");
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    serves(&sidecar).await;
}

#[tokio::test]
async fn names_with_nul_or_of_any_length_are_names_that_are_not_there() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    let long = "x".repeat(4000);
    for name in
        ["p%00", "%00", "%00p", "..%2F..%2Fp", "p%0D%0AX-Evil:%20yes", &long, "%25", "%", "%zz"]
    {
        let reply = sidecar.get(&format!("/parameters?name={name}")).await;
        assert_eq!((reply.status, reply.text()), (200, "No data found"), "{name}");
        assert_eq!(reply.header("x-evil"), None);
        let reply = sidecar.named(&format!("/secretsmanager/get?secretId={name}")).await;
        assert_eq!(reply.status, 400, "{name}: {reply:?}");
    }
    assert_eq!(foreign_lines(&sidecar.log()), [""; 0]);
}

#[tokio::test]
async fn thousands_of_names_that_are_not_declared_leave_a_few_lines_and_nothing_else() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    cloud.operations();
    let (began, before) = (Instant::now(), sidecar.resident_kb());
    let mut clients = join_all((0..8).map(|_| Connection::open(sidecar.declared))).await;
    let asked = clients.iter_mut().enumerate().map(async |(client, connection)| {
        for n in 0..1000 {
            let name = format!("{}{client}-{n}", "x".repeat(2000));
            let reply = connection.ask(get(&format!("/parameters?name={name}"), &[])).await;
            assert_eq!(reply.text(), "No data found");
        }
    });
    join_all(asked).await;
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    let log = sidecar.log();
    let lines = log.lines().filter(|line| line.contains("not declare")).count();
    assert!((1..=seconds + 2).contains(&lines), "{lines} lines in {seconds} s");
    assert!(log.len() < 4096 + lines * 1024, "{} bytes", log.len());
    let grown = sidecar.resident_kb().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} kB more");
    assert_eq!(cloud.operations(), [""; 0]);
}

#[tokio::test]
async fn thousands_of_names_that_are_not_there_are_asked_for_a_few_at_a_time_and_forgotten() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    let token = format!("X-Aws-Parameters-Secrets-Token: {TOKEN}");
    let before = sidecar.resident_kb();
    let mut clients = join_all((0..8).map(|_| Connection::open(sidecar.on_demand))).await;
    let asked = clients.iter_mut().enumerate().map(async |(client, connection)| {
        for n in 0..100 {
            let path = format!("/secretsmanager/get?secretId={}{client}-{n}", "x".repeat(2000));
            assert_eq!(connection.ask(get(&path, &[&token])).await.status, 400);
        }
    });
    join_all(asked).await;
    let grown = sidecar.resident_kb().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} kB more");
    serves(&sidecar).await;
}

#[tokio::test]
async fn many_that_hold_a_connection_and_say_nothing_are_told_from_those_that_ask() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("p", "hush").await;
    let setup = setup("parameters: [{names: [p]}]").variable("LAMBDA_CACHE_MAX_CLIENTS", 32);
    let sidecar = setup.start(&cloud).await;
    let silent = join_all((0..200).map(|_| Connection::open(sidecar.declared))).await;
    let served = async {
        loop {
            let mut client = Connection::open(sidecar.declared).await;
            client.send(get(PATH, &[])).await.ok();
            if client.reply().await.is_some_and(|reply| reply.status == 200) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let served = tokio::time::timeout(Duration::from_secs(15), served).await;
    served.expect("the silent ones have gone");
    drop(silent);
    let reply = client::ask(sidecar.declared, get(PATH, &[])).await;
    assert_eq!(reply.status, 200);
}
