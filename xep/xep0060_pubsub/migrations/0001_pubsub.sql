-- Nodes, items, subscriptions and affiliations (XEP-0060). `owner` is an account, or the domain of the service.
-- What people write is sealed: configurations, and items with their ids and publishers. `item` is a keyed tag of an item's
-- id, `place` the time of its publication.
CREATE TABLE pubsub_node (
    owner TEXT NOT NULL,
    node TEXT NOT NULL,
    config BYTEA NOT NULL,
    PRIMARY KEY (owner, node)
);
CREATE TABLE pubsub_item (
    owner TEXT NOT NULL,
    node TEXT NOT NULL,
    item BIGINT NOT NULL,
    place BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (owner, node, item)
);
CREATE INDEX pubsub_item_place ON pubsub_item (owner, node, place);
CREATE TABLE pubsub_subscription (
    owner TEXT NOT NULL,
    node TEXT NOT NULL,
    jid TEXT NOT NULL,
    who TEXT NOT NULL,
    subid TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (owner, node, jid)
);
CREATE INDEX pubsub_subscription_who ON pubsub_subscription (who);
CREATE TABLE pubsub_affiliation (
    owner TEXT NOT NULL,
    node TEXT NOT NULL,
    jid TEXT NOT NULL,
    affiliation TEXT NOT NULL,
    PRIMARY KEY (owner, node, jid)
);
CREATE INDEX pubsub_affiliation_jid ON pubsub_affiliation (jid);
