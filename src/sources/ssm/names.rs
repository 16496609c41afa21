//! What can be the name of a parameter, by the rules of Parameter Store.
//!
//! A name that breaks them makes the service refuse the whole call that it is in.

use crate::sources::aws::{arn_parts, consists_of};

/// How many characters a name or an ARN has at most, with its selector.
const MAX_LENGTH: usize = 2048;
/// How many characters a label has at most.
const MAX_LABEL: usize = 100;
/// Parameters of AWS, which all accounts may read.
const PUBLIC: &str = "/aws/service/";
/// Refers to a secret of Secrets Manager, by its name.
pub(super) const SECRET: &str = "/aws/reference/secretsmanager/";

/// Checks a name or an ARN, with or without a selector.
pub(super) fn check(name: &str) -> Result<(), String> {
    problem(name).map_or(Ok(()), |problem| {
        Err(format!("\"{}\" is not the name of a parameter: {problem}", shown(name)))
    })
}

/// Checks a path, with or without a slash at its end.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let problem = match path.strip_prefix('/') {
        None => Some("it does not begin with a slash".to_owned()),
        Some("") => None,
        Some(rest) => {
            let segments = rest.strip_suffix('/').unwrap_or(rest);
            too_long(path).or_else(|| problem_of_segments(segments))
        }
    };
    problem.map_or(Ok(()), |problem| Err(format!("path \"{}\": {problem}", shown(path))))
}

/// A name or an ARN, and the version or the label that follows its colon.
pub(super) fn without_selector(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, selector)) if !selector.contains('/') => (name, Some(selector)),
        _ => (name, None),
    }
}

/// Without control characters, and cut where it is too long to be read.
fn shown(name: &str) -> String {
    let start: String = name.chars().take(100).collect();
    let rest = if start.len() < name.len() { "…" } else { "" };
    format!("{}{rest}", start.escape_debug())
}

/// The rule that a name breaks, if any.
fn problem(name: &str) -> Option<String> {
    let (name_or_arn, selector) = without_selector(name);
    let name_alone = match name_or_arn.starts_with("arn:") {
        false => Some(name_or_arn),
        true => match arn_parts(name_or_arn) {
            Some([_, "ssm", _, _, resource]) => resource.strip_prefix("parameter"),
            _ => None,
        }
        .filter(|name| name.starts_with('/')),
    };
    let Some(name_alone) = name_alone else {
        return Some("the ARN is not that of a parameter".to_owned());
    };
    too_long(name)
        .or_else(|| problem_of_name(name_alone))
        .or_else(|| selector.and_then(problem_of_selector))
}

fn too_long(name: &str) -> Option<String> {
    let length = name.chars().count();
    let problem = || format!("it has {length} characters, and {MAX_LENGTH} are allowed");
    (length > MAX_LENGTH).then(problem)
}

fn problem_of_name(name: &str) -> Option<String> {
    if let Some(secret) = name.strip_prefix(SECRET) {
        let is_secret = !secret.is_empty() && consists_of(secret, "/_+=.@-");
        return (!is_secret).then(|| "what follows is not the name of a secret".to_owned());
    }
    let (segments, is_path) = match name.strip_prefix('/') {
        Some(segments) => (segments, true),
        None => (name, false),
    };
    let starts_with =
        |prefix: &str| segments.get(..3).is_some_and(|it| it.eq_ignore_ascii_case(prefix));
    if name.is_empty() {
        Some("it is empty".to_owned())
    } else if !is_path && segments.contains('/') {
        Some("with slashes in it, it has to begin with one".to_owned())
    } else if (starts_with("aws") || starts_with("ssm")) && !name.starts_with(PUBLIC) {
        Some("names that begin with \"aws\" or \"ssm\" are reserved".to_owned())
    } else {
        problem_of_segments(segments)
    }
}

fn problem_of_segments(segments: &str) -> Option<String> {
    let allowed = |it: char| it.is_ascii_alphanumeric() || "._-/".contains(it);
    if let Some(other) = segments.chars().find(|&it| !allowed(it)) {
        let allowed = "letters, digits, dots, hyphens, underscores and slashes";
        return Some(format!("it contains {other:?}; allowed are {allowed}"));
    }
    let is_empty = segments.split('/').any(str::is_empty);
    is_empty.then(|| "nothing follows one of its slashes".to_owned())
}

