//! Tokens that this server signs to show who it is (RFC 7519), with ES256 (RFC 7518 §3.4).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::EcdsaKeyPair;
use serde::Serialize;

/// What a token says of itself.
#[derive(Serialize)]
pub(super) struct JwtHeader<'a> {
    pub alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typ: Option<&'static str>,
    /// Which of the signer's keys it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<&'a str>,
}

/// The token. The key must be one for `ECDSA_P256_SHA256_FIXED_SIGNING`.
pub(super) fn signed(pair: &EcdsaKeyPair, header: &JwtHeader<'_>, claims: &impl Serialize) -> Option<String> {
    let mut token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(header).ok()?);
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).ok()?));
    let signature = pair.sign(&SystemRandom::new(), token.as_bytes()).ok()?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Some(token)
}
