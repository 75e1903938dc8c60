//! The errors of XEP-0060, each in one place with its section: a condition and, mostly, one of the specification's own
//! beside it (§16.2).

use kim_core::error::{Condition, ErrorType, StanzaError};

use super::names::ERRORS;

fn with(condition: Condition, own: &'static str) -> StanzaError {
    StanzaError::new(condition).detail(own, ERRORS)
}

/// §6.1.3.12, §6.5.9.11 and others: there is no such node, or nothing that this asker may know of.
pub fn no_node() -> StanzaError {
    StanzaError::new(Condition::ItemNotFound)
}

/// §6.1.3.1: the address to subscribe is not the asker's.
pub fn invalid_jid() -> StanzaError {
    with(Condition::BadRequest, "invalid-jid")
}

/// §6.1.3.2: the asker must see the owner's presence.
pub fn presence_required() -> StanzaError {
    with(Condition::NotAuthorized, "presence-subscription-required")
}

/// §6.1.3.3: the asker is in none of the groups.
pub fn not_in_group() -> StanzaError {
    with(Condition::NotAuthorized, "not-in-roster-group")
}

/// §6.1.3.4: the asker was not named.
pub fn closed() -> StanzaError {
    with(Condition::NotAllowed, "closed-node")
}

/// §6.5.9.3: only who is subscribed may.
pub fn not_subscribed() -> StanzaError {
    with(Condition::NotAuthorized, "not-subscribed")
}

/// §6.2.3.2: nobody to unsubscribe.
pub fn no_subscriber() -> StanzaError {
    with(Condition::UnexpectedRequest, "not-subscribed").kind(ErrorType::Cancel)
}

/// §6.2.3.5: a subscription of another id.
pub fn invalid_subid() -> StanzaError {
    with(Condition::NotAcceptable, "invalid-subid")
}

/// §6.1.3.7: the first request is not answered yet.
pub fn pending() -> StanzaError {
    with(Condition::NotAuthorized, "pending-subscription")
}

/// §6.1.3.9: no room for another subscription.
pub fn too_many_subscriptions() -> StanzaError {
    with(Condition::PolicyViolation, "too-many-subscriptions").kind(ErrorType::Wait)
}

/// §8.2.3.3, §7.2.3.3: which node?
pub fn node_required() -> StanzaError {
    with(Condition::BadRequest, "nodeid-required")
}

/// §7.1.3.7, §7.2.3.4: an item or its id is missing.
pub fn item_required() -> StanzaError {
    with(Condition::BadRequest, "item-required")
}

/// §7.1.3.7: a node that neither keeps nor tells anything takes no item.
pub fn item_forbidden() -> StanzaError {
    with(Condition::BadRequest, "item-forbidden")
}

/// §7.1.3.6: not one payload.
pub fn invalid_payload() -> StanzaError {
    with(Condition::BadRequest, "invalid-payload")
}

/// §7.1.3.7: a payload is missing.
pub fn payload_required() -> StanzaError {
    with(Condition::BadRequest, "payload-required")
}

/// §7.1.3.5: a payload is too big.
pub fn payload_too_big(bytes_max: usize) -> StanzaError {
    with(Condition::NotAcceptable, "payload-too-big").text(format!(
        "the item is too large; at most {bytes_max} bytes are allowed"
    ))
}

/// §7.1.3.4: more items than the node holds.
pub fn max_items_exceeded() -> StanzaError {
    with(Condition::NotAllowed, "max-items-exceeded")
}

/// §8.1: no room for another node.
pub fn max_nodes_exceeded() -> StanzaError {
    with(Condition::Conflict, "max-nodes-exceeded")
}

/// §7.1.5: the node is configured otherwise.
pub fn precondition_not_met(field: &str) -> StanzaError {
    with(Condition::Conflict, "precondition-not-met")
        .text(format!("the node has a different value for {field}"))
}

/// §11: a part of the specification that is not there.
pub fn unsupported(feature: &'static str) -> StanzaError {
    StanzaError::new(Condition::FeatureNotImplemented).detail_with("unsupported", ERRORS, "feature", feature)
}

/// §6.5.9.4: nothing is kept here.
pub fn not_persistent() -> StanzaError {
    unsupported("persistent-items")
}

/// The asker may not do this.
pub fn forbidden() -> StanzaError {
    StanzaError::new(Condition::Forbidden)
}
