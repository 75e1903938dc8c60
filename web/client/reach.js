// Finds out by which of the server's doors this network lets one in: some let no WebSocket through.

/** A WebSocket that takes longer is as good as blocked; plain requests (BOSH, XEP-0124) get through then. */
const MILLISECONDS_MAX = 5_000;

/** Whether a WebSocket to the server opens. */
export function opensWebSocket(url) {
    return new Promise((resolve) => {
        const socket = new WebSocket(url, 'xmpp');
        const settle = (opens) => {
            clearTimeout(timer);
            socket.close();
            resolve(opens);
        };
        const timer = setTimeout(settle, MILLISECONDS_MAX, false);
        socket.addEventListener('open', () => settle(true));
        socket.addEventListener('close', () => settle(false));
    });
}
