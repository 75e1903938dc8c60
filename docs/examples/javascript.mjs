// Sends a message, waits until it shows up in the stream of events, and reads the history: the REST API with fetch, in a
// browser or in Node 18 and later.
//
//   USERNAME=alice PASSWORD=… RECEIVER=bob TEXT="hello" node docs/examples/javascript.mjs
//
// KIM_URL               the server (default: https://localhost:5443)
// NODE_EXTRA_CA_CERTS   its certificate, where it is self-signed: data/certs/localhost.crt on a trial

const { USERNAME, PASSWORD, RECEIVER, TEXT, KIM_URL = "https://localhost:5443" } = process.env;
let token = null;

/** Ends the program with a sentence. */
function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

const missing = Object.entries({ USERNAME, PASSWORD, RECEIVER, TEXT }).filter(([, value]) => !value);
if (missing.length > 0) fail(`set ${missing.map(([name]) => name).join(", ")}; the first lines of this program say how`);

/** What Node says of a connection that did not come about, and what helps. */
function unreachable({ cause }) {
  if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY/.test(cause?.code)) {
    const file = "data/certs/localhost.crt on a trial";
    fail(`the certificate of ${KIM_URL} is not trusted: set NODE_EXTRA_CA_CERTS to its file, ${file}`);
  }
  fail(`${KIM_URL} cannot be reached: ${cause?.message ?? "no answer"}; KIM_URL names another server`);
}

/** Makes a request; an error ends the program with the server's sentence. */
async function ask(path, { body, method = body ? "POST" : "GET", headers = {}, signal } = {}) {
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  const request = { method, headers, signal, body: body && JSON.stringify(body) };
  const response = await fetch(KIM_URL + path, request).catch(unreachable);
  if (!response.ok) fail((await response.json()).error.message);
  return response;
}

/** The events of a stream. EventSource would do this, but it cannot send a token. */
async function* events(response) {
  let text = "";
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const event = {};
      for (const line of part.split("\n")) {
        const at = line.indexOf(": ");
        if (at > 0) event[line.slice(0, at)] = line.slice(at + 2);
      }
      if (event.event) yield { name: event.event, data: JSON.parse(event.data), id: event.id };
    }
  }
}

// A token that may read and send, and nothing else. It is valid for an hour.
const login = { username: USERNAME, password: PASSWORD, scopes: ["read", "send"], expires_in: 3600 };
({ token } = await (await ask("/api/login", { body: login })).json());

const listening = new AbortController();
const stream = await ask("/api/events", { signal: listening.signal });
let sent = null;
for await (const { name, data } of events(stream)) {
  if (name === "ready") {
    // The answer comes once the message is stored. Its id is the one that events and history show.
    sent = await (await ask("/api/message/send", { body: { receiver: RECEIVER, content: TEXT } })).json();
    console.log("sent", sent.id);
  } else if (name === "message" && data.id === sent.id) {
    console.log("heard", data.id);
    break;
  }
  // A program that goes on keeps the id of the last event and comes back with it as the header Last-Event-ID.
}
listening.abort();

const query = new URLSearchParams({ user: RECEIVER, limit: 1 });
console.log(JSON.stringify(await (await ask(`/api/message/history?${query}`)).json()));
await ask("/api/logout", { method: "POST" });
