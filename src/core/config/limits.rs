//! `[limits]`: every limit on what the network can make the server do or keep, with its unit in its name. The rows
//! mentioned are those of the threat table in docs/security.md.

use crate::section;

section! {
    /// Limits on what clients can make the server do or store. Each name ends in its unit or what it counts. A number
    /// such as (row 8) refers to the table of threats in docs/security.md.
    pub struct Limits {
        /// false removes the limits on rates, counts and queues, for load tests. Limits on the form of XML, on the
        /// time before login and on password attempts always apply.
        pub enabled: bool = true;

        /// Bytes in one stanza after login. RFC 6120 section 13.12 requires at least 10000. (row 5)
        pub stanza_bytes_max: usize = 262_144, in 10_000..=16_777_216;
        /// Bytes in one element before login, including the white space in front of it. (rows 5 and 7)
        pub stanza_bytes_before_login_max: usize = 10_240, in 10_000..=262_144;
        /// Depth of nested elements in a stanza. (row 6)
        pub depth_max: usize = 64, in 8..=256;
        /// Attributes of one element. (row 5)
        pub attributes_max: usize = 64, in 16..=1_024;
        /// Bytes in the name of an element or attribute. (row 5)
        pub name_bytes_max: usize = 256, in 64..=4_096;
        /// Namespace declarations in one stanza, at all levels. An offer of a video call has more than a hundred.
        /// (row 5)
        pub namespaces_max: usize = 1_024, in 16..=16_384;
        /// Elements in one stanza, at all levels. (row 5)
        pub children_max: usize = 4_096, in 64..=65_536;
        /// Bytes in the opening tag of a stream. (row 5)
        pub header_bytes_max: usize = 4_096, in 1_024..=65_536;

        /// Seconds from connecting to being logged in, however busy the connection is. (row 8)
        pub login_seconds_max: u64 = 30, in 1..=600;
        /// Seconds for the TLS handshake. (row 8)
        pub tls_handshake_seconds_max: u64 = 10, in 1..=600;
        /// Concurrent TLS handshakes; further ones wait. (row 8)
        pub tls_handshakes_concurrent_max: usize = 256, in 1..=65_536;
        /// Streams from one address (one /64 for IPv6). (row 8)
        pub streams_per_address_max: usize = 500, in 1..=1_000_000;
        /// Streams from one address that are not logged in. (row 8)
        pub streams_unauthenticated_per_address_max: usize = 50, in 1..=1_000_000;

        /// HTTP connections from one address (one /64 for IPv6), not counting trusted proxies. (row 8)
        pub http_connections_per_address_max: usize = 100, in 1..=1_000_000;
        /// Bytes in the headers of one HTTP request. (row 25)
        pub http_header_bytes_max: usize = 16_384, in 8_192..=1_048_576;
        /// Headers in one HTTP request. (row 25)
        pub http_headers_max: usize = 64, in 16..=1_024;
        /// Seconds to receive the headers of a request, including on a kept-alive connection. (row 25)
        pub http_header_seconds_max: u64 = 10, in 1..=600;
        /// Seconds without progress while a request body is received or a response is sent. (row 25)
        pub http_stall_seconds_max: u64 = 30, in 1..=600;

        /// Failed logins after which a stream is closed. (row 10)
        pub sasl_tries_per_stream_max: u32 = 3, in 1..=100;
        /// Wrong passwords that one address can try before it has to wait. Attempts that fail before a password is
        /// checked do not count. (row 10)
        pub login_failures_burst: u32 = 10, in 1..=10_000;
        /// Seconds after which an address may try one more. (row 10)
        pub login_failure_refill_seconds: u64 = 10, in 1..=3_600;
        /// Wrong passwords for one account, from any address, before further attempts from unfamiliar addresses are
        /// delayed. (row 10)
        pub account_failures_burst: u32 = 5, in 1..=10_000;
        /// Longest such delay, in seconds. (row 10)
        pub account_failure_delay_seconds_max: u64 = 10, in 1..=300;
        /// New accounts per hour from one address, if registration is open. (row 23)
        pub registrations_per_address_per_hour: u32 = 3, in 1..=1_000_000;

        /// Stanzas per second that a client can send in the long run. Faster clients are slowed down. (row 29)
        pub stanzas_per_second: u32 = 100, in 1..=1_000_000;
        /// Stanzas that it can send at once after a pause. (row 29)
        pub stanzas_burst: u32 = 1_000, in 1..=1_000_000;
        /// Bytes per second that a client can send in the long run. (row 29)
        pub bytes_per_second: u32 = 131_072, in 1_024..=1_073_741_824;
        /// Bytes that it can send at once after a pause. (row 29)
        pub bytes_burst: u32 = 1_048_576, in 10_000..=1_073_741_824;
        /// Share of these rates that a guest gets, in percent. (row 31)
        pub guest_rate_percent: u32 = 10, in 1..=100;

        /// Clients of one account that are connected at the same time.
        pub resources_per_account_max: usize = 10, in 1..=1_000;
        /// Bytes waiting to be sent to one client. (row 29)
        pub outbox_bytes_max: usize = 1_048_576, in 65_536..=268_435_456;
        /// Bytes waiting to be sent to one external component. (row 29)
        pub component_outbox_bytes_max: usize = 16_777_216, in 65_536..=1_073_741_824;
        /// Messages waiting for one domain elsewhere. (row 30)
        pub s2s_queue_messages_max: usize = 10_000, in 100..=10_000_000;
        /// Bytes waiting for one domain elsewhere. (row 30)
        pub s2s_queue_bytes_max: usize = 16_777_216, in 65_536..=1_073_741_824;
        /// Seconds after which a client that reads nothing is disconnected. (row 29)
        pub slow_reader_seconds_max: u64 = 60, in 1..=3_600;
        /// Stanzas of one client that wait for the database at the same time. Further ones are not read until then.
        /// (row 29)
        pub pending_commits_per_stream_max: usize = 64, in 1..=10_000;

        /// Streams from other servers.
        pub s2s_streams_max: usize = 10_000, in 1..=1_000_000;
        /// Streams from other servers that have proved no domain yet.
        pub s2s_streams_unverified_max: usize = 2_000, in 1..=1_000_000;
        /// Domains that one stream from another server may speak for.
        pub s2s_domains_per_stream_max: usize = 100, in 1..=100_000;
        /// Dialback requests of one stream that may wait for an answer.
        pub s2s_dialbacks_per_stream_max: usize = 20, in 1..=10_000;
        /// Dialback requests that are checked at the same time; further ones are refused.
        pub s2s_dialbacks_concurrent_max: usize = 200, in 1..=100_000;
        /// Pairs of a domain here and a domain elsewhere that stanzas wait for or streams exist for.
        pub s2s_pairs_max: usize = 10_000, in 1..=1_000_000;
        /// Bytes waiting for all domains elsewhere together. Messages from before a restart that do not fit wait in the
        /// database alone.
        pub s2s_queues_bytes_max: usize = 268_435_456, in 1_048_576..=68_719_476_736;
        /// Stanzas another server may send per second on one stream in the long run; a faster one is read more slowly.
        pub s2s_stanzas_per_second: u32 = 1_000, in 1..=1_000_000;
        /// Stanzas it may send at once after a pause.
        pub s2s_stanzas_burst: u32 = 10_000, in 1..=1_000_000;
        /// Bytes another server may send per second on one stream in the long run.
        pub s2s_bytes_per_second: u32 = 1_048_576, in 1_024..=1_073_741_824;
        /// Bytes it may send at once after a pause.
        pub s2s_bytes_burst: u32 = 8_388_608, in 10_000..=1_073_741_824;

        /// Contacts in one roster. (row 30)
        pub roster_items_max: usize = 5_000, in 1..=1_000_000;
        /// Unanswered subscription requests to one account. (row 30)
        pub pending_subscriptions_max: usize = 500, in 1..=1_000_000;
        /// Addresses to which one client has sent directed presence (RFC 6121 section 4.6).
        pub directed_presences_max: usize = 500, in 1..=1_000_000;
        /// Messages stored for one account while it is offline. (row 30)
        pub offline_messages_max: usize = 1_000, in 0..=1_000_000;
        /// Bytes of private XML of one account (XEP-0049). (row 30)
        pub private_bytes_max: usize = 1_048_576, in 0..=1_073_741_824;
        /// Bytes in one vCard, including the picture (XEP-0054). (row 30)
        pub vcard_bytes_max: usize = 131_072, in 1_024..=16_777_216;
        /// Addresses on one block list (XEP-0191). (row 30)
        pub block_list_max: usize = 1_000, in 0..=1_000_000;

        /// Seconds that a stopping server takes to finish accepted work and to say goodbye to its clients.
        pub drain_seconds_max: u64 = 15, in 1..=3_600;
    }
}

