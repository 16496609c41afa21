//! What is not served: requests that the function's own code does not make.

use std::collections::BTreeSet;

use crate::client::{self, Connection, get};
use crate::cloud::Cloud;
use crate::sidecar::{Sidecar, TOKEN, setup};

const DECLARED: &str = "/parameters?name=p";
const NAMED: &str = "/secretsmanager/get?secretId=s";

fn token() -> String {
    format!("X-Aws-Parameters-Secrets-Token: {TOKEN}")
}

/// Both ports, with a request each that is served.
fn doors(sidecar: &Sidecar) -> [(u16, &'static str); 2] {
    [(sidecar.declared, DECLARED), (sidecar.on_demand, NAMED)]
}

async fn start(cloud: &Cloud) -> Sidecar {
    cloud.put_parameter("p", "hush").await;
    cloud.put_secret("s", "hush").await;
    setup("parameters: [{names: [p]}]").start(cloud).await
}

/// The status of a request with these bytes, of which nothing reaches a service.
async fn refused(cloud: &Cloud, port: u16, request: String) -> u16 {
    let reply = client::ask(port, &request).await;
    assert!(!reply.text().contains("hush"), "{request}");
    assert!(cloud.aws.calls().is_empty(), "{request}");
    reply.status
}

#[tokio::test]
async fn what_the_functions_own_code_asks_is_served() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    let token = token();
    for (port, path) in doors(&sidecar) {
        for host in ["localhost", "localhost:80", "127.0.0.1", "[::1]:4000", "LOCALHOST"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{token}\r\n\r\n");
            assert_eq!(client::ask(port, request).await.status, 200, "{host}");
        }
        let request =
            format!("GET http://localhost{path} HTTP/1.1\r\nHost: localhost\r\n{token}\r\n\r\n");
        assert_eq!(client::ask(port, request).await.status, 200);
        let request = get(path, &[&token, "Content-Length: 0"]);
        assert_eq!(client::ask(port, request).await.status, 200);
    }
    let vault = format!("x-vault-token: {TOKEN}");
    assert_eq!(client::ask(sidecar.on_demand, get(NAMED, &[&vault])).await.status, 200);
    let wrong = [&*vault, "X-Aws-Parameters-Secrets-Token: wrong"];
    assert_eq!(client::ask(sidecar.on_demand, get(NAMED, &wrong)).await.status, 200);
}

#[tokio::test]
async fn nobody_without_the_token_gets_what_clients_name() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    let header = |value: &str| format!("X-Aws-Parameters-Secrets-Token: {value}");
    let shorter = header(&TOKEN[1..]);
    let longer = header(&format!("{TOKEN}x"));
    for headers in
        [vec![], vec![&*header("")], vec!["X-Vault-Token: x"], vec![&*shorter], vec![&*longer]]
    {
        let status = refused(&cloud, sidecar.on_demand, get(NAMED, &headers)).await;
        assert_eq!(status, 403, "{headers:?}");
    }
}

#[tokio::test]
async fn what_is_declared_needs_a_token_if_that_is_wanted() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("p", "hush").await;
    let config = "parameters: [{names: [p]}]";
    let sidecar = setup(config).variable("LAMBDA_CACHE_REQUIRE_TOKEN", "1").start(&cloud).await;
    assert_eq!(refused(&cloud, sidecar.declared, get(DECLARED, &[])).await, 403);
    let reply = client::ask(sidecar.declared, get(DECLARED, &[&token()])).await;
    assert_eq!((reply.status, reply.text()), (200, "hush"));
}

#[tokio::test]
async fn without_a_session_token_that_for_credentials_is_right() {
    let cloud = Cloud::start().await;
    cloud.put_secret("s", "hush").await;
    let setup = setup("").variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", "another token");
    let sidecar = setup.variable("AWS_SESSION_TOKEN", "").start(&cloud).await;
    assert_eq!(refused(&cloud, sidecar.on_demand, get(NAMED, &[&token()])).await, 403);
    let another = "X-Aws-Parameters-Secrets-Token: another token";
    assert_eq!(client::ask(sidecar.on_demand, get(NAMED, &[another])).await.status, 200);
}

#[tokio::test]
async fn without_a_session_token_no_token_is_right() {
    let cloud = Cloud::start().await;
    let sidecar = setup("").variable("AWS_SESSION_TOKEN", "").start(&cloud).await;
    for token in ["X-Aws-Parameters-Secrets-Token: ", "X-Vault-Token: x"] {
        assert_eq!(refused(&cloud, sidecar.on_demand, get(NAMED, &[token])).await, 403);
    }
}

