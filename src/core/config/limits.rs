//! `[limits]`: every limit on what the network can make the server do or keep, with its unit in its name. The rows
//! mentioned are those of the threat table in docs/security.md.

use crate::section;

section! {
    /// Limits on what the network can make the server do or keep. Each has its unit in its name.
    pub struct Limits {
        /// false lifts the limits on rates, counts and queues, for load tests. Those on the form of XML, on time before
        /// login and on tries at a password always hold.
        pub enabled: bool = true;

        /// Bytes of one stanza after login. RFC 6120 section 13.12 demands at least 10000. (row 5)
        pub stanza_bytes_max: usize = 262_144, in 10_000..=16_777_216;
        /// Bytes of one element before login, with the white space before it. (rows 5 and 7)
        pub stanza_bytes_before_login_max: usize = 10_240, in 10_000..=262_144;
        /// Elements inside one another in a stanza. (row 6)
        pub depth_max: usize = 64, in 8..=256;
        /// Attributes of one element. (row 5)
        pub attributes_max: usize = 64, in 16..=1_024;
        /// Bytes of the name of an element or attribute. (row 5)
        pub name_bytes_max: usize = 256, in 64..=4_096;
        /// Namespace declarations in one stanza, wherever they stand. The offer of a video call has more than a hundred.
        /// (row 5)
        pub namespaces_max: usize = 1_024, in 16..=16_384;
        /// Elements inside one stanza, at every level. (row 5)
        pub children_max: usize = 4_096, in 64..=65_536;
        /// Bytes of a stream's opening tag. (row 5)
        pub header_bytes_max: usize = 4_096, in 1_024..=65_536;

        /// Seconds from connecting to being logged in, however busy the connection is. (row 8)
        pub login_seconds_max: u64 = 30, in 1..=600;
        /// Seconds for the TLS handshake. (row 8)
        pub tls_handshake_seconds_max: u64 = 10, in 1..=600;
        /// TLS handshakes at the same time; more wait. (row 8)
        pub tls_handshakes_concurrent_max: usize = 256, in 1..=65_536;
        /// Streams of one address (of one /64 with IPv6). (row 8)
        pub streams_per_address_max: usize = 500, in 1..=1_000_000;
        /// Streams of one address that are not logged in. (row 8)
        pub streams_unauthenticated_per_address_max: usize = 50, in 1..=1_000_000;

        /// HTTP connections of one address (of one /64 with IPv6); those of trusted proxies do not count. (row 8)
        pub http_connections_per_address_max: usize = 100, in 1..=1_000_000;
        /// Bytes of the header of one HTTP request. (row 25)
        pub http_header_bytes_max: usize = 16_384, in 8_192..=1_048_576;
        /// Lines in it. (row 25)
        pub http_headers_max: usize = 64, in 16..=1_024;
        /// Seconds until it must be there, also on a connection that was used before. (row 25)
        pub http_header_seconds_max: u64 = 10, in 1..=600;
        /// Seconds without a byte of a request's content, or without one of the answer taken. (row 25)
        pub http_stall_seconds_max: u64 = 30, in 1..=600;

        /// Failed logins on one stream before it is closed. (row 10)
        pub sasl_tries_per_stream_max: u32 = 3, in 1..=100;
        /// Wrong passwords an address has free. What fails before a password is looked at does not count. (row 10)
        pub login_failures_burst: u32 = 10, in 1..=10_000;
        /// Seconds until an address has one more free. (row 10)
        pub login_failure_refill_seconds: u64 = 10, in 1..=3_600;
        /// Wrong passwords an account has free, wherever they come from, before the next one from an address that it is not
        /// known at waits. (row 10)
        pub account_failures_burst: u32 = 5, in 1..=10_000;
        /// The longest that such a login waits, in seconds.
        pub account_failure_delay_seconds_max: u64 = 10, in 1..=300;
        /// New accounts from one address in an hour, where registration is open. (row 23)
        pub registrations_per_address_per_hour: u32 = 3, in 1..=1_000_000;

        /// Stanzas a client may send per second in the long run; a faster one is read more slowly.
        pub stanzas_per_second: u32 = 100, in 1..=1_000_000;
        /// Stanzas it may send at once after a pause.
        pub stanzas_burst: u32 = 1_000, in 1..=1_000_000;
        /// Bytes a client may send per second in the long run.
        pub bytes_per_second: u32 = 131_072, in 1_024..=1_073_741_824;
        /// Bytes it may send at once after a pause.
        pub bytes_burst: u32 = 1_048_576, in 10_000..=1_073_741_824;
        /// How much of these rates a guest has, in percent. (row 31)
        pub guest_rate_percent: u32 = 10, in 1..=100;

        /// Connected clients of one account.
        pub resources_per_account_max: usize = 10, in 1..=1_000;
        /// Bytes waiting to be written to one client. (row 29)
        pub outbox_bytes_max: usize = 1_048_576, in 65_536..=268_435_456;
        /// Bytes waiting to be written to one external component.
        pub component_outbox_bytes_max: usize = 16_777_216, in 65_536..=1_073_741_824;
        /// Seconds a client may leave them unread before it is closed. (row 29)
        pub slow_reader_seconds_max: u64 = 60, in 1..=3_600;
        /// Stanzas of one client that may wait for the database; further ones are not read until then.
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
        /// Bytes waiting for one domain elsewhere.
        pub s2s_queue_bytes_max: usize = 16_777_216, in 65_536..=1_073_741_824;
        /// Bytes waiting for all domains elsewhere together.
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
        /// Subscription requests waiting for one account's answer.
        pub pending_subscriptions_max: usize = 500, in 1..=1_000_000;
        /// Addresses one client has sent its presence to directly (RFC 6121 section 4.6).
        pub directed_presences_max: usize = 500, in 1..=1_000_000;
        /// Messages kept for one account while it is offline. (row 30)
        pub offline_messages_max: usize = 1_000, in 0..=1_000_000;
        /// Bytes of private XML of one account (XEP-0049). (row 30)
        pub private_bytes_max: usize = 1_048_576, in 0..=1_073_741_824;
        /// Bytes of one vCard, its picture included (XEP-0054). (row 30)
        pub vcard_bytes_max: usize = 131_072, in 1_024..=16_777_216;
        /// Addresses on one block list (XEP-0191).
        pub block_list_max: usize = 1_000, in 0..=1_000_000;

        /// Seconds a stopping server has to write out what it accepted and to tell its clients.
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
            slow_reader_seconds_max: 3_600,
            pending_commits_per_stream_max: 10_000,
            s2s_streams_max: MANY,
            s2s_streams_unverified_max: MANY,
            s2s_dialbacks_concurrent_max: 100_000,
            s2s_pairs_max: MANY,
            s2s_queue_bytes_max: 1_073_741_824,
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
