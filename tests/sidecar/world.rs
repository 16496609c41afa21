//! What tests put into AWS.

use aws_sdk_ssm::types::ParameterType;

use crate::aws::HOME;
use crate::cloud::Cloud;

impl Cloud {
    /// Gives a parameter its value.
    pub(crate) async fn put_parameter(&self, name: &str, value: &str) {
        self.put_parameter_in(HOME, name, value).await;
    }

    pub(crate) async fn put_parameter_in(&self, region: &str, name: &str, value: &str) {
        let ssm = aws_sdk_ssm::Client::new(&self.aws.direct(region));
        let put = ssm.put_parameter().name(name).value(value).r#type(ParameterType::String);
        put.overwrite(true).send().await.unwrap();
    }

    /// Gives a secret its text.
    pub(crate) async fn put_secret(&self, name: &str, text: &str) {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.aws.direct(HOME));
        let put = secrets.put_secret_value().secret_id(name).secret_string(text).send().await;
        if put.is_err() {
            secrets.create_secret().name(name).secret_string(text).send().await.unwrap();
        }
    }

    /// The operations called since this was last asked.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.aws.calls().iter().map(|call| call.operation().to_owned()).collect()
    }
}
