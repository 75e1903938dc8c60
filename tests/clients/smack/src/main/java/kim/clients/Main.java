package kim.clients;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Runs stories one after the other, as standard input asks for them.
 *
 * <p>A request is one line, its words separated by tabs: the story, the server's port and certificate, then an address
 * and a password for each account. The answer is the line "passed", or the stack trace and the line "failed".
 */
public final class Main {
    /** A piece of what people do with Smack; it throws when something is not as it should be. */
    interface Story {
        void play(House house) throws Exception;
    }

    private static final Map<String, Story> STORIES = Map.of(
        "talk", Talk::messages,
        "resume", Talk::resumption,
        "archive", Talk::archive,
        "roster", Contacts::roster,
        "blocking", Contacts::blocking,
        "room", Rooms::configuration,
        "affiliations", Rooms::affiliations,
        "upload", Services::upload,
        "contact addresses", Services::contactAddresses,
        "registered users", Services::registeredUsers);

    private Main() {
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] words = line.split("\t");
            List<Account> accounts = new ArrayList<>();
            for (int at = 3; at + 1 < words.length; at += 2) {
                accounts.add(new Account(words[at], words[at + 1]));
            }
            try {
                try (House house = new House(Integer.parseInt(words[1]), words[2], accounts)) {
                    STORIES.get(words[0]).play(house);
                }
                System.out.println("passed");
            } catch (Exception | AssertionError problem) {
                problem.printStackTrace(System.out);
                System.out.println("failed");
            }
            System.out.flush();
        }
        // Smack's threads would keep the program alive.
        System.exit(0);
    }
}
