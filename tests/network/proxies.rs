//! Proxies that the environment names, honoured as the SDK's own client honours them.

use aws_config::SdkConfig;
use lambda_cache::sources::{freeze_safe, ssm};
use lambda_cache::{Cache, Mode};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;

use crate::aws::HOME;
use crate::cloud::Cloud;
use crate::config;

/// Without what this machine's own environment says of proxies.
const NONE: [(&str, Option<&str>); 8] = [
    ("HTTP_PROXY", None),
    ("http_proxy", None),
    ("HTTPS_PROXY", None),
    ("https_proxy", None),
    ("ALL_PROXY", None),
    ("all_proxy", None),
    ("NO_PROXY", None),
    ("no_proxy", None),
];

/// Runs a test in an environment that has these variables alone. Other tests of this process make
/// connections to 127.0.0.1, so that is never proxied.
async fn with<const N: usize>(variables: [(&str, &str); N], test: impl Future<Output = ()>) {
    let variables = variables.map(|(name, value)| (name, Some(value)));
    temp_env::async_with_vars([&NONE[..], &variables].concat(), test).await;
}

/// Reads a parameter, with an entry's client and with one of a user's own.
async fn read(config: &SdkConfig) -> [String; 2] {
    let mut builder = Cache::builder(config).mode(Mode::OnDemand);
    let parameter = builder.add(ssm::parameter("/app/x"));
    let cache = builder.spawn().await.unwrap();
    let client = aws_sdk_ssm::Client::new(&freeze_safe(config));
    let found = client.get_parameter().name("/app/x").send().await.unwrap();
    let found = found.parameter.and_then(|it| it.value).unwrap();
    [cache.get(parameter).await.unwrap().to_string(), found]
}

async fn put(cloud: &Cloud, value: &str) {
    let ssm = aws_sdk_ssm::Client::new(&cloud.aws.direct(HOME));
    let put = ssm.put_parameter().name("/app/x").value(value).r#type("String".into());
    put.send().await.unwrap();
}

#[tokio::test]
async fn requests_go_through_http_proxy_unless_no_proxy_names_their_host() {
    let (proxy, near) = (Cloud::start().await, Cloud::start().await);
    put(&proxy, "through the proxy").await;
    put(&near, "directly").await;
    with([("HTTP_PROXY", &proxy.endpoint), ("NO_PROXY", "127.0.0.1")], async {
        // Nobody can reach that but a proxy.
        let through = read(&config("http://aws.invalid")).await;
        assert_eq!(through, ["through the proxy"; 2]);
        assert_eq!(read(&config(&near.endpoint)).await, ["directly"; 2]);
    })
    .await;
}

#[tokio::test]
async fn requests_over_tls_go_through_a_tunnel_of_https_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    with([("HTTPS_PROXY", &*proxy), ("NO_PROXY", "127.0.0.1")], async {
        let mut builder = Cache::builder(&config("https://aws.invalid")).mode(Mode::OnDemand);
        builder.add(ssm::parameter("/app/x"));
        tokio::select! {
            asked = first_line(&listener) => {
                assert_eq!(asked, "CONNECT aws.invalid:443 HTTP/1.1\r\n");
            }
            spawned = builder.spawn() => panic!("not through the proxy: {spawned:?}"),
        }
    })
    .await;
}

/// The first line that the next client sends.
async fn first_line(listener: &TcpListener) -> String {
    let (stream, _) = listener.accept().await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    line
}
