//! AWS on a port of loopback, for a process that knows it by `AWS_ENDPOINT_URL`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use winterbaume_core::{MockRequest, MockResponse, MockService};

use crate::aws::{Answer, Aws, Call};
use crate::process::LIMIT;

/// It ends with the test.
pub(crate) struct Cloud {
    /// The account behind it: what it has, what it is to answer, and who has called.
    pub(crate) aws: Aws,
    pub(crate) endpoint: String,
    in_flight: Arc<AtomicUsize>,
    listening: JoinHandle<()>,
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (aws, in_flight) = (Aws::new(), Arc::default());
        let listening = tokio::spawn(listen(listener, aws.clone(), Arc::clone(&in_flight)));
        Self { aws, endpoint, in_flight, listening }
    }

    /// The next calls, once there are so many.
    pub(crate) async fn called(&self, number: usize) -> Vec<Call> {
        let mut calls = Vec::new();
        let all = async {
            while calls.len() < number {
                calls.extend(self.aws.calls());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, all).await.expect("as many calls");
        calls
    }

    /// Requests that have come and are not answered yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Counts a request for as long as it is there.
struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

async fn listen(listener: TcpListener, aws: Aws, in_flight: Arc<AtomicUsize>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (aws, in_flight) = (aws.clone(), Arc::clone(&in_flight));
        let answer = service_fn(move |request| {
            let (aws, in_flight) = (aws.clone(), InFlight::new(&in_flight));
            async move {
                let response = respond(&aws, request).await;
                drop(in_flight);
                response
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn respond(aws: &Aws, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let request = Request::from_parts(head.clone(), SdkBody::from(body.clone()));
    let call = Call::of(&HttpRequest::try_from(request).unwrap());
    // As the services' own hosts have it: that is what the call is told by.
    let path = head.uri.path_and_query().map_or("/", |it| it.as_str());
    let uri = format!("https://{}.{}.amazonaws.com{path}", call.service, call.region);
    let method = head.method.to_string();
    let asked = MockRequest { method, uri, headers: head.headers, body };
    match aws.answer(&call) {
        None => Ok(said(service(aws, &call).handle(asked).await)),
        Some(Answer::Late(delay)) => {
            let answer = service(aws, &call).handle(asked).await;
            tokio::time::sleep(delay).await;
            Ok(said(answer))
        }
        Some(Answer::Say(status, body)) => Ok(said(MockResponse::json(status, body))),
        Some(Answer::Http(response)) => Ok(passed_on(&response)),
        // The connection closes.
        Some(Answer::Break) => Err(io::ErrorKind::ConnectionReset.into()),
        Some(Answer::Stall | Answer::Never) => std::future::pending().await,
    }
}

fn service(aws: &Aws, call: &Call) -> Arc<dyn MockService> {
    let services = aws.services();
    match &*call.service {
        "appconfig" => Arc::clone(&services.appconfig) as _,
        "dynamodb" => Arc::clone(&services.dynamodb) as _,
        "s3" => Arc::clone(&services.s3) as _,
        "secretsmanager" => Arc::clone(&services.secrets_manager) as _,
        "ssm" => Arc::clone(&services.ssm) as _,
        "sts" => Arc::clone(&services.sts) as _,
        other => panic!("a call of {other}"),
    }
}

fn said(answer: MockResponse) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap();
    *response.headers_mut() = answer.headers;
    response
}

fn passed_on(answer: &HttpResponse) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(answer.status().as_u16());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let body = Bytes::copy_from_slice(answer.body().bytes().unwrap_or_default());
    response.body(Full::new(body)).unwrap()
}
