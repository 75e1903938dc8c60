//! Checks of the push services that need a key of the operator's: whether the key is one, and whether the service takes it.

use std::path::Path;
use std::time::Duration;

use super::{CheckContext, Finding};
use crate::exposed::open_to_others;
use crate::push;

/// How long a push service may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A line for each service that is configured; of the others nothing is said.
pub(super) async fn push(context: &CheckContext) -> Vec<Finding> {
    let config = &context.config;
    let mut findings = Vec::new();
    let tried = [
        push::try_firebase(&config.fcm, PATIENCE).await,
        push::try_apple(&config.apns, PATIENCE).await,
    ];
    for found in tried.into_iter().flatten() {
        findings.push(match found {
            Ok(text) => Finding::ok("push", text),
            Err(text) => Finding::fail("push", text),
        });
    }
    let keys = [
        ("[push.fcm] service_account", &config.fcm.service_account),
        ("[push.apns] key", &config.apns.key),
    ];
    findings.extend(
        keys.iter()
            .filter_map(|(setting, path)| private(setting, path.as_deref()?)),
    );
    findings
}

fn private(setting: &str, path: &Path) -> Option<Finding> {
    let shown = path.display();
    open_to_others(path).then(|| {
        Finding::warn(
            "push",
            format!("{shown} ({setting}) can be read by other users: chmod 600 {shown}"),
        )
    })
}
