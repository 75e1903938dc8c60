//! A bucket of S3: opened as the settings and the environment say, and tried before somebody needs it.

use std::time::Duration;

use kim_core::config::Storage;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::ClientConfigKey;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};

use super::objects::StoreError;
use crate::tls;

/// What the bucket may be silent for while something is expected of it.
const SILENCE: &str = "30 seconds";
/// A download lasts as long as whoever downloads takes; only silence ends it.
const DOWNLOAD: &str = "7 days";
/// Tries after the first; between them are a tenth of a second, then more each time.
const RETRIES_MAX: usize = 4;
/// Of what the other side said at most so much is told.
const CAUSE_CHARS_MAX: usize = 300;
const KEYS: &str = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
/// Any of these says who we are.
const WHO_WE_ARE: [AmazonS3ConfigKey; 4] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
];
/// How long the bucket may take to show that it can be used.
const TRIAL: Duration = Duration::from_secs(15);

/// Opens a bucket; nothing is asked of it yet.
pub(super) fn open(bucket: &str, settings: &Storage) -> Result<AmazonS3, StoreError> {
    // Its HTTP client takes the process's provider; there is one here.
    let _ = tls::provider().as_ref().clone().install_default();
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_config(client(ClientConfigKey::Timeout), DOWNLOAD)
        .with_config(client(ClientConfigKey::ReadTimeout), SILENCE)
        .with_retry(RetryConfig {
            max_retries: RETRIES_MAX,
            ..RetryConfig::default()
        });
    if let Some(endpoint) = &settings.s3_endpoint {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint.as_str());
    }
    if let Some(region) = &settings.s3_region {
        builder = builder.with_region(region);
    }
    let value = |key| builder.get_config_value(&key).filter(|value| !value.is_empty());
    let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
    let has_keys = WHO_WE_ARE.into_iter().any(|key| value(key).is_some());
    if endpoint.is_some() && !has_keys {
        // They would be asked of Amazon's machines, which know nothing of it.
        return Err(StoreError(format!(
            "s3://{bucket} needs {KEYS} in the environment"
        )));
    }
    // Who writes http:// means it; it need not be said twice.
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    let opened = builder.build();
    opened.map_err(|error| StoreError(format!("s3://{bucket} needs {KEYS} in the environment ({error})")))
}

fn client(key: ClientConfigKey) -> AmazonS3ConfigKey {
    AmazonS3ConfigKey::Client(key)
}

/// Writes a little and deletes it, so that what is wrong is known before a file comes.
pub(super) async fn try_out(store: &dyn ObjectStore, prefix: &str, what: &str) -> Result<(), StoreError> {
    let path = object_store::path::Path::from(format!("{prefix}kim-check"));
    let trial = async {
        store
            .put(&path, PutPayload::from_static(b"kIM may write here"))
            .await?;
        store.delete(&path).await
    };
    let problem = match tokio::time::timeout(TRIAL, trial).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => advice(&error),
        Err(_) => format!("no answer within {} seconds; {NOT_THERE}", TRIAL.as_secs()),
    };
    Err(StoreError(format!("{what}: {problem}")))
}

const NOT_THERE: &str = "is s3_endpoint in [storage] (or AWS_ENDPOINT_URL_S3) right, and is it up?";

/// What went wrong and what to do, in one line.
fn advice(error: &object_store::Error) -> String {
    use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
    let said = cause(error);
    let names = |word: &str| said.contains(word);
    if names("NoSuchBucket") {
        format!("there is no such bucket; make it first ({said})")
    } else if names("region") || names("PermanentRedirect") {
        format!("is s3_region in [storage] (or AWS_REGION) right? ({said})")
    } else if matches!(
        error,
        NotFound { .. } | PermissionDenied { .. } | Unauthenticated { .. }
    ) {
        format!("are {KEYS} right, and may they write, read and delete there? ({said})")
    } else {
        format!("it cannot be reached: {NOT_THERE} ({said})")
    }
}

/// The innermost cause: the others only say that there is one. Of an answer in XML its code and its message.
fn cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string().replace("&#34;", "\"").replace("&quot;", "\"");
    let tag = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.to_owned())
    };
    let said = match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => text,
    };
    // One line, and not a page of it, whatever answered there.
    let words: Vec<&str> = said.split_whitespace().collect();
    words.join(" ").chars().take(CAUSE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        answer: &str,
        wrap: fn(Box<dyn std::error::Error + Send + Sync>) -> object_store::Error,
    ) -> String {
        advice(&wrap(answer.into()))
    }

    fn generic(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source }
    }

    fn denied(source: Box<dyn std::error::Error + Send + Sync>) -> object_store::Error {
        let path = String::new();
        object_store::Error::PermissionDenied { path, source }
    }

    #[test]
    fn each_problem_has_its_advice_in_one_line() {
        let wrong_region = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region &#34;x&#34;\n is wrong</Message>";
        for (told, advice) in [
            (
                told("<Code>NoSuchBucket</Code><Message>None.</Message>", generic),
                "make it first (NoSuchBucket: None.)",
            ),
            (told(wrong_region, generic), "s3_region in [storage]"),
            (
                told("Connection refused", generic),
                "is it up? (Connection refused)",
            ),
            (
                told("<Code>SignatureDoesNotMatch</Code><Message>No.</Message>", denied),
                KEYS,
            ),
        ] {
            assert!(told.contains(advice), "{told}");
            assert!(!told.contains('\n'), "{told}");
        }
        assert!(told(&"<html>".repeat(10_000), generic).len() < 1_000);
    }
}
