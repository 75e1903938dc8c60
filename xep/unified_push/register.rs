//! `<register/>`: a client of this server asks for the address of an app.

use std::sync::Arc;

use data_encoding::BASE64;
use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::router::Destination;
use kim_core::wire::Writer;

use super::NS;
use super::api::{PushProvider, service_of};
use super::endpoint::{AppEndpoint, HASH_BYTES};

pub(super) struct RegisterApp(pub Arc<PushProvider>);

fn refused(condition: Condition, why: impl Into<String>) -> Fault {
    StanzaError::new(condition).text(why.into()).into()
}

/// A hash, so that neither this server nor anybody who reads its memory learns which apps somebody has.
fn hash(iq: &Request<'_>, name: &str) -> Result<[u8; HASH_BYTES], Fault> {
    let text = iq.payload.attr(name).unwrap_or_default();
    let decoded = BASE64.decode(text.as_bytes()).ok();
    decoded.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        let why = format!("the attribute {name} must be a SHA-256 hash in base64");
        refused(Condition::BadRequest, why)
    })
}

impl HandleIq for RegisterApp {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let is_user = cx.router().destination(iq.from.domain()) == Destination::Users;
        if !is_user || iq.from.resource().is_none() {
            let why = "only clients of this server's accounts can register apps here";
            return Err(refused(Condition::Forbidden, why));
        }
        let service = service_of(iq.from)?;
        if service.bare() != *iq.account {
            return Err(refused(
                Condition::NotAcceptable,
                format!("register your apps at {service}"),
            ));
        }
        let endpoint = AppEndpoint {
            client: iq.from.clone(),
            application: hash(iq, "application")?,
            instance: hash(iq, "instance")?,
            expires: self.0.expiry(cx.router().clock().now()),
        };
        let address = self.0.address(&endpoint).await?;
        let mut xml = Writer::new();
        xml.start("registered", NS)
            .attr("endpoint", &address)
            .attr("expiration", &endpoint.expires.to_string());
        xml.end();
        Ok(xml.into())
    }
}