impl Limits {
    /// The limits to go by: these, or with `enabled = false` ones that no load test meets. What bounds a single
    /// stanza's form, the time before login and the guessing of passwords stays as it is.
    pub fn effective(&self) -> Limits {
        if self.enabled {
            return self.clone();
        }
        const MANY: usize = 1_000_000_000;
        const FAST: u32 = 1_000_000_000;
        Limits {
            tls_handshakes_concurrent_max: 65_536,
            streams_per_address_max: MANY,
            http_connections_per_address_max: MANY,
            streams_unauthenticated_per_address_max: MANY,
            registrations_per_address_per_hour: FAST,
            stanzas_per_second: FAST,
            stanzas_burst: FAST,
            bytes_per_second: FAST,
            bytes_burst: FAST,
            guest_rate_percent: 100,
            resources_per_account_max: MANY,
            outbox_bytes_max: 268_435_456,
            component_outbox_bytes_max: 1_073_741_824,
            s2s_queue_messages_max: MANY,
            s2s_queue_bytes_max: 1_073_741_824,
            slow_reader_seconds_max: 3_600,
            pending_commits_per_stream_max: 10_000,
            s2s_streams_max: MANY,
            s2s_streams_unverified_max: MANY,
            s2s_dialbacks_concurrent_max: 100_000,
            s2s_pairs_max: MANY,
            s2s_stanzas_per_second: FAST,
            s2s_stanzas_burst: FAST,
            s2s_bytes_per_second: FAST,
            s2s_bytes_burst: FAST,
            roster_items_max: MANY,
            pending_subscriptions_max: MANY,
            directed_presences_max: MANY,
            offline_messages_max: MANY,
            private_bytes_max: MANY,
            block_list_max: MANY,
            ..self.clone()
        }
    }
}
