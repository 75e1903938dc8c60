package kim.clients;

import java.io.FileInputStream;
import java.io.InputStream;
import java.net.InetAddress;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import org.jivesoftware.smack.ConnectionConfiguration.SecurityMode;
import org.jivesoftware.smack.SmackConfiguration;
import org.jivesoftware.smack.packet.Message;
import org.jivesoftware.smack.roster.Roster;
import org.jivesoftware.smack.tcp.XMPPTCPConnection;
import org.jivesoftware.smack.tcp.XMPPTCPConnectionConfiguration;
import org.jxmpp.jid.Jid;

/** The server of one story, and the people who are connected to it; they leave when the story is over. */
final class House implements AutoCloseable {
    /** Nothing waits for a fixed time: this only ends a wait for something that never comes. */
    static final int PATIENCE_MILLISECONDS = 10_000;

    static {
        SmackConfiguration.setDefaultReplyTimeout(PATIENCE_MILLISECONDS);
    }

    final List<Account> accounts;
    final SSLContext tls;
    private final int port;
    private final X509TrustManager trust;
    private final List<XMPPTCPConnection> connections = new ArrayList<>();

    House(int port, String certificate, List<Account> accounts) throws Exception {
        this.port = port;
        this.accounts = accounts;
        this.trust = trustOnly(certificate);
        this.tls = SSLContext.getInstance("TLS");
        this.tls.init(null, new X509TrustManager[] {trust}, null);
    }

    /** Trusts this certificate and no other. */
    private static X509TrustManager trustOnly(String certificate) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream file = new FileInputStream(certificate)) {
            store.setCertificateEntry("kim", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init(store);
        return (X509TrustManager) Arrays.stream(factory.getTrustManagers())
            .filter(X509TrustManager.class::isInstance).findFirst().orElseThrow();
    }

    /** The account with this number, connected and signed in; contacts are accepted when they ask. */
    XMPPTCPConnection signIn(int number) throws Exception {
        Account account = accounts.get(number);
        XMPPTCPConnection connection = new XMPPTCPConnection(XMPPTCPConnectionConfiguration.builder()
            .setXmppAddressAndPassword(account.jid, account.password)
            .setHostAddress(InetAddress.getLoopbackAddress())
            .setPort(port)
            .setSecurityMode(SecurityMode.required)
            .setCustomX509TrustManager(trust)
            .build());
        connections.add(connection);
        Roster.getInstanceFor(connection).setSubscriptionMode(Roster.SubscriptionMode.accept_all);
        connection.connect();
        connection.login();
        return connection;
    }

    /** Says something in a chat with somebody. */
    static void say(XMPPTCPConnection connection, Jid to, String body) throws Exception {
        connection.sendStanza(connection.getStanzaFactory().buildMessageStanza()
            .ofType(Message.Type.chat).to(to).setBody(body).build());
    }

    /** Waits until something is the case. */
    static void until(String what, Callable<Boolean> holds) throws Exception {
        long end = System.nanoTime() + PATIENCE_MILLISECONDS * 1_000_000L;
        while (!holds.call()) {
            check(System.nanoTime() < end, what + " did not happen");
            Thread.sleep(10);
        }
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void checkEqual(Object expected, Object found, String what) {
        check(Objects.equals(expected, found), what + ": expected " + expected + ", found " + found);
    }

    @Override
    public void close() {
        connections.forEach(XMPPTCPConnection::disconnect);
    }
}
