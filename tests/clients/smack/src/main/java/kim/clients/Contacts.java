package kim.clients;

import static kim.clients.House.check;
import static kim.clients.House.checkEqual;
import static kim.clients.House.say;
import static kim.clients.House.until;

import java.util.List;
import org.jivesoftware.smack.StanzaCollector;
import org.jivesoftware.smack.filter.AndFilter;
import org.jivesoftware.smack.filter.FromMatchesFilter;
import org.jivesoftware.smack.filter.MessageTypeFilter;
import org.jivesoftware.smack.packet.Message;
import org.jivesoftware.smack.packet.StanzaError;
import org.jivesoftware.smack.roster.Roster;
import org.jivesoftware.smack.roster.RosterEntry;
import org.jivesoftware.smack.roster.packet.RosterPacket.ItemType;
import org.jivesoftware.smack.tcp.XMPPTCPConnection;
import org.jivesoftware.smackx.blocking.BlockingCommandManager;
import org.jxmpp.jid.BareJid;

/** Rosters and block lists. */
final class Contacts {
    private Contacts() {
    }

    static void roster(House house) throws Exception {
        XMPPTCPConnection alice = house.signIn(0);
        XMPPTCPConnection bob = house.signIn(1);
        BareJid aliceJid = house.accounts.get(0).jid;
        BareJid bobJid = house.accounts.get(1).jid;
        Roster ofAlice = Roster.getInstanceFor(alice);
        Roster ofBob = Roster.getInstanceFor(bob);
        ofAlice.createItemAndRequestSubscription(bobJid, "Bob", new String[] {"friends"});
        until("Bob's approval", () -> isOf(ofAlice, bobJid, ItemType.to));
        ofBob.createItemAndRequestSubscription(aliceJid, "Alice", null);
        until("friendship at Alice", () -> isOf(ofAlice, bobJid, ItemType.both));
        until("friendship at Bob", () -> isOf(ofBob, aliceJid, ItemType.both));
        until("Bob's presence", () -> ofAlice.getPresence(bobJid).isAvailable());
        until("Alice's presence", () -> ofBob.getPresence(aliceJid).isAvailable());
        checkEqual("Bob", ofAlice.getEntry(bobJid).getName(), "the name");
        checkEqual(1, ofAlice.getGroup("friends").getEntryCount(), "entries in the group");

        bob.disconnect();
        until("Bob's leaving", () -> !ofAlice.getPresence(bobJid).isAvailable());
        ofAlice.reloadAndWait();
        check(isOf(ofAlice, bobJid, ItemType.both), "the roster is kept");
        ofAlice.removeEntry(ofAlice.getEntry(bobJid));
        until("Bob's removal", () -> ofAlice.getEntry(bobJid) == null);
    }

    private static boolean isOf(Roster roster, BareJid contact, ItemType type) {
        RosterEntry entry = roster.getEntry(contact);
        return entry != null && entry.getType() == type;
    }

    static void blocking(House house) throws Exception {
        XMPPTCPConnection alice = house.signIn(0);
        XMPPTCPConnection bob = house.signIn(1);
        BareJid aliceJid = house.accounts.get(0).jid;
        BareJid bobJid = house.accounts.get(1).jid;
        BlockingCommandManager blocking = BlockingCommandManager.getInstanceFor(alice);
        check(blocking.isSupportedByServer(), "blocking is offered");
        checkEqual(List.of(), blocking.getBlockList(), "the list at first");
        blocking.blockContacts(List.of(bobJid));
        // Smack answers from its own copy, which changes with the push that follows (XEP-0191 §3.3).
        until("the push with Bob", () -> blocking.getBlockList().equals(List.of(bobJid)));

        StanzaCollector refusals = bob.createStanzaCollector(
            new AndFilter(MessageTypeFilter.ERROR, FromMatchesFilter.createBare(aliceJid)));
        say(bob, aliceJid, "can you hear me?");
        Message refusal = refusals.nextResult(House.PATIENCE_MILLISECONDS);
        check(refusal != null, "Bob is refused");
        checkEqual(StanzaError.Condition.service_unavailable, refusal.getError().getCondition(), "the refusal");

        blocking.unblockContacts(List.of(bobJid));
        until("the push without Bob", () -> blocking.getBlockList().isEmpty());
        StanzaCollector atAlice = Talk.hearing(alice, bobJid);
        say(bob, aliceJid, "and now?");
        Talk.hear(atAlice, "and now?");
    }
}
