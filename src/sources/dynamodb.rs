//! Items and queries of DynamoDB (feature `dynamodb`).
