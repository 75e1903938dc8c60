//! `[push.…]`: how this server introduces itself to push services.

use std::path::PathBuf;

use super::error::ConfigError;
use super::raw::RawConfig;
use super::web::WebOrigin;
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
    /// Firebase Cloud Messaging: Android apps that this server wakes itself. For makers of an app, who have its project. Google
    /// learns of each app when it is woken, how many messages wait and whether somebody calls: never who or what.
    pub struct Fcm {
        /// File with the key of a service account that may send (Firebase console: Project settings, Service accounts). Not set:
        /// no app is woken in this way.
        pub service_account: Option<PathBuf> = None, example r#""/etc/kim/firebase.json""#;
        /// Where Firebase is reached.
        pub url: Option<WebOrigin> = WebOrigin::parse("https://fcm.googleapis.com");
    }
}

section! {
    /// Apple's push notification service: apps on Apple's devices that this server wakes itself. For makers of an app, who have
    /// its key. Apple learns what Google does.
    pub struct Apns {
        /// File with the key for token authentication (Apple's developer pages: Keys), as it was downloaded. Not set: no app is
        /// woken in this way.
        pub key: Option<PathBuf> = None, example r#""/etc/kim/AuthKey_ABC123DEFG.p8""#;
        /// The key's id, ten characters; it is part of the file's name.
        pub key_id: Option<String> = None, example r#""ABC123DEFG""#;
        /// The team's id, ten characters.
        pub team_id: Option<String> = None, example r#""DEF123GHIJ""#;
        /// The apps, by their bundle ids: ["org.example.app"]. Each may also be woken by calls alone (BUNDLE.voip).
        pub topics: Vec<String> = Vec::new();
        /// Where Apple is reached. "https://api.sandbox.push.apple.com" is for apps that were not installed from its store.
        pub url: Option<WebOrigin> = WebOrigin::parse("https://api.push.apple.com");
    }
}

/// What is wrong only together: an app server needs all of its settings.
pub(super) fn check_together(fcm: &Fcm, apns: &Apns, raw: &RawConfig, errors: &mut Vec<ConfigError>) {
    let mut wrong = |section: &str, key: &str, problem: &str| {
        let located = raw
            .sections
            .get(section)
            .and_then(|section| section.keys.get(key));
        if let Some(located) = located {
            let problem = format!("\"{key}\" in [{section}] {problem}");
            errors.push(ConfigError::new(located.origin.clone(), problem));
        }
    };
    let parts = [
        ("key", apns.key.is_some()),
        ("key_id", apns.key_id.is_some()),
        ("team_id", apns.team_id.is_some()),
        ("topics", !apns.topics.is_empty()),
    ];
    let set = parts.iter().find(|(_, is_set)| *is_set);
    let missing = parts.iter().find(|(_, is_set)| !is_set);
    if let (Some((set, _)), Some((missing, _))) = (set, missing) {
        wrong("push.apns", set, &format!("needs \"{missing}\" beside it"));
    }
    for (key, id) in [("key_id", &apns.key_id), ("team_id", &apns.team_id)] {
        let is_id = |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if id.as_ref().is_some_and(|id| !is_id(id)) {
            wrong("push.apns", key, "must be letters and digits, as Apple shows it");
        }
    }
    for (section, url) in [("push.fcm", &fcm.url), ("push.apns", &apns.url)] {
        if url.as_ref().is_some_and(|url| !url.is_secure()) {
            wrong(section, "url", "must begin with https://");
        }
    }
}
