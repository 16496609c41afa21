//! The binary as people call it.

use std::fs;
use std::process::{Command, Output};

use crate::process::directory;
use crate::sidecar::BINARY;

fn run(words: &[&str]) -> Output {
    Command::new(BINARY).args(words).env_clear().output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn it_tells_its_version_and_how_it_is_called() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    let expected = format!("lambda-cache-extension {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&version.stdout), expected);
    let help = run(&["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("check config.yaml"));
    let wrong = run(&["--nonsense"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("--nonsense"));
}

#[test]
fn check_tells_all_that_is_wrong_with_a_file_and_where() {
    let directory = directory("check");
    let path = directory.join("config.yaml");
    let check = |config: &str| {
        fs::write(&path, config).unwrap();
        run(&["check", path.to_str().unwrap()])
    };
    let right = check("parameters: [{names: [/app/a], max_age: 1m}]");
    assert!(right.status.success(), "{right:?}");
    let wrong = check(
        "parameters:
  - names: [/app/a]
    max_age: 1 minute
  - nams: [/app/b]
  - names: [/app/c]
    role: me
  - names: [/app/a]
",
    );
    assert_eq!(wrong.status.code(), Some(1));
    let lines: Vec<_> = text(&wrong.stderr).lines().collect();
    for (place, words) in [
        ("3:14", "`max_age`: \"1 minute\" is not a duration"),
        ("4:5", "unknown field `nams`"),
        ("4:5", "`names` is missing"),
        // What only the engine can tell has its place too.
        ("5:13", "\"me\" is not the ARN of a role"),
        ("7:13", "a second entry of parameters with the name \"/app/a\"; the first is at 2:13"),
    ] {
        let place = format!("config.yaml:{place}: ");
        let is = |line: &&str| line.contains(&place) && line.contains(words);
        assert_eq!(lines.iter().filter(|line| is(line)).count(), 1, "{words}: {lines:#?}");
    }
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let wrong = check("parameters: [{names: [a], max_age: 1m, refresh_after: 2m}]");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("config.yaml:1:23: "), "{wrong:?}");
    let wrong = check("parameters: [{names: [a], timeout: 0s}]");
    assert!(text(&wrong.stderr).contains("a `timeout` of zero"), "{wrong:?}");
    let missing = run(&["check", "no/such/file.yaml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).starts_with("no/such/file.yaml: "));
    fs::remove_dir_all(&directory).unwrap();
}
