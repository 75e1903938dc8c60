//! Accounts as pubsub services.
