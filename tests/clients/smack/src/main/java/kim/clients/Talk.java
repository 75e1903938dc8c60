package kim.clients;

import static kim.clients.House.check;
import static kim.clients.House.checkEqual;
import static kim.clients.House.say;

import java.util.List;
import java.util.stream.Collectors;
import org.jivesoftware.smack.StanzaCollector;
import org.jivesoftware.smack.filter.AndFilter;
import org.jivesoftware.smack.filter.FromMatchesFilter;
import org.jivesoftware.smack.filter.MessageWithBodiesFilter;
import org.jivesoftware.smack.packet.Message;
import org.jivesoftware.smack.packet.Stanza;
import org.jivesoftware.smack.tcp.XMPPTCPConnection;
import org.jivesoftware.smackx.mam.MamManager;
import org.jxmpp.jid.Jid;

/** Messages between two people: said, resumed after a cut connection, read again from the archive. */
final class Talk {
    private Talk() {
    }

    /** Collects what this connection hears from somebody. */
    static StanzaCollector hearing(XMPPTCPConnection connection, Jid from) {
        return connection.createStanzaCollector(
            new AndFilter(MessageWithBodiesFilter.INSTANCE, FromMatchesFilter.createBare(from)));
    }

    /** The next thing heard must be this. */
    static void hear(StanzaCollector collector, String body) throws Exception {
        Stanza heard = collector.nextResult(House.PATIENCE_MILLISECONDS);
        check(heard != null, "nobody said " + body);
        checkEqual(body, ((Message) heard).getBody(), "what was said");
    }

    static void messages(House house) throws Exception {
        XMPPTCPConnection alice = house.signIn(0);
        XMPPTCPConnection bob = house.signIn(1);
        check(alice.isSecureConnection() && alice.isSmEnabled(), "TLS and stream management");
        StanzaCollector atBob = hearing(bob, alice.getUser());
        StanzaCollector atAlice = hearing(alice, bob.getUser());
        say(alice, bob.getUser().asBareJid(), "hello");
        hear(atBob, "hello");
        say(bob, alice.getUser(), "hello & good day");
        hear(atAlice, "hello & good day");
    }

    static void resumption(House house) throws Exception {
        XMPPTCPConnection alice = house.signIn(0);
        XMPPTCPConnection bob = house.signIn(1);
        StanzaCollector atAlice = hearing(alice, bob.getUser());
        StanzaCollector atBob = hearing(bob, alice.getUser());
        alice.instantShutdown();
        say(bob, alice.getUser(), "while you were away");
        alice.connect();
        alice.login();
        check(alice.streamWasResumed(), "the session goes on");
        hear(atAlice, "while you were away");
        say(alice, bob.getUser(), "back again");
        hear(atBob, "back again");

        // Said goodbye, then signed in anew: a new session.
        alice.disconnect();
        alice.connect();
        alice.login();
        check(!alice.streamWasResumed(), "a new session");
        say(alice, bob.getUser(), "and once more");
        hear(atBob, "and once more");
    }

    static void archive(House house) throws Exception {
        XMPPTCPConnection alice = house.signIn(0);
        XMPPTCPConnection bob = house.signIn(1);
        StanzaCollector atBob = hearing(bob, alice.getUser());
        for (int number = 1; number <= 5; number++) {
            say(alice, bob.getUser().asBareJid(), "message " + number);
            hear(atBob, "message " + number);
        }
        MamManager archive = MamManager.getInstanceFor(alice);
        check(archive.isSupported(), "there is an archive");
        MamManager.MamQuery last = archive.queryMostRecentPage(bob.getUser().asBareJid(), 2);
        checkEqual(List.of("message 4", "message 5"), bodies(last.getMessages()), "the last page");
        checkEqual(List.of("message 2", "message 3"), bodies(last.pagePrevious(2)), "the page before");
        MamManager.MamQuery first = archive.queryArchive(MamManager.MamQueryArgs.builder()
            .limitResultsToJid(bob.getUser().asBareJid()).setResultPageSizeTo(3).build());
        checkEqual(List.of("message 1", "message 2", "message 3"), bodies(first.getMessages()), "the first page");
        check(!first.isComplete(), "there is more");
        checkEqual(List.of("message 4", "message 5"), bodies(first.pageNext(3)), "the second page");
        check(first.isComplete(), "that was all");
        check(!archive.retrieveFormFields().isEmpty(), "the fields that can be asked for");
        check(archive.retrieveArchivingPreferences() != null, "the preferences");
    }

    private static List<String> bodies(List<Message> messages) {
        return messages.stream().map(Message::getBody).collect(Collectors.toList());
    }
}
