//! `[push.webpush]`: how this server introduces itself to push services.

use crate::section;

section! {
    /// Web Push and UnifiedPush: browsers and apps that this server wakes itself. It works without any setting.
    pub struct WebPush {
        /// Whom push services write to if something is wrong: a mailto: or https: address. Not set: the first address in
        /// [contact], or else the server's own.
        pub subject: Option<String> = None, example r#""mailto:admin@example.org""#;
    }
}
