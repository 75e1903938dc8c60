//! `[push.webpush]`, `[push.fcm]`, `[push.apns]`: how this server introduces itself to push services.

use std::path::PathBuf;

use crate::section;

section! {
    /// Web Push and UnifiedPush: browsers and apps that this server wakes itself. It works without any setting.
    pub struct WebPush {
        /// Whom push services write to if something is wrong: a mailto: or https: address. Not set: the first address in
        /// [contact], or else the server's own.
        pub subject: Option<String> = None, example r#""mailto:admin@example.org""#;
    }
}

section! {
    /// Firebase Cloud Messaging, for an Android app of your own. Google learns that a device is woken, and how many messages
    /// wait; never from whom, or what they say.
    pub struct Fcm {
        /// The key of the service account, as Firebase gives it out (JSON). Not set: no FCM.
        pub service_account: Option<PathBuf> = None, example r#""/etc/kim/firebase.json""#;
        /// Where Firebase is.
        pub url: String = "https://fcm.googleapis.com".to_owned();
    }
}

section! {
    /// The Apple Push Notification service, for an iOS or macOS app of your own. Apple learns what Google does.
    pub struct Apns {
        /// The key for tokens, as Apple gives it out (.p8). Not set: no APNs. Needs key_id, team_id and topics beside it.
        pub key: Option<PathBuf> = None, example r#""/etc/kim/AuthKey_ABC123DEFG.p8""#;
        /// The id of that key.
        pub key_id: Option<String> = None, example r#""ABC123DEFG""#;
        /// The id of the developer team.
        pub team_id: Option<String> = None, example r#""DEF123GHIJ""#;
        /// The apps' bundle ids, which clients name. One that ends in ".voip" is told of calls alone.
        pub topics: Vec<String> = Vec::new(), example r#"["org.example.chat", "org.example.chat.voip"]"#;
        /// Where APNs is; https://api.sandbox.push.apple.com for development builds.
        pub url: String = "https://api.push.apple.com".to_owned();
    }
}
