//! Many clients, and clients that do not get on.

use std::time::{Duration, Instant};

use futures_util::future::{join_all, select_all};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::{Connection, get};
use crate::cloud::Cloud;
use crate::sidecar::{Sidecar, setup};

const PATH: &str = "/parameters?name=p";
const MANY: usize = 1000;

async fn start(cloud: &Cloud, most: usize) -> Sidecar {
    cloud.put_parameter("p", "hush").await;
    let setup = setup("parameters: [{names: [p]}]");
    let sidecar = setup.variable("LAMBDA_CACHE_MAX_CLIENTS", most).start(cloud).await;
    assert_eq!(sidecar.get(PATH).await.status, 200);
    sidecar
}

/// As many files as the system lets this test have: each connection is one.
fn raise_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

#[tokio::test]
async fn a_thousand_clients_at_once_are_all_served() {
    raise_limit();
    let cloud = Cloud::start().await;
    // The last one of before may not be gone yet.
    let sidecar = start(&cloud, MANY + 1).await;
    let mut clients = join_all((0..MANY).map(|_| Connection::open(sidecar.declared))).await;
    for _ in 0..2 {
        let replies = join_all(clients.iter_mut().map(|it| it.ask(get(PATH, &[])))).await;
        assert!(replies.iter().all(|it| it.text() == "hush"));
    }
    assert_eq!(cloud.aws.calls().len(), 1);
}

#[tokio::test]
async fn beyond_the_bound_clients_are_told_so_until_there_is_room_again() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud, 4).await;
    let mut clients = Vec::new();
    while clients.len() < 4 {
        // Places of connections that are gone may take a moment to be free.
        let mut client = Connection::open(sidecar.declared).await;
        if client.ask(get(PATH, &[])).await.status == 200 {
            clients.push(client);
        }
    }
    for port in [sidecar.declared, sidecar.on_demand] {
        let mut another = Connection::open(port).await;
        assert_eq!(another.ask(get(PATH, &[])).await.status, 429);
        assert_eq!(another.reply().await, None, "and the connection ends");
    }
    for client in &mut clients {
        assert_eq!(client.ask(get(PATH, &[])).await.status, 200, "who is in is served");
    }
    drop(clients);
    let served = async {
        while Connection::open(sidecar.declared).await.ask(get(PATH, &[])).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), served).await.expect("room again");
}

#[tokio::test]
async fn however_many_clients_there_are_something_is_left_for_connections_to_aws() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("p", "hush").await;
    let setup = setup("parameters: [{names: [p]}]").open_files(100);
    let sidecar = setup.start(&cloud).await;
    let mut clients = join_all((0..200).map(|_| Connection::open(sidecar.declared))).await;
    let served = async {
        for client in &mut clients {
            if client.send(get(PATH, &[])).await.is_err() {
                continue;
            }
            if client.reply().await.is_some_and(|it| it.status == 200) {
                return;
            }
        }
        panic!("nobody is served");
    };
    served.await;
    assert!(sidecar.log().contains("fewer clients"));
}

#[tokio::test]
async fn clients_that_say_nothing_or_little_hold_nobody_up_and_go_in_the_end() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud, 64).await;
    let began = Instant::now();
    let mut silent = join_all((0..40).map(|_| Connection::open(sidecar.declared))).await;
    let mut half_sent = Connection::open(sidecar.declared).await;
    half_sent.send("GET /para").await.unwrap();
    let mut slow = Connection::open(sidecar.declared).await;
    let dribble = async {
        for byte in get(PATH, &["X-Slow: yes"]).into_bytes() {
            if slow.send([byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let mut quick = Connection::open(sidecar.declared).await;
    let others = async {
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            let asked = Instant::now();
            assert_eq!(quick.ask(get(PATH, &[])).await.text(), "hush");
            longest = longest.max(asked.elapsed());
        }
        longest
    };
    let (longest, cut_off) = tokio::join!(others, async {
        tokio::select! {
            () = dribble => panic!("it was let go on"),
            reply = half_sent.reply() => (reply, began.elapsed()),
        }
    });
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert_eq!(cut_off.0, None);
    assert!(cut_off.1 < Duration::from_secs(12), "{:?}", cut_off.1);
    // The silent ones are in the way, as long as they take more than half of all places.
    let silent = silent.iter_mut().map(|it| Box::pin(it.reply()));
    assert_eq!(select_all(silent).await.0, None);
}
