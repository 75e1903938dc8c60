package kim.clients;

import static kim.clients.House.check;
import static kim.clients.House.checkEqual;
import static kim.clients.House.until;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.jivesoftware.smack.packet.Message;
import org.jivesoftware.smack.packet.Presence;
import org.jivesoftware.smack.tcp.XMPPTCPConnection;
import org.jivesoftware.smackx.formtypes.FormFieldRegistry;
import org.jivesoftware.smackx.muc.Affiliate;
import org.jivesoftware.smackx.muc.MucConfigFormManager;
import org.jivesoftware.smackx.muc.MultiUserChat;
import org.jivesoftware.smackx.muc.MultiUserChatManager;
import org.jivesoftware.smackx.muc.RoomInfo;
import org.jivesoftware.smackx.xdata.FormField;
import org.jivesoftware.smackx.xdata.ListSingleFormField;
import org.jivesoftware.smackx.xdata.form.FillableForm;
import org.jivesoftware.smackx.xdata.form.Form;
import org.jxmpp.jid.EntityBareJid;
import org.jxmpp.jid.Jid;
import org.jxmpp.jid.impl.JidCreate;
import org.jxmpp.jid.parts.Resourcepart;

/** Rooms: made, configured, talked in, left. */
final class Rooms {
    private static final String CONFIG = "muc#roomconfig_";

    static {
        // As in an app that has spoken with another server before: Smack remembers each field's type, and drops a form in
        // which it has another one. These are the types of the registry (XEP-0045 §15.5.3).
        register(FormField.Type.text_single, "roomname", "roomdesc", "lang");
        register(FormField.Type.text_private, "roomsecret");
        register(FormField.Type.list_single, "maxusers", "whois", "allowpm");
        register(FormField.Type.list_multi, "presencebroadcast", "getmemberlist");
        register(FormField.Type.jid_multi, "roomadmins", "roomowners");
        register(FormField.Type.bool, "allowinvites", "changesubject", "enablelogging", "membersonly", "moderatedroom",
            "passwordprotectedroom", "persistentroom", "publicroom");
    }

    private Rooms() {
    }

    private static void register(FormField.Type type, String... names) {
        for (String name : names) {
            FormFieldRegistry.register(MucConfigFormManager.FORM_TYPE, CONFIG + name, type);
        }
    }

    /** A room named after its owner, seen by one connection. */
    private static MultiUserChat room(House house, XMPPTCPConnection connection, String name) throws Exception {
        EntityBareJid owner = house.accounts.get(0).jid;
        EntityBareJid room = JidCreate.entityBareFrom(name + "-" + owner.getLocalpart() + "@conference." + owner.getDomain());
        return MultiUserChatManager.getInstanceFor(connection).getMultiUserChat(room);
    }

    static void configuration(House house) throws Exception {
        XMPPTCPConnection alice = house.signIn(0);
        XMPPTCPConnection bob = house.signIn(1);
        MultiUserChat ofAlice = room(house, alice, "garden");
        ofAlice.create(Resourcepart.from("alice"));
        Form offered = ofAlice.getConfigurationForm();
        ListSingleFormField occupants = offered.getField(CONFIG + "maxusers").ifPossibleAs(ListSingleFormField.class);
        check(occupants != null, "maxusers is a list");
        check(occupants.getOptions().stream().anyMatch(option -> option.getValueString().equals(occupants.getValue())),
            "the current number of occupants is among the options");
        FillableForm form = offered.getFillableForm();
        form.setAnswer(CONFIG + "roomname", "The garden");
        form.setAnswer(CONFIG + "roomdesc", "Where the roses are");
        form.setAnswer(CONFIG + "persistentroom", true);
        form.setAnswer(CONFIG + "publicroom", true);
        form.setAnswer(CONFIG + "membersonly", false);
        form.setAnswer(CONFIG + "maxusers", occupants.getOptions().get(0).getValueString());
        ofAlice.sendConfigurationForm(form);

        RoomInfo info = MultiUserChatManager.getInstanceFor(bob).getRoomInfo(ofAlice.getRoom());
        checkEqual("The garden", info.getName(), "the name");
        checkEqual("Where the roses are", info.getDescription(), "the description");
        check(info.isPersistent() && !info.isMembersOnly(), "what sort of room it is");

        MultiUserChat ofBob = room(house, bob, "garden");
        check(ofBob.createOrJoin(Resourcepart.from("bob")) == null, "Bob joins, he makes nothing");
        checkEqual(2, ofBob.getOccupantsCount(), "occupants");
        ofBob.sendMessage("hello, room");
        // What the room itself tells (XEP-0045 §10.2.1) comes as a message without a body.
        Message heard;
        do {
            heard = ofAlice.nextMessage(House.PATIENCE_MILLISECONDS);
            check(heard != null, "Alice hears Bob");
        } while (heard.getBody() == null);
        checkEqual("hello, room", heard.getBody(), "what was said");
        ofAlice.changeSubject("Roses");
        until("the subject", () -> "Roses".equals(ofBob.getSubject()));

        // Both wait for the room to confirm it, and throw when it does not. The service has stable ids: the id comes back.
        check(ofBob.serviceSupportsStableIds(), "stable ids");
        Presence left = ofBob.leave();
        checkEqual(Presence.Type.unavailable, left.getType(), "what the room answers");
        until("Bob's leaving", () -> ofAlice.getOccupantsCount() == 1);
        ofAlice.leave();

        // It is persistent: there again, with its name, for somebody who comes back.
        check(ofAlice.createOrJoin(Resourcepart.from("alice")) == null, "the room is still there");
        ofAlice.leave();
    }

    static void affiliations(House house) throws Exception {
        XMPPTCPConnection alice = house.signIn(0);
        MultiUserChat room = room(house, alice, "committee");
        room.create(Resourcepart.from("alice"))
            .getConfigFormManager().makeMembersOnly().setRoomName("Committee").submitConfigurationForm();
        Set<EntityBareJid> two = Set.of(house.accounts.get(1).jid, house.accounts.get(2).jid);
        room.grantMembership(two);
        checkEqual(two, addresses(room.getMembers()), "the members");
        room.grantAdmin(two);
        checkEqual(two, addresses(room.getAdmins()), "the admins");
        checkEqual(Set.of(), addresses(room.getMembers()), "the members, now that they are admins");
        checkEqual(Set.of(house.accounts.get(0).jid), addresses(room.getOwners()), "the owners");

        // Once more with owners in the form: fields with several addresses.
        room.getConfigFormManager().setRoomName("The committee").submitConfigurationForm();
        MultiUserChat ofBob = room(house, house.signIn(1), "committee");
        ofBob.join(Resourcepart.from("bob"));
        until("Bob's coming", () -> room.getOccupantsCount() == 2);
        ofBob.leave();
        room.leave();
    }

    private static Set<Jid> addresses(List<Affiliate> people) {
        return people.stream().map(Affiliate::getJid).collect(Collectors.toSet());
    }
}
