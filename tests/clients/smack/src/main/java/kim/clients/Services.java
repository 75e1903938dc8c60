package kim.clients;

import static kim.clients.House.check;
import static kim.clients.House.checkEqual;

import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.stream.Collectors;
import org.jivesoftware.smack.tcp.XMPPTCPConnection;
import org.jivesoftware.smackx.commands.AdHocCommand;
import org.jivesoftware.smackx.commands.AdHocCommandManager;
import org.jivesoftware.smackx.commands.AdHocCommandResult;
import org.jivesoftware.smackx.disco.ServiceDiscoveryManager;
import org.jivesoftware.smackx.disco.packet.DiscoverInfo;
import org.jivesoftware.smackx.httpfileupload.HttpFileUploadManager;
import org.jivesoftware.smackx.xdata.FormField;
import org.jivesoftware.smackx.xdata.form.FillableForm;
import org.jivesoftware.smackx.xdata.packet.DataForm;

/** What the server itself offers: discovery, commands, uploads. */
final class Services {
    private static final String ADMIN = "http://jabber.org/protocol/admin";

    private Services() {
    }

    static void upload(House house) throws Exception {
        XMPPTCPConnection alice = house.signIn(0);
        HttpFileUploadManager uploads = HttpFileUploadManager.getInstanceFor(alice);
        uploads.setTlsContext(house.tls);
        check(uploads.discoverUploadService(), "there is an upload service");
        check(uploads.getDefaultUploadService().hasMaxFileSizeLimit(), "it says how much it takes");
        byte[] file = "what the roses look like".getBytes(StandardCharsets.UTF_8);
        URL url = uploads.uploadFile(new ByteArrayInputStream(file), "roses & thorns.txt", file.length);
        HttpResponse<byte[]> fetched = HttpClient.newBuilder().sslContext(house.tls).build()
            .send(HttpRequest.newBuilder(URI.create(url.toString())).build(), HttpResponse.BodyHandlers.ofByteArray());
        checkEqual(200, fetched.statusCode(), "the answer");
        checkEqual(new String(file, StandardCharsets.UTF_8), new String(fetched.body(), StandardCharsets.UTF_8), "the file");
    }

    /** XEP-0157: two addresses for one matter are one field with two values. */
    static void contactAddresses(House house) throws Exception {
        XMPPTCPConnection alice = house.signIn(0);
        ServiceDiscoveryManager discovery = ServiceDiscoveryManager.getInstanceFor(alice);
        DiscoverInfo info = discovery.discoverInfo(alice.getXMPPServiceDomain());
        check(info.containsFeature("urn:xmpp:ping"), "the features");
        DataForm form = DataForm.from(info, "http://jabber.org/network/serverinfo");
        check(form != null, "the contact addresses");
        checkEqual(Set.of("mailto:abuse@example.org", "xmpp:admin@localhost"), values(form, "abuse-addresses"),
            "where to write about abuse");
    }

    /** XEP-0133 §4.18, by the administrator: the accounts of this story, each on a line of its own. */
    static void registeredUsers(House house) throws Exception {
        XMPPTCPConnection admin = house.signIn(0);
        AdHocCommand command = AdHocCommandManager.getInstance(admin)
            .getRemoteCommand(admin.getXMPPServiceDomain(), ADMIN + "#get-registered-users-list");
        AdHocCommandResult asked = command.execute();
        FillableForm form = asked.asExecutingOrThrow().getFillableForm();
        form.setAnswer("max_items", "25");
        AdHocCommandResult told = command.complete(form.getSubmitForm());
        check(told.isCompleted(), "the command is done");
        Set<String> accounts = house.accounts.stream().map(account -> account.jid.toString()).collect(Collectors.toSet());
        checkEqual(accounts, values(told.getResponse().getForm(), "registereduserjids"), "the accounts");
    }

    private static Set<String> values(DataForm form, String name) {
        FormField field = form.getField(name);
        check(field != null, "there is a field " + name);
        return field.getValuesAsString().stream().map(CharSequence::toString).collect(Collectors.toSet());
    }
}
