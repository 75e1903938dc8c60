//! What other rooms ask of archives.

use std::sync::Arc;

use kim_core::error::Fault;
use kim_core::jid::BareJid;

use super::archive::Archives;

pub use super::NS;

/// Archives of accounts.
pub struct MessageArchives {
    archives: Arc<Archives>,
}

impl MessageArchives {
    pub(super) fn new(archives: Arc<Archives>) -> MessageArchives {
        MessageArchives { archives }
    }

    /// The `<metadata/>` element of an account's archive (§5), as XEP-0386 has it when binding.
    pub async fn metadata(&self, account: &BareJid) -> Result<String, Fault> {
        super::page::metadata(&self.archives, account).await
    }
}
