//! The way to a service, which can die under what is connected, as it does in a freeze.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// It ends with the test.
pub(crate) struct Relay {
    pub(crate) endpoint: String,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

struct State {
    service: String,
    /// How many connections have been made.
    opened: watch::Sender<usize>,
    /// Nothing is passed on before so many have been made.
    together: AtomicUsize,
    /// Changes when what is connected dies.
    died: watch::Sender<Option<Death>>,
    lost: AtomicUsize,
}

/// How a connection dies: either way, its client hears of it only when it sends something.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Death {
    /// The other end has forgotten it.
    Reset,
    /// Something on the way has forgotten it.
    BlackHole,
}

impl Death {
    pub(crate) const ALL: [Self; 2] = [Self::Reset, Self::BlackHole];
}

impl Relay {
    /// The way to the service at this endpoint: `http://127.0.0.1:<port>`.
    pub(crate) async fn to(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            service: endpoint.trim_start_matches("http://").to_owned(),
            opened: watch::Sender::new(0),
            together: AtomicUsize::new(0),
            died: watch::Sender::new(None),
            lost: AtomicUsize::new(0),
        });
        Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            listening: tokio::spawn(listen(listener, Arc::clone(&state))),
            state,
        }
    }

    /// Nothing is passed on before so many connections have been made.
    pub(crate) fn together(&self, connections: usize) {
        self.state.together.store(connections, SeqCst);
    }

    /// What is connected dies. What connects from now on lives.
    pub(crate) fn die(&self, death: Death) {
        self.state.died.send_replace(Some(death));
    }

    /// How many connections have been made.
    pub(crate) fn opened(&self) -> usize {
        *self.state.opened.borrow()
    }

    /// How many requests were sent to what had died.
    pub(crate) fn lost(&self) -> usize {
        self.state.lost.load(SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        state.opened.send_modify(|opened| *opened += 1);
        tokio::spawn(pass_on(client, Arc::clone(&state)));
    }
}

async fn pass_on(mut client: TcpStream, state: Arc<State>) {
    let mut died = state.died.subscribe();
    let relayed = async {
        let together = state.together.load(SeqCst);
        state.opened.subscribe().wait_for(|opened| *opened >= together).await.unwrap();
        let mut service = TcpStream::connect(&state.service).await.unwrap();
        // Either end may break it off.
        copy_bidirectional(&mut client, &mut service).await.ok();
    };
    tokio::select! {
        () = relayed => return,
        changed = died.changed() => changed.unwrap(),
    }
    let death = died.borrow().expect("it has died");
    let mut sent = [0; 1024];
    while matches!(client.read(&mut sent).await, Ok(1..)) {
        state.lost.fetch_add(1, SeqCst);
        match death {
            Death::Reset => return client.set_zero_linger().unwrap(),
            Death::BlackHole => while matches!(client.read(&mut sent).await, Ok(1..)) {},
        }
    }
}
