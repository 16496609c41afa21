//! A runtime and an extension that do one thing at a time: raw HTTP, a connection for each question.

use std::future::Future;

use lambda_cache::testing::{Lambda, LambdaBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const RUNTIME: &str = "/2018-06-01/runtime";
pub(crate) const EXTENSION: &str = "/2020-01-01/extension";

pub(crate) fn start(builder: LambdaBuilder) -> Lambda {
    builder.bind().unwrap().start().unwrap()
}

/// Whether it has to wait, even after all that could happen by now has happened.
pub(crate) async fn waits<T>(lambda: &Lambda, future: impl Future<Output = T>) -> bool {
    // Tasks run in turn: when this one's question has gone there and back, so have all before it.
    send(lambda, "GET", "/nothing", "", "").await.answered().await;
    tokio::select! {
        biased;
        _ = future => false,
        () = std::future::ready(()) => true,
    }
}

/// Waits for what only time can bring, without letting any pass: paused time jumps to the next timer.
pub(crate) async fn in_no_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::pause();
    let result = future.await;
    tokio::time::resume();
    result
}

/// An answer of one of the APIs.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.head.lines().filter_map(|line| line.split_once(": "));
        values.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn request_id(&self) -> &str {
        self.header("lambda-runtime-aws-request-id").unwrap()
    }

    pub(crate) fn error_type(&self) -> (u16, String) {
        (self.status, self.json()["errorType"].as_str().unwrap().to_owned())
    }
}

/// A question that was sent and may be answered.
pub(crate) struct Question(TcpStream);

impl Question {
    pub(crate) async fn answered(self) -> Answer {
        self.answer().await.expect("an answer")
    }

    /// Waits for the answer and leaves it there.
    pub(crate) async fn is_answered(&mut self) {
        self.0.peek(&mut [0]).await.unwrap();
    }

    /// `None` if the connection was closed without one.
    pub(crate) async fn answer(mut self) -> Option<Answer> {
        let mut text = String::new();
        self.0.read_to_string(&mut text).await.ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
    }
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Client {
    lambda: Lambda,
    id: Option<String>,
}

impl Client {
    pub(crate) fn runtime(lambda: &Lambda) -> Self {
        Self { lambda: lambda.clone(), id: None }
    }

    /// An extension of this name, registered for these events.
    pub(crate) async fn extension(lambda: &Lambda, name: &str, events: &[&str]) -> Self {
        let answer = register(lambda, name, events).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer.header("lambda-extension-identifier").map(str::to_owned);
        Self { lambda: lambda.clone(), id }
    }

    pub(crate) fn unknown_extension(lambda: &Lambda) -> Self {
        Self { lambda: lambda.clone(), id: Some("nobody".to_owned()) }
    }

    /// Asks for its next invocation or event; returns when the environment knows of it.
    pub(crate) async fn asks(&self) -> Question {
        let before = self.lambda.counts();
        let (path, headers) = match &self.id {
            None => (format!("{RUNTIME}/invocation/next"), String::new()),
            Some(id) => (format!("{EXTENSION}/event/next"), identifier(id)),
        };
        let question = send(&self.lambda, "GET", &path, &headers, "").await;
        // However little patience the test gives the function.
        while self.lambda.counted(|now| *now != before).await.is_err() {}
        question
    }

    /// Asks for its next, and waits for it.
    pub(crate) async fn next(&self) -> Answer {
        self.asks().await.answered().await
    }

    pub(crate) async fn responds(&self, invocation: &Answer, body: &str) -> Answer {
        let path = format!("{RUNTIME}/invocation/{}/response", invocation.request_id());
        self.posts(&path, "", body).await
    }

    pub(crate) async fn posts(&self, path: &str, headers: &str, body: &str) -> Answer {
        let id = self.id.as_deref().map(identifier).unwrap_or_default();
        send(&self.lambda, "POST", path, &format!("{id}{headers}"), body).await.answered().await
    }
}

pub(crate) async fn register(lambda: &Lambda, name: &str, events: &[&str]) -> Answer {
    let headers = format!("lambda-extension-name: {name}\r\n");
    let body = serde_json::json!({ "events": events }).to_string();
    let path = format!("{EXTENSION}/register");
    send(lambda, "POST", &path, &headers, &body).await.answered().await
}

pub(crate) async fn send(
    lambda: &Lambda,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Question {
    let env = lambda.env();
    let (_, api) = env.iter().find(|(key, _)| key == "AWS_LAMBDA_RUNTIME_API").unwrap();
    let mut stream = TcpStream::connect(api).await.unwrap();
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\n\
         {headers}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    Question(stream)
}

fn identifier(id: &str) -> String {
    format!("lambda-extension-identifier: {id}\r\n")
}
