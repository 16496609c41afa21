//! The way to AWS, in bad weather: an HTTP proxy in front of moto that does to requests what networks
//! and services do.

use std::io;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::weather::{Fault, Weather};

/// It ends with the test.
pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// The way to the service at this endpoint: `http://127.0.0.1:<port>`.
    pub(crate) async fn to(endpoint: &str, weather: Arc<Weather>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let service = endpoint.trim_start_matches("http://").to_owned();
        Self { endpoint: own, listening: tokio::spawn(listen(listener, service, weather)) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, service: String, weather: Arc<Weather>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (service, weather) = (service.clone(), Arc::clone(&weather));
        tokio::spawn(async move {
            let mut way = Way { client, service, weather };
            // Either end may break it off.
            while let Ok(After::KeepAlive) = way.pass_on().await {}
        });
    }
}

/// What becomes of a connection after a request.
enum After {
    KeepAlive,
    Close,
}

/// A connection of a client.
struct Way {
    client: TcpStream,
    service: String,
    weather: Arc<Weather>,
}

impl Way {
    async fn pass_on(&mut self) -> io::Result<After> {
        let request = Request::read(&mut self.client).await?;
        match self.weather.next() {
            None => self.answer(&self.ask(&request).await?).await,
            Some(Fault::LateRequest) => {
                tokio::time::sleep(self.weather.delay()).await;
                self.answer(&self.ask(&request).await?).await
            }
            Some(Fault::LateAnswer) => {
                let answer = self.ask(&request).await?;
                tokio::time::sleep(self.weather.delay()).await;
                self.answer(&answer).await
            }
            Some(Fault::ResetBefore) => self.reset(),
            Some(Fault::ResetAfter) => {
                self.ask(&request).await?;
                self.reset()
            }
            Some(Fault::Swallow) => {
                let mut ignored = [0; 1024];
                while self.client.read(&mut ignored).await? > 0 {}
                Ok(After::Close)
            }
            Some(Fault::Cut) => {
                let answer = self.ask(&request).await?;
                self.answer(&answer[..answer.len() - answer.len().min(20)]).await?;
                if self.weather.toss() { self.reset() } else { Ok(After::Close) }
            }
            Some(Fault::InternalError) => self.answer(&request.internal_error()).await,
            Some(Fault::BadGateway) => {
                let page = "<html><body><h1>502 Bad Gateway</h1></body></html>";
                self.answer(&http("502 Bad Gateway", "text/html", page)).await
            }
            Some(Fault::Throttle) => self.answer(&request.throttled()).await,
            // Any bytes can be an object.
            Some(Fault::Garbage) if request.service() != "s3" => {
                let body = if self.weather.toss() { r#"{"Parameters": [{"Na"# } else { "<html>" };
                self.answer(&http("200 OK", "application/x-amz-json-1.1", body)).await
            }
            Some(Fault::Garbage | Fault::NotHttp) => {
                self.client.write_all(b"\x15\x03\x03\x00\x02\x02\x28 SSH-2.0-what\r\n\r\n").await?;
                Ok(After::Close)
            }
        }
    }

    /// The service's answer. The connection to it is for this request alone.
    async fn ask(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut service = TcpStream::connect(&self.service).await?;
        let head = request.head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        service.write_all(head.as_bytes()).await?;
        service.write_all(&request.body).await?;
        let mut answer = Vec::new();
        service.read_to_end(&mut answer).await?;
        let (head, body) = split(&answer).ok_or(io::ErrorKind::InvalidData)?;
        let kept = head.split("\r\n").filter(|it| !is(it, "connection")).collect::<Vec<_>>();
        Ok([kept.join("\r\n").as_bytes(), b"\r\n\r\n", body].concat())
    }

    async fn answer(&mut self, bytes: &[u8]) -> io::Result<After> {
        self.client.write_all(bytes).await?;
        Ok(After::KeepAlive)
    }

    fn reset(&self) -> io::Result<After> {
        self.client.set_zero_linger()?;
        Ok(After::Close)
    }
}

struct Request {
    /// With the empty line at its end.
    head: String,
    body: Vec<u8>,
}

impl Request {
    async fn read(client: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        while split(&bytes).is_none() {
            if client.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let (head, body) = split(&bytes).ok_or(io::ErrorKind::InvalidData)?;
        let (head, mut body) = (format!("{head}\r\n\r\n"), body.to_vec());
        let length = head.lines().find(|line| is(line, "content-length"));
        let length = length.and_then(|line| line.split(": ").nth(1)?.trim().parse().ok());
        while body.len() < length.unwrap_or(0) {
            client.read_buf(&mut body).await?;
        }
        Ok(Self { head, body })
    }

    /// As the signature has it.
    fn service(&self) -> &str {
        let before = self.head.split("/aws4_request").next().unwrap_or_default();
        before.rsplit('/').next().unwrap_or_default()
    }

    fn internal_error(&self) -> Vec<u8> {
        let code = match self.service() {
            "s3" => "InternalError",
            "dynamodb" => "com.amazonaws.dynamodb.v20120810#InternalServerError",
            "secretsmanager" => "InternalServiceError",
            _ => "InternalServerError",
        };
        self.error("500 Internal Server Error", code)
    }

    fn throttled(&self) -> Vec<u8> {
        let body: Json = serde_json::from_slice(&self.body).unwrap_or_default();
        match self.service() {
            "s3" => self.error("503 Slow Down", "SlowDown"),
            // A batch is not refused: nothing of it is processed.
            "dynamodb" if body["RequestItems"].is_object() => {
                let body = json!({"Responses": {}, "UnprocessedKeys": body["RequestItems"]});
                http("200 OK", "application/x-amz-json-1.0", &body.to_string())
            }
            "dynamodb" => {
                let code = "ProvisionedThroughputExceededException";
                let code = format!("com.amazonaws.dynamodb.v20120810#{code}");
                self.error("400 Bad Request", &code)
            }
            _ => self.error("400 Bad Request", "ThrottlingException"),
        }
    }

    /// An error in the service's own form.
    fn error(&self, status: &str, code: &str) -> Vec<u8> {
        if self.service() == "s3" {
            let text = format!("<Error><Code>{code}</Code><Message>bad weather</Message></Error>");
            return http(status, "application/xml", &text);
        }
        let body = json!({"__type": code, "message": "bad weather"});
        http(status, "application/x-amz-json-1.1", &body.to_string())
    }
}

fn http(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}");
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// Whether a line of a head is this header.
fn is(line: &str, header: &str) -> bool {
    line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case(header))
}

/// Head and body, if the head is complete.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]))
}
