//! How items are looked up: together where that is allowed, and the others one by one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemError;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt};

use super::batch::{self, Looked, Wish};
use super::content::Item;
use crate::sources::FetchError;
use crate::sources::aws::culprits::{AT_ONCE, BatchCall, CallError, Culprits, tenths};
use crate::sources::aws::permission::BatchPermission;

/// What has been learnt of which items can be asked for together.
#[derive(Debug)]
pub(super) struct Lookup {
    permission: BatchPermission,
    culprits: Culprits<Wish>,
}

impl Default for Lookup {
    fn default() -> Self {
        let permission = BatchPermission::new("dynamodb:BatchGetItem");
        Self { permission, culprits: Culprits::default() }
    }
}

impl Lookup {
    /// Splits items into batches.
    pub(super) fn plan(&self, wishes: Vec<Wish>) -> Vec<Vec<Wish>> {
        let (refused, others): (Vec<Wish>, Vec<Wish>) =
            wishes.into_iter().partition(|wish| self.culprits.contains(wish));
        [others, refused].into_iter().flat_map(batch::plan).collect()
    }

    /// What becomes of each item of a batch.
    pub(super) async fn fetch(&self, client: &Client, wishes: Vec<Wish>) -> HashMap<Wish, Looked> {
        let (singly, together): (Vec<Wish>, Vec<Wish>) =
            wishes.into_iter().partition(|wish| self.permission.is_lacking_on(&wish.table));
        let one = |wish: Wish| async move {
            let item = get_one(client, &wish).await.map_err(CallError::into_failure);
            (wish, item)
        };
        let singly = stream::iter(singly.into_iter().map(one)).buffer_unordered(AT_ONCE);
        let call = GetItems { client, permission: &self.permission };
        let together = self.culprits.ask(&call, together);
        let (singly, mut looked) = join(singly.collect::<Vec<_>>(), together).await;
        looked.extend(singly);
        looked
    }

    pub(super) fn reset(&self) {
        self.permission.reset();
        self.culprits.reset();
    }
}

/// BatchGetItem for several items, GetItem for one.
struct GetItems<'a> {
    client: &'a Client,
    permission: &'a BatchPermission,
}

impl BatchCall<Wish> for GetItems<'_> {
    type Answer = Option<Item>;

    const LIMIT: usize = batch::LIMIT;

    async fn call(&self, wishes: &[Wish]) -> Result<Vec<Looked>, CallError> {
        match wishes {
            [wish] => Ok(vec![Ok(get_one(self.client, wish).await?)]),
            _ => batch::get(self.client, wishes).await,
        }
    }

    /// By table first: permissions are given for a table, and a table may be missing.
    fn split(&self, wishes: Vec<Wish>) -> Vec<Vec<Wish>> {
        let mut tables: BTreeMap<&str, Vec<Wish>> = BTreeMap::new();
        for wish in &wishes {
            tables.entry(&wish.table).or_default().push(wish.clone());
        }
        match tables.len() {
            1 => tenths(&wishes),
            _ => tables.into_values().collect(),
        }
    }

    /// GetItem is allowed where BatchGetItem is not: on the table that the service named, or else on
    /// all that may be meant.
    fn refused_without_culprit(&self, failure: &FetchError, alone: &[&Wish]) {
        let Some(error) = failure.cause.downcast_ref::<SdkError<BatchGetItemError>>() else {
            return;
        };
        if error.code() != Some("AccessDeniedException") {
            return;
        }
        let tables: BTreeSet<&str> = alone.iter().map(|wish| wish.table.as_str()).collect();
        let message = error.message();
        let is_named = |table: &&&str| message.is_some_and(|it| names(it, table));
        let named: Vec<&str> = tables.iter().filter(is_named).copied().collect();
        let lacking = if named.is_empty() { tables.into_iter().collect() } else { named };
        lacking.iter().for_each(|table| self.permission.lacks_on(table, message));
    }
}

/// Whether a message has the table's ARN in it.
fn names(message: &str, table: &str) -> bool {
    let table = table.rsplit('/').next().unwrap_or_default();
    let is_end =
        |rest: &str| !rest.starts_with(|it: char| it.is_ascii_alphanumeric() || "_.-".contains(it));
    let mut parts = message.split(":table/").skip(1);
    parts.any(|part| part.strip_prefix(table).is_some_and(is_end))
}

async fn get_one(client: &Client, wish: &Wish) -> Result<Option<Item>, CallError> {
    let (projection, names) = batch::projection(&wish.manner.projection);
    let call = client
        .get_item()
        .table_name(&wish.table)
        .set_key(Some(wish.key_attributes()))
        .consistent_read(wish.manner.is_consistent())
        .set_projection_expression(projection)
        .set_expression_attribute_names(names);
    let answer = call.send().await.map_err(CallError::new)?;
    Ok(answer.item.map(Item::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_table_whose_whole_arn_it_has() {
        let arn = |table| format!("arn:aws:dynamodb:eu-west-1:111122223333:table/{table}");
        let message = format!("not authorized to perform: it on resource: {} because", arn("a"));
        assert!(names(&message, "a") && names(&message, &arn("a")));
        for other in ["b", "", "aa", "because"] {
            assert!(!names(&message, other), "{other}");
        }
        assert!(!names(&arn("a-b"), "a") && names(&arn("a-b"), "a-b"));
    }
}
