-- Private XML storage (XEP-0049): what a client keeps under one element name and namespace. `bytes` is what it weighs.
CREATE TABLE private_xml (
    account TEXT NOT NULL,
    ns TEXT NOT NULL,
    name TEXT NOT NULL,
    xml TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (account, ns, name)
);
