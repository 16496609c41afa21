//! What the log says, and what it does not: nobody's words have lines of their own, and no client can
//! flood it.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value as Json;

use crate::aws::Answer;
use crate::client::{self, Connection, get};
use crate::cloud::Cloud;
use crate::sidecar::{Setup, Sidecar, setup};

const LEVEL: &str = "PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL";
const SECRET: &str = "/secretsmanager/get?secretId=s";
const PARAMETER: &str = "/parameters?name=p";

impl Sidecar {
    fn lines_with(&self, words: &str) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// The lines with these words, once there are so many.
    async fn logs(&self, words: &str, number: usize) -> Vec<String> {
        let logged = async {
            while self.lines_with(words).len() < number {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let logged = tokio::time::timeout(Duration::from_secs(10), logged).await;
        assert!(logged.is_ok(), "not {number} lines with \"{words}\":\n{}", self.log());
        self.lines_with(words)
    }
}

fn declares_one() -> Setup {
    setup("parameters: [{names: [p]}]")
}

#[tokio::test]
async fn no_words_of_a_service_or_a_client_begin_a_line_or_move_a_cursor() {
    let cloud = Cloud::start().await;
    let sidecar = declares_one().start(&cloud).await;
    cloud.aws.script(|_| {
        let body = r#"{"__type":"X\n ERROR forged","message":"y\r\n ERROR forged\u001b[2J\u0085 ERROR forged\u2028"}"#;
        Some(Answer::Say(400, body.to_owned()))
    });
    let forged = "%0A%20ERROR%20forged%1B%5B2J%C2%85%E2%80%A8%E2%80%AE";
    sidecar.get(PARAMETER).await;
    sidecar.get(&format!("/parameters?name={forged}")).await;
    sidecar.named(&format!("/secretsmanager/get?secretId={forged}")).await;
    sidecar.named(&format!("/systemsmanager/parameters/get?name={forged}")).await;
    let log = sidecar.log();
    assert!(log.matches("ERROR forged").count() >= 4, "{log}");
    assert!(!log.lines().any(|line| line.starts_with(" ERROR forged")), "{log}");
    let hidden =
        |it: &char| it.is_control() && *it != '\n' || ('\u{2028}'..='\u{202e}').contains(it);
    assert_eq!(log.chars().find(hidden), None, "{log}");
}

#[tokio::test]
async fn a_failure_is_one_line_however_many_wait_for_it() {
    let cloud = Cloud::start().await;
    let sidecar = declares_one().variable(LEVEL, "info").start(&cloud).await;
    cloud.aws.script(|_| Some(Answer::error(400, "AccessDeniedException")));
    join_all((0..10).map(|_| sidecar.named(SECRET))).await;
    join_all((0..10).map(|_| sidecar.get(PARAMETER))).await;
    let calls = cloud.operations();
    for (operation, named) in [("GetSecretValue", "\"s\""), ("GetParameters", "parameters/p")] {
        let calls = calls.iter().filter(|it| *it == operation).count();
        let lines = sidecar.lines_with(operation);
        assert_eq!(lines.len(), calls, "{lines:#?}");
        assert!(lines[0].contains(named) && lines[0].contains("AccessDenied"), "{lines:?}");
    }
    assert_eq!(sidecar.lines_with("AccessDenied").len(), calls.len(), "{}", sidecar.log());
}

#[tokio::test]
async fn what_clients_may_not_do_is_told_at_warn_once_a_second_with_how_often() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("p", "hush").await;
    let setup = declares_one().variable(LEVEL, "warn").variable("LAMBDA_CACHE_MAX_CLIENTS", 2);
    let sidecar = setup.start(&cloud).await;
    let many = 50;
    for (port, request, words, asked) in [
        (sidecar.on_demand, get(SECRET, &[]), "the right token", "/secretsmanager/get"),
        (
            sidecar.declared,
            get(PARAMETER, &["X-Forwarded-For: x"]),
            "X-Forwarded-For",
            "/parameters",
        ),
        (
            sidecar.declared,
            format!("GET {PARAMETER} HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
            "another host",
            "/parameters",
        ),
        (sidecar.declared, get("/parameters?name=other", &[]), "not declare", "parameters/other"),
    ] {
        for _ in 0..many {
            client::ask(port, &request).await;
        }
        let lines = sidecar.logs(words, 2).await;
        assert!(lines.len() <= 3, "{lines:#?}");
        assert!(lines.iter().all(|line| line.starts_with(" WARN ")), "{lines:#?}");
        assert!(lines[0].contains(&format!("asked=\"{asked}\"")), "{lines:#?}");
        assert!(lines[1].contains("left_out="), "{lines:#?}");
    }
    let mut clients: Vec<Connection> = Vec::new();
    loop {
        let mut client = Connection::open(sidecar.declared).await;
        let served = client.ask(get(PARAMETER, &[])).await.status == 200;
        clients.push(client);
        if !served {
            break;
        }
    }
    let lines = sidecar.logs("LAMBDA_CACHE_MAX_CLIENTS", 1).await;
    assert!(lines[0].starts_with(" WARN "), "{lines:?}");
}

#[tokio::test]
async fn at_debug_each_refresh_has_a_line_with_entry_cause_outcome_and_duration() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("p", "hush").await;
    cloud.put_secret("s", "hush").await;
    let sidecar = declares_one().start(&cloud).await;
    sidecar.get(PARAMETER).await;
    sidecar.named(SECRET).await;
    sidecar.named("/secretsmanager/get?secretId=missing").await;
    for (entry, outcome) in [
        ("entry=\"parameters/p\"", "outcome=\"deriving\""),
        ("key=\"GetSecretValue \\\"s\\\"\"", "outcome=\"changed\""),
        ("key=\"GetSecretValue \\\"missing\\\"\"", "outcome=\"failed\""),
    ] {
        let lines = sidecar.logs(entry, 1).await;
        let line = lines.iter().find(|line| line.starts_with("DEBUG refresh{"));
        let line = line.unwrap_or_else(|| panic!("{lines:#?}"));
        for part in ["cause=\"read\"", outcome, "duration_ms="] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}

#[tokio::test]
async fn in_json_each_line_is_an_object_with_timestamp_level_and_message() {
    let cloud = Cloud::start().await;
    cloud.put_parameter("p", "hush").await;
    cloud.put_secret("s", "hush").await;
    let json = |level: &str| {
        let setup = declares_one().without(LEVEL).variable("AWS_LAMBDA_LOG_FORMAT", "JSON");
        setup.variable("AWS_LAMBDA_LOG_LEVEL", level)
    };
    for (level, levels) in [
        ("DEBUG", &["DEBUG", "INFO", "WARN"][..]),
        ("INFO", &["INFO", "WARN"]),
        ("WARN", &["WARN"]),
        ("FATAL", &[]),
    ] {
        let sidecar = json(level).start(&cloud).await;
        sidecar.get(PARAMETER).await;
        sidecar.named(SECRET).await;
        sidecar.get("/parameters?name=o%0At%C2%9Bher%22").await;
        if let [.., "WARN"] = levels {
            sidecar.logs("\"WARN\"", 1).await;
        }
        let mut seen: Vec<String> = Vec::new();
        for line in sidecar.log().lines() {
            let line: Json = serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}"));
            let text = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{name}: {line}"));
            let (day, time) = text("timestamp").split_once('T').unwrap();
            assert!(day.len() == 10 && time.ends_with('Z'), "{line}");
            assert!(!text("message").is_empty());
            seen.push(text("level").to_owned());
            if text("level") == "WARN" {
                assert_eq!(line["asked"], "parameters/o\nt\u{9b}her\"");
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, levels, "{level}");
    }
}

#[tokio::test]
async fn hints_are_in_the_terms_of_config_yaml() {
    let cloud = Cloud::start().await;
    let sidecar = setup("objects: [{uri: s3://conf/a}]").start(&cloud).await;
    cloud.aws.script(|_| {
        let mut answer = aws_smithy_runtime_api::client::orchestrator::HttpResponse::new(
            301.try_into().unwrap(),
            aws_smithy_types::body::SdkBody::from("<Error><Code>PermanentRedirect</Code></Error>"),
        );
        answer.headers_mut().insert("x-amz-bucket-region", "us-west-2");
        Some(Answer::Http(Box::new(answer)))
    });
    let reply = sidecar.get("/objects?name=s3://conf/a").await;
    let reason = reply.header("x-lambda-cache-error").expect("a reason").to_owned();
    let told = sidecar.logs("us-west-2", 1).await;
    for words in [&reason, &told[0]] {
        assert!(words.contains("`region: us-west-2`") && !words.contains(".region("), "{words}");
    }
}
