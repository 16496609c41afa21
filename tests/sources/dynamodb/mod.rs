//! Items and queries of DynamoDB.
