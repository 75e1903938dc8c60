//! A session that lasts one request: what a client of the API asks goes the way of what any client sends, with the same
//! hooks, archives, copies and refusals. It is bound to no socket and registered nowhere, so nobody sees it come.

use std::net::IpAddr;
use std::sync::Arc;

use kim_core::jid::BareJid;
use kim_core::random;
use kim_core::router::Router;
use kim_core::session::Session;
use kim_core::stanza::Stanza;

use super::problem::Problem;

/// Sends a stanza for an account and gives what came back once everything it caused is committed. It is done to the end,
/// also if nobody waits for it any more.
pub(super) async fn ask(
    router: &Arc<Router>,
    account: &BareJid,
    address: IpAddr,
    stanza: Stanza,
) -> Result<Vec<Arc<Stanza>>, Problem> {
    let jid = account.with_resource(&format!("api-{}", random::token()));
    let jid = jid.map_err(|_| Problem::ours())?;
    let session = Session::new(jid, false, Some(address), router.limits().outbox_bytes_max);
    let id = stanza.id.clone();
    let router = router.clone();
    let asking = tokio::spawn(async move {
        let mut outcome = router.depart(&session, stanza).await;
        let closing = outcome.closing.take();
        router.perform(outcome).await;
        let (parcels, _) = session.outbox.take();
        match closing {
            Some(_) => Err(Problem::bad("a client that sent this would be sent away")),
            None => Ok(parcels),
        }
    });
    let parcels = asking.await.map_err(|_| Problem::ours())??;
    let heard: Vec<_> = parcels.into_iter().filter_map(|parcel| parcel.stanza).collect();
    match heard
        .iter()
        .find(|stanza| stanza.kind.is_error() && stanza.id == id)
    {
        Some(error) => Err(Problem::of_stanza(error)),
        None => Ok(heard),
    }
}