#[tokio::test]
async fn what_somebody_else_made_the_function_send_is_refused_on_both_ports() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    let token = token();
    for (port, path) in doors(&sidecar) {
        let with = |header: &str| get(path, &[&token, header]);
        let host = |host: &str| format!("GET {path} HTTP/1.1\r\n{host}{token}\r\n\r\n");
        let method =
            |it: &str| format!("{it} {path} HTTP/1.1\r\nHost: localhost\r\n{token}\r\n\r\n");
        for (request, status) in [
            (with("X-Forwarded-For: 10.0.0.1"), 400),
            (with("x-forwarded-for:"), 400),
            (host("Host: evil.example\r\n"), 400),
            (host("Host: localhost.evil.example\r\n"), 400),
            (host("Host: localhost\r\nHost: evil.example\r\n"), 400),
            (host(""), 400),
            (
                format!(
                    "GET http://evil.example{path} HTTP/1.1\r\nHost: localhost\r\n{token}\r\n\r\n"
                ),
                400,
            ),
            (method("POST"), 405),
            (method("PUT"), 405),
            (method("DELETE"), 405),
            (method("OPTIONS"), 405),
            (get(path, &[&token, "Content-Length: 2\r\n\r\n{}"]), 400),
            (get(path, &[&token, "Transfer-Encoding: chunked\r\n\r\n0"]), 400),
            (get(&format!("{path}&x=y"), &[&token]), 400),
            (get(&format!("{path}&{}", &path[path.find('?').unwrap() + 1..]), &[&token]), 400),
            (get(&format!("{path}{}", "x".repeat(4096)), &[&token]), 414),
            (with(&format!("X-Long: {}", "x".repeat(17_000))), 431),
            ("NONSENSE\r\n\r\n".to_owned(), 400),
        ] {
            assert_eq!(refused(&cloud, port, request.clone()).await, status, "{request}");
        }
    }
}

#[tokio::test]
async fn a_query_that_says_nothing_of_use_is_refused() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    for (path, status) in [
        ("/secretsmanager/get", 400),
        ("/secretsmanager/get?secretId=", 400),
        ("/secretsmanager/get?secretId=s&refreshNow=soon", 400),
        ("/secretsmanager/get?name=s", 400),
        ("/systemsmanager/parameters/get?name=p&version=x", 400),
        ("/systemsmanager/parameters/get?name=%FF", 400),
        ("/secretsmanager/get?secretId=%C3%28", 400),
        ("/secretsmanager/get?secretId=s&versionStage=%ED%A0%80", 400),
        ("/systemsmanager/parameters/get?name=p&withDecryption=perhaps", 400),
        ("/systemsmanager/parameters/get", 400),
        ("/systemsmanager/parameters", 404),
        ("/secretsmanager/get/it?secretId=s", 404),
        ("/systemsmanager/parameters/get/it/now?name=p", 404),
        ("/", 404),
    ] {
        assert_eq!(
            refused(&cloud, sidecar.on_demand, get(path, &[&token()])).await,
            status,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_refusal_does_not_end_the_connection() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    let mut connection = Connection::open(sidecar.declared).await;
    assert_eq!(connection.ask(get(DECLARED, &["X-Forwarded-For: x"])).await.status, 400);
    assert_eq!(connection.ask(get(DECLARED, &[])).await.status, 200);
    // Both at once.
    let twice = get(DECLARED, &[]).repeat(2);
    assert_eq!(connection.ask(twice).await.text(), "hush");
    assert_eq!(connection.reply().await.unwrap().text(), "hush");
}

#[tokio::test]
async fn only_loopback_is_listened_to() {
    let cloud = Cloud::start().await;
    let sidecar = start(&cloud).await;
    // The kernel's own list: address and port in hexadecimal, state 0A is listening.
    let listening = |file: &str, port: u16| {
        let sockets = std::fs::read_to_string(file).unwrap_or_default();
        let port = format!(":{port:04X}");
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let sockets = sockets.lines().map(fields).filter(|it| it.len() > 3 && it[3] == "0A");
        // While sockets come and go, the list may show one twice.
        let addresses: BTreeSet<_> = sockets.map(|it| it[1].clone()).collect();
        addresses.into_iter().filter(|it| it.ends_with(&port)).collect::<Vec<_>>()
    };
    for port in [sidecar.declared, sidecar.on_demand] {
        assert_eq!(listening("/proc/net/tcp", port), [format!("0100007F:{port:04X}")]);
        let six = format!("00000000000000000000000001000000:{port:04X}");
        let found = listening("/proc/net/tcp6", port);
        assert!(found.is_empty() || found == [six], "{found:?}");
    }
}