fn problem_of_selector(selector: &str) -> Option<String> {
    let is_label = (1..=MAX_LABEL).contains(&selector.len()) && consists_of(selector, "._-");
    (!is_label).then(|| {
        format!(
            "\"{}\" is neither a version nor a label, which has up to {MAX_LABEL} letters, \
             digits, dots, hyphens and underscores",
            shown(selector)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_by_the_rules_are_accepted() {
        for name in [
            "x",
            "plain.name-with_all",
            "/app/x",
            "/app/deep/er/x",
            "/app/x:3",
            "/app/x:live",
            "x:live.2-b_c",
            "/app/aws",
            "/app/ssm/x",
            "/awful/x",
            "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
            "/aws/reference/secretsmanager/prod/db+=@.x",
            "/aws/reference/secretsmanager/db:AWSCURRENT",
            "arn:aws:ssm:eu-west-1:111122223333:parameter/x",
            "arn:aws:ssm:eu-west-1:111122223333:parameter/app/x:3",
            "arn:aws-cn:ssm:cn-north-1:111122223333:parameter/app/x",
            "arn:aws:ssm:eu-west-1::parameter/aws/service/global-infrastructure/version",
        ] {
            assert_eq!(problem(name), None, "{name}");
        }
        let longest = format!("/{}", "x".repeat(MAX_LENGTH - 1));
        assert_eq!(problem(&longest), None);
    }

    #[test]
    fn names_and_arns_against_the_rules_are_not() {
        for name in [
            "",
            "/",
            "//",
            "/app/",
            "/app//x",
            "app/x",
            "/app/a b",
            "/app/a\n",
            "/app/ä",
            "/app/a@b",
            "/app/{a}",
            "/app/*",
            ":3",
            "/app/x:",
            "/app/x:a b",
            "/app/x:1:2",
            "awsx",
            "AWS",
            "/aws/x",
            "/aws/service",
            "/Aws/service/x",
            "/awsome/x",
            "ssm",
            "/SSM/x",
            "/ssm-x",
            "/aws/reference/secretsmanager/",
            "/aws/reference/secretsmanager/a b",
            "/aws/reference/other/x",
            "arn:aws:ssm:eu-west-1:111122223333:parameter",
            "arn:aws:ssm:eu-west-1:111122223333:parameter/",
            "arn:aws:ssm:eu-west-1:111122223333:parameter/app/a b",
            "arn:aws:ssm:eu-west-1:111122223333:document/x",
            "arn:aws:ssm:eu-west-1:111122223333:parameter/aws/x",
            "arn:aws:s3:::bucket/x",
            "arn:",
        ] {
            assert!(problem(name).is_some(), "{name}");
        }
        let label = format!("/app/x:{}", "a".repeat(MAX_LABEL + 1));
        let (long, arn) = (
            format!("/{}", "x".repeat(MAX_LENGTH)),
            format!("arn:aws:ssm:eu-west-1:111122223333:parameter/{}", "x".repeat(MAX_LENGTH - 20)),
        );
        for name in [label, long, arn] {
            assert!(problem(&name).is_some(), "{name}");
            let error = check(&name).expect_err("too long");
            assert!(error.len() < 400, "{error}");
        }
    }

    #[test]
    fn paths_by_the_rules_are_accepted_and_no_others() {
        for path in ["/", "/app", "/app/", "/app/deep/", "/aws/service/global-infrastructure"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
        for path in ["", "app", "app/", "//", "/app//", "/app//x", "/app/a b/", "/app/*"] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }
}

#[cfg(test)]
mod parsers {
    use proptest::prelude::*;

    use super::*;
    use crate::near::near_any;

    fn names() -> impl Strategy<Value = String> {
        near_any(
            &[
                "x",
                "/app/db.host-1_a",
                "/app/x:live.2-b_c",
                "/aws/service/ami",
                "/aws/reference/secretsmanager/prod/db+=@.x",
                "arn:aws:ssm:eu-west-1:111122223333:parameter/app/x:3",
                "arn:aws:ssm:eu-west-1::parameter/aws/service/x",
            ],
            &["/", "//", ":", ":3", "aws", "SSM", "arn:", "parameter", " ", "\n", "*", "\u{e9}"],
        )
    }

    proptest! {
        #[test]
        fn a_name_by_the_rules_is_accepted_with_and_without_a_selector(
            // `x` keeps the first segment from a reserved beginning.
            segments in prop::collection::vec("[a-zA-Z0-9_.-]{1,9}", 1..5),
            selector in "[a-zA-Z0-9._-]{1,9}",
        ) {
            let path = format!("/x{}", segments.join("/"));
            let arn = format!("arn:aws:ssm:eu-west-1:111122223333:parameter{path}");
            for name in [&path, &format!("x{}", segments[0]), &arn] {
                let selected = format!("{name}:{selector}");
                prop_assert_eq!(check(name), Ok(()));
                prop_assert_eq!(check(&selected), Ok(()));
                prop_assert_eq!(without_selector(name), (&**name, None));
                prop_assert_eq!(without_selector(&selected), (&**name, Some(&*selector)));
            }
            prop_assert_eq!(check_path(&path), Ok(()));
        }

        #[test]
        fn what_is_accepted_has_only_characters_that_the_service_takes(name in names()) {
            match check(&name) {
                Ok(()) => {
                    let taken = |it: char| it.is_ascii_alphanumeric() || "/._-:+=@".contains(it);
                    prop_assert!(name.chars().all(taken));
                    let (alone, selector) = without_selector(&name);
                    let again = selector.map_or(alone.to_owned(), |it| format!("{alone}:{it}"));
                    prop_assert_eq!(again, name);
                }
                Err(error) => prop_assert!(!error.chars().any(char::is_control), "{}", error),
            }
        }

        #[test]
        fn a_path_that_is_accepted_names_parameters_below_it(path in names()) {
            let below = format!("{}/x", path.trim_end_matches('/'));
            let segment = below.trim_start_matches('/').to_ascii_lowercase();
            let is_reserved = segment.starts_with("aws") || segment.starts_with("ssm");
            if check_path(&path).is_ok() && !is_reserved {
                prop_assert_eq!(check(&below), Ok(()));
            }
        }
    }
}
