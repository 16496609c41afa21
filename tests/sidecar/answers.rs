//! What every answer has in common, whatever it is an answer to.

use crate::aws::Answer;
use crate::client::{self, Connection, Reply, get};
use crate::cloud::Cloud;
use crate::sidecar::{TOKEN, setup};

/// No client keeps an answer, or takes a value for a page.
fn is_safe(reply: &Reply, request: &str) {
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{request}: {reply:?}");
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{request}: {reply:?}");
}

#[tokio::test]
async fn no_answer_may_be_stored_or_sniffed_refusals_and_errors_included() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("p", "hush").await;
    cloud.put_secret("s", "hush").await;
    cloud.aws.script(|call| {
        call.text.contains("broken").then(|| Answer::error(400, "AccessDeniedException"))
    });
    let config = "parameters: [{names: [p, broken, missing]}]";
    let sidecar = setup(config).variable("LAMBDA_CACHE_MAX_CLIENTS", 2).start(&cloud).await;
    let token = format!("X-Aws-Parameters-Secrets-Token: {TOKEN}");
    let long = "x".repeat(17_000);
    for (port, request, status) in [
        (sidecar.declared, get("/parameters?name=p", &[]), 200),
        (sidecar.declared, get("/parameters?name=missing", &[]), 200),
        (sidecar.declared, get("/parameters?name=undeclared", &[]), 200),
        (sidecar.declared, get("/parameters?name=broken", &[]), 502),
        (sidecar.declared, get("/", &[]), 404),
        (sidecar.declared, get("/parameters?name=%FF", &[]), 400),
        (sidecar.declared, get("/parameters?name=p", &["X-Forwarded-For: 10.0.0.1"]), 400),
        (sidecar.declared, get(&format!("/?{}", &long[..5000]), &[]), 414),
        (sidecar.on_demand, get("/secretsmanager/get?secretId=s", &[&token]), 200),
        (sidecar.on_demand, get("/secretsmanager/get?secretId=missing", &[&token]), 400),
        (sidecar.on_demand, get("/secretsmanager/get?secretId=broken", &[&token]), 400),
        (sidecar.on_demand, get("/secretsmanager/get?secretId=s", &[]), 403),
        (sidecar.on_demand, get("/secretsmanager/get", &[&token]), 400),
        (sidecar.on_demand, format!("POST / HTTP/1.1\r\nHost: localhost\r\n{token}\r\n\r\n"), 405),
        // What no request can be made of.
        (sidecar.declared, "NONSENSE\r\n\r\n".to_owned(), 400),
        (sidecar.declared, "GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400),
        (sidecar.declared, get("/", &[&format!("X-Long: {long}")]), 431),
        (sidecar.declared, get("/", &["X-Many: 1"; 101]), 431),
    ] {
        // The last one of before may not be gone yet.
        let reply = loop {
            let reply = client::ask(port, &request).await;
            if reply.status != 429 {
                break reply;
            }
        };
        assert_eq!(reply.status, status, "{request}");
        is_safe(&reply, &request);
    }
    let mut clients = Vec::new();
    loop {
        let mut client = Connection::open(sidecar.declared).await;
        let reply = client.ask(get("/parameters?name=p", &[])).await;
        is_safe(&reply, "one of many");
        if reply.status == 429 {
            break;
        }
        clients.push(client);
    }
}

#[tokio::test]
async fn what_no_request_can_be_made_of_is_answered_in_words_after_answers_to_others() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("p", "hush").await;
    let sidecar = setup("parameters: [{names: [p]}]").start(&cloud).await;
    let mut connection = Connection::open(sidecar.declared).await;
    let request = get("/parameters?name=p", &[]);
    let reply = connection.ask(format!("{request}{request}NONSENSE\r\n\r\n")).await;
    assert_eq!((reply.status, reply.text()), (200, "hush"));
    assert_eq!(connection.reply().await.unwrap(), reply);
    let last = connection.reply().await.unwrap();
    assert_eq!((last.status, last.text()), (400, "not a request of HTTP/1.1"));
    assert_eq!(connection.reply().await, None);
}
