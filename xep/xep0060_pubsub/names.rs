//! The namespaces of publish-subscribe, and the name of its service.

/// The name of the service: `pubsub.` and the domain.
pub const SERVICE: &str = "pubsub";
/// The namespace of requests (§16.1).
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// The namespace of owners' requests (§16.3).
pub const OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// The namespace of notifications (§16.4).
pub const EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// The namespace of this specification's own error conditions (§16.2).
pub const ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";

/// The type of the form that configures a node (§16.4.4).
pub const NODE_CONFIG: &str = "http://jabber.org/protocol/pubsub#node_config";
/// The type of the form that says what a publisher relies on (§7.1.5).
pub const PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
