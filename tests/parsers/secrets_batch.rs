//! Answers of BatchGetSecretValue under property tests: each secret gets its own.

use proptest::prelude::*;

use super::*;
use crate::entry::Version;

/// Secrets by name, with the six characters at the end of their ARNs. Some are like the ARN
/// of another.
const SECRETS: [(&str, &str); 5] = [
    ("db", "AbCdEf"),
    ("db-123456", "XyZaBc"),
    ("db-123456-123456", "QqQqQq"),
    ("prod/db", "AbCdEf"),
    ("dbx", "123456"),
];

fn arn((name, suffix): (&str, &str)) -> String {
    format!("arn:aws:secretsmanager:r:1:secret:{name}-{suffix}")
}

fn partial((name, _): (&str, &str)) -> String {
    format!("arn:aws:secretsmanager:r:1:secret:{name}")
}

/// The index of a secret, what it is asked for by, and whether the answer is an error.
fn asked() -> impl Strategy<Value = Vec<(usize, String, bool)>> {
    let ways = SECRETS.iter().enumerate().flat_map(|(index, &secret)| {
        [secret.0.to_owned(), arn(secret), partial(secret)].map(|asked| (index, asked))
    });
    let some = prop::sample::subsequence(ways.collect::<Vec<_>>(), 2..=10).prop_shuffle();
    (some, any::<[bool; 10]>()).prop_map(|(some, fails)| {
        let some = some.into_iter().zip(fails);
        some.map(|((index, asked), fails)| (index, asked, fails)).collect()
    })
}

fn answer(index: usize, asked: &str, fails: bool) -> Answer {
    if fails {
        let error = ApiErrorType::builder().secret_id(asked);
        return Answer::error(error.error_code(format!("E{index}")).build());
    }
    let value = SecretValueEntry::builder().name(SECRETS[index].0).arn(arn(SECRETS[index]));
    Answer::value(value.version_id(index.to_string()).secret_string("s").build())
}

proptest! {
    #[test]
    fn each_secret_gets_its_own_answer(asked in asked(), pages: [bool; 10]) {
        // On two pages, each with its values before its errors.
        let mut answers: Vec<(bool, bool, Answer)> = asked
            .iter()
            .zip(pages)
            .map(|((index, asked, fails), page)| (page, *fails, answer(*index, asked, *fails)))
            .collect();
        answers.sort_by_key(|(page, fails, _)| (*page, *fails));
        let answers: Vec<Answer> = answers.into_iter().map(|(_, _, answer)| answer).collect();
        for (index, secret, fails) in &asked {
            match find(&answers, secret) {
                Ok(version) => {
                    prop_assert_eq!(version.id_with(None), Some(Version::new(index)), "{}", secret);
                }
                Err(error) => {
                    prop_assert!(fails, "{} failed", secret);
                    let cause = format!("{:?}", error.cause);
                    prop_assert!(cause.contains(&format!("E{index}")), "{} got {}", secret, cause);
                }
            }
        }
    }
}
