//! The five-step case with a parameter.

use std::fmt::Debug;
use std::time::Duration;

use aws_sdk_ssm::types::ParameterType;
use lambda_cache::sources::{Entry, ssm};

use crate::fixture::World;
use crate::steps;
pub(super) use crate::steps::Reading;

pub(super) const NAME: &str = "/app/something";

pub(super) struct Steps {
    pub(super) kind: ParameterType,
    pub(super) age: Duration,
    pub(super) reading: Reading,
}

impl Steps {
    /// `values` are the parameter's two texts, each with what it is read as.
    pub(super) async fn run<T: PartialEq + Debug + Clone + Send + Sync + 'static>(
        self,
        declare: impl FnOnce(Entry<ssm::OneParameter, String>) -> Entry<ssm::OneParameter, T>,
        values: [(&str, T); 2],
    ) {
        let world = World::new();
        let [(first, read_first), (second, read_second)] = values;
        let change = async |n: usize| {
            world.aws.put_as(self.kind.clone(), NAME, [first, second][n]).await;
        };
        let entry = declare(ssm::parameter(NAME));
        steps::Steps { age: self.age, reading: self.reading }
            .run(&world, entry, change, T::clone, [read_first, read_second])
            .await;
    }
}
