//! ARNs of roles and names of sessions under property tests.

use proptest::prelude::*;

use super::tests::{READER, session_name};
use super::*;
use crate::near::near_any;

proptest! {
    #[test]
    fn every_role_by_the_rules_is_one(account in "[0-9]{12}", name in "([!-.0-~]{1,9}/){0,3}[a-zA-Z0-9+=,.@_-]{1,64}") {
        let arn = format!("arn:aws:iam::{account}:role/{name}");
        prop_assert!(is_role(&arn), "{}", arn);
    }

    #[test]
    fn what_is_a_role_can_be_put_together_again_of_its_parts(
        arn in near_any(
            &[READER, "arn:aws-cn:iam::111122223333:role/path/reader"],
            &[":", "::", "arn:", "role/", "/", "iam", " ", "1", "\n", "\u{e9}"],
        )
    ) {
        if let Some(parts) = arn_parts(&arn) {
            prop_assert_eq!(format!("arn:{}", parts.join(":")), arn.clone());
            prop_assert!(!is_role(&arn) || parts[3].len() == 12 && !arn.contains([' ', '\n']));
        } else {
            prop_assert!(!is_role(&arn));
        }
    }

    #[test]
    fn any_function_gives_its_session_a_name_that_sts_takes(function in ".{0,80}") {
        let role = Role::new(READER).session_name(session_name(&function));
        prop_assert_eq!(role.check(), Ok(()));
    }
}
