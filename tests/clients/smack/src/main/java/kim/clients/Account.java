package kim.clients;

import org.jxmpp.jid.EntityBareJid;
import org.jxmpp.jid.impl.JidCreate;

/** Somebody's address and password. */
final class Account {
    final EntityBareJid jid;
    final String password;

    Account(String jid, String password) {
        this.jid = JidCreate.entityBareFromOrThrowUnchecked(jid);
        this.password = password;
    }
}
