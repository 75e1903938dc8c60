package kim.clients;

import com.eatthepath.pushy.apns.auth.ApnsVerificationKey;
import com.eatthepath.pushy.apns.server.MockApnsServer;
import com.eatthepath.pushy.apns.server.MockApnsServerBuilder;
import com.eatthepath.pushy.apns.server.MockApnsServerListener;
import com.eatthepath.pushy.apns.server.PushNotificationHandler;
import com.eatthepath.pushy.apns.server.PushNotificationHandlerFactory;
import com.eatthepath.pushy.apns.server.RejectedNotificationException;
import com.eatthepath.pushy.apns.server.RejectionReason;
import com.eatthepath.pushy.apns.server.ValidatingPushNotificationHandlerFactory;
import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.http2.Http2Headers;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.InputStreamReader;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Apple's push service as pushy mocks it: real HTTP/2, and tokens, topics, devices and payloads that are checked.
 *
 * <p>Arguments: certificate, its key, the public half of the app server's key, key id, team id, topics, devices (both with
 * commas). A line on standard input is a device and what happens to what is sent to it: "take", "gone", "throttle" or "hang",
 * separated by a tab. What is sent is told on standard output: "asked", "taken" or "refused REASON", then the request's headers
 * and the payload, separated by tabs.
 */
public final class Apple {
    private static final Map<String, String> BEHAVIOUR = new ConcurrentHashMap<>();

    private Apple() {
    }

    public static void main(String[] arguments) throws Exception {
        ApnsVerificationKey key =
            ApnsVerificationKey.loadFromPkcs8File(new File(arguments[2]), arguments[4], arguments[3]);
        Set<String> topics = new HashSet<>(Arrays.asList(arguments[5].split(",")));
        Set<String> devices = new HashSet<>(Arrays.asList(arguments[6].split(",")));
        Map<String, Set<String>> devicesOfTopics = new HashMap<>();
        topics.forEach(topic -> devicesOfTopics.put(topic, devices));
        Map<String, Instant> gone = new ConcurrentHashMap<>();
        PushNotificationHandlerFactory checks = new ValidatingPushNotificationHandlerFactory(
            devicesOfTopics, gone, Map.of(arguments[3], key), Map.of(key, topics));
        MockApnsServer server = new MockApnsServerBuilder()
            .setServerCredentials(new File(arguments[0]), new File(arguments[1]), null)
            .setHandlerFactory(session -> behaving(checks.buildHandler(session)))
            .setListener(new Told())
            .build();
        tell("listening", String.valueOf(server.start(0).get()));
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
            String[] words = line.split("\t");
            if (words[1].equals("gone")) {
                gone.put(words[0], Instant.now());
            }
            BEHAVIOUR.put(words[0], words[1]);
            tell("ordered");
        }
        System.exit(0);
    }

    private static PushNotificationHandler behaving(PushNotificationHandler checks) {
        return (headers, payload) -> {
            tell("asked", words(headers, payload));
            String path = headers.path().toString();
            String device = path.substring(path.lastIndexOf('/') + 1);
            while ("hang".equals(BEHAVIOUR.get(device))) {
                try {
                    Thread.sleep(50);
                } catch (InterruptedException problem) {
                    throw new IllegalStateException(problem);
                }
            }
            if ("throttle".equals(BEHAVIOUR.get(device))) {
                throw new RejectedNotificationException(RejectionReason.TOO_MANY_REQUESTS);
            }
            headers.set("authorization", asPushyReads(headers.get("authorization").toString()));
            checks.handlePushNotification(headers, payload);
        };
    }

    /** A token with its signature as ASN.1, which is all that pushy verifies; in a JWT it is R and S (RFC 7518 §3.4). */
    private static String asPushyReads(String authorization) {
        int dot = authorization.lastIndexOf('.');
        byte[] raw = Base64.getUrlDecoder().decode(authorization.substring(dot + 1));
        ByteArrayOutputStream numbers = new ByteArrayOutputStream();
        for (int half = 0; half < 2; half += 1) {
            int from = half * raw.length / 2;
            byte[] number = new BigInteger(1, Arrays.copyOfRange(raw, from, from + raw.length / 2)).toByteArray();
            numbers.write(0x02);
            numbers.write(number.length);
            numbers.writeBytes(number);
        }
        ByteArrayOutputStream sequence = new ByteArrayOutputStream();
        sequence.write(0x30);
        sequence.write(numbers.size());
        sequence.writeBytes(numbers.toByteArray());
        String signature = Base64.getUrlEncoder().withoutPadding().encodeToString(sequence.toByteArray());
        return authorization.substring(0, dot + 1) + signature;
    }

    private static String words(Http2Headers headers, ByteBuf payload) {
        StringBuilder words = new StringBuilder();
        headers.forEach(header -> words.append(header.getKey()).append('=').append(header.getValue()).append('\t'));
        return words + payload.toString(StandardCharsets.UTF_8);
    }

    private static synchronized void tell(String... words) {
        System.out.println(String.join("\t", words));
        System.out.flush();
    }

    private static final class Told implements MockApnsServerListener {
        @Override
        public void handlePushNotificationAccepted(Http2Headers headers, ByteBuf payload) {
            tell("taken", words(headers, payload));
        }

        @Override
        public void handlePushNotificationRejected(
            Http2Headers headers, ByteBuf payload, RejectionReason reason, Instant expired) {
            tell("refused " + reason, words(headers, payload));
        }
    }
}
