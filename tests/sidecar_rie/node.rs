//! Functions in Node.js, with the sidecar beside them outside Lambda.

use std::fs;
use std::path::Path;

use aws_sdk_dynamodb::types::{AttributeValue, KeyType};
use serde_json::Value as Json;
use tokio::process::{Child, Command};

use crate::moto::{Moto, REGION};
use crate::process::{self, free_ports, start, until_it_listens};
use crate::world::{THINGS, World, create_table, version};
use crate::{BINARY, TOKEN, examples};

#[tokio::test]
#[ignore = "needs moto_server, by path in MOTO_SERVER, node, and port 4000; .ci/run provides them"]
async fn the_go_extensions_own_function_runs_unchanged() {
    let directory = process::directory("sidecar-go");
    let moto = Moto::start(&directory).await;
    let example = examples().join("go-example");
    let dynamodb = aws_sdk_dynamodb::Client::new(&moto.config());
    create_table(&dynamodb, "DynamoDbTable", &[("pKey", KeyType::Hash), ("sKey", KeyType::Range)])
        .await;
    let mut put = dynamodb.put_item().table_name("DynamoDbTable");
    for (name, text) in [("pKey", "pKey1"), ("sKey", "sKey1"), ("Data", "Data goes here")] {
        put = put.item(name, AttributeValue::S(text.into()));
    }
    put.send().await.unwrap();
    let _sidecar = sidecar(&moto, &directory, &example.join("config.yaml"), [4000, 2773]).await;
    let call = format!("require({:?}).handler({{}}, {{}}, () => {{}})", example.join("index.js"));
    let item = r#"{"Data":"Data goes here","pKey":"pKey1","sKey":"sKey1"}"#;
    let said = node(&call, [4000, 2773]).await;
    assert_eq!(said, format!("Retrieved data from the cache: {item}"));
    fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
#[ignore = "needs moto_server, by path in MOTO_SERVER, and node; .ci/run provides them"]
async fn the_function_in_node_reads_from_both_ports() {
    let directory = process::directory("sidecar-node");
    let world = World::start(&directory).await;
    let example = examples().join("nodejs");
    let ports = free_ports().await;
    let _sidecar = sidecar(&world.moto, &directory, &example.join("config.yaml"), ports).await;
    let call = format!(
        "import({:?}).then(it => it.handler()).then(it => console.log(JSON.stringify(it)))",
        example.join("index.mjs")
    );
    let answer: Json = serde_json::from_str(&node(&call, ports).await).unwrap();
    for thing in 0..THINGS {
        assert_eq!(version(&answer, thing), 1, "{answer}");
    }
    fs::remove_dir_all(&directory).unwrap();
}

/// The sidecar outside Lambda, with its log in `directory`, at these two ports.
async fn sidecar(moto: &Moto, directory: &Path, config: &Path, ports: [u16; 2]) -> Child {
    let log = directory.join("sidecar.log");
    let mut command = Command::new(BINARY);
    command
        .env_clear()
        .env("AWS_ENDPOINT_URL", &moto.endpoint)
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_SESSION_TOKEN", TOKEN)
        .env("LAMBDA_CACHE_CONFIG", config)
        .env("LAMBDA_CACHE_PORT", ports[0].to_string())
        .env("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", ports[1].to_string());
    let process = start(&mut command, &log);
    for port in ports {
        until_it_listens(port, &log).await;
    }
    process
}

/// What Node.js prints for this program.
async fn node(program: &str, ports: [u16; 2]) -> String {
    let output = Command::new("node")
        .args(["-e", program])
        .env("AWS_SESSION_TOKEN", TOKEN)
        .env("LAMBDA_CACHE_PORT", ports[0].to_string())
        .env("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", ports[1].to_string())
        .output();
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
