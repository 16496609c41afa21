//! Settings under property tests: what is set is used, or a problem.

use proptest::prelude::*;

use super::tests::read;
use super::*;
use crate::near::near_any;

const NAMES: [&str; 19] = [
    "LAMBDA_CACHE_CONFIG",
    "CACHE_EXTENSION_INIT_STARTUP",
    "LAMBDA_CACHE_PORT",
    "LAMBDA_CACHE_REQUIRE_TOKEN",
    "CACHE_EXTENSION_TTL",
    "LAMBDA_CACHE_MAX_CLIENTS",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_LOG_LEVEL",
    "PARAMETERS_SECRETS_EXTENSION_LOG_LEVEL",
    "AWS_LAMBDA_LOG_FORMAT",
    "PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED",
    "PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE",
    "PARAMETERS_SECRETS_EXTENSION_MAX_CONNECTIONS",
    "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT",
    "SSM_PARAMETER_STORE_TTL",
    "SECRETS_MANAGER_TIMEOUT_MILLIS",
    "LAMBDA_CACHE_MAX_BYTES",
    "LAMBDA_CACHE_NOT_FOUND_TTL",
    "SECRETS_MANAGER_TTL",
];

fn values() -> impl Strategy<Value = String> {
    near_any(
        &["1", "0", "65535", "4294967295", "true", "FALSE", "1h30m", "debug", "JSON", "none"],
        &["0", "9", "-", "+", ".", " ", "s", "e", "\n", "\u{661}", "INFO", "Text"],
    )
}

proptest! {
    #[test]
    fn numbers_are_read_as_they_were_written(
        seconds: u32, most in 1..u32::MAX, (one, other) in (1..u16::MAX, 1..u16::MAX)
    ) {
        prop_assume!(one != other);
        let (settings, problems) = read(&[
            ("SECRETS_MANAGER_TTL", &seconds.to_string()),
            ("LAMBDA_CACHE_NOT_FOUND_TTL", &format!("00{seconds}")),
            ("CACHE_EXTENSION_TTL", &format!("{seconds}s")),
            ("LAMBDA_CACHE_MAX_BYTES", &most.to_string()),
            ("PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE", &most.to_string()),
            ("LAMBDA_CACHE_PORT", &one.to_string()),
            ("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT", &other.to_string()),
        ]);
        prop_assert_eq!(problems, [""; 0]);
        let Settings { declared, on_demand, .. } = settings;
        let ages = [on_demand.secrets.max_age, on_demand.not_found_ttl, declared.max_age];
        prop_assert_eq!(ages, [Duration::from_secs(seconds.into()); 3]);
        prop_assert_eq!((on_demand.max_bytes, on_demand.cache_size), (Some(most.into()), most as usize));
        prop_assert_eq!((declared.port, on_demand.port), (one, other));
    }

    #[test]
    fn whatever_is_set_is_used_or_a_problem_on_one_line_with_the_variables_name(
        name in prop::sample::select(&NAMES[..]), value in values()
    ) {
        let (settings, problems) = read(&[(name, &value)]);
        prop_assert!(problems.len() <= 1);
        for problem in problems {
            prop_assert!(problem.contains(name) && !problem.contains('\n'), "{}", problem);
        }
        prop_assert!(settings.declared.port != 0 && settings.on_demand.port != 0);
        prop_assert!(settings.max_clients > 0 && settings.on_demand.max_connections > 0);
        prop_assert!(!settings.on_demand.secrets.timeout.is_zero());
    }
}
